"""``Candidate``: a template, label words, settings and solved examples, with canonical JSON and an id."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from autoprompt.errors import InputError, UsageError
from autoprompt.hashing import canonical_json, digest
from autoprompt.short_repr import short_repr
from autoprompt.template import LabelWords, Template
from autoprompt.tuning_modes import TUNING_MODES, TuningMode

SCORING_VERSION = 10  # raised whenever the same candidate would get another score

MOST = {"learning_rate": 3.4e38, "batch_size": 65_536, "epochs": 10_000, "rank": 4_096}
"""The largest value of each hyperparameter, from any source. A learning rate may be any float32, since absurd ones fail
at once; with larger values of the others, a fine-tune would never end."""
DEFAULT_BATCH = 8
DEFAULT_RANK = 8
DEFAULT_STEPS = 32
"""Optimiser steps of a default fine-tune on target texts."""
MOST_STEPS = 80
"""Most optimiser steps of a default fine-tune on labels. It ends as soon as the training rows are learnt (see
``models.adaptation.fine_tuning.STOP_LOSS``): two labels mostly take fewer than 32 steps, six take more."""


@dataclass(frozen=True)
class Settings:
    """Tuning mode and its hyperparameters; a hyperparameter that the mode does not use is 0.

    ``none``: the frozen model. ``tail``: LoRA of ``rank`` in a causal model's upper layers, acting on the tokens
    after the text. ``lora``: LoRA in all layers (of a classifier, the upper ones), acting on all tokens. ``soft``:
    only the template's trainable vectors. ``bias``: the biases (BitFit, Ben Zaken et al. 2022). ``head``: a
    classifier's head. ``full``: all weights. ``calibration``: label probabilities are divided by those of inputs
    without content (Zhao et al. 2021).
    """

    tuning: str = "tail"
    learning_rate: float = 0.0
    batch_size: int = 0
    epochs: int = 0
    rank: int = 0
    calibration: bool = False

    def __post_init__(self) -> None:
        if self.tuning not in TUNING_MODES:
            shown = reprlib.repr(self.tuning)
            raise UsageError(f"The tuning mode {shown} is unknown; use one of {', '.join(TUNING_MODES)}.")
        if not isinstance(self.calibration, bool):
            raise UsageError(f"The setting calibration is {reprlib.repr(self.calibration)}; give true or false.")
        for name in ("learning_rate", "batch_size", "epochs", "rank"):
            value, kind = getattr(self, name), float if name == "learning_rate" else int
            if name not in self.mode.parameters:
                value = 0
            elif isinstance(value, bool) or not isinstance(value, int | kind) or not 0 < value <= MOST[name]:
                number = "a number" if kind is float else "a whole number"
                raise UsageError(
                    f"The setting {name} is {reprlib.repr(value)}; give {number} above 0 and at most {MOST[name]:g}."
                )
            object.__setattr__(self, name, kind(value))

    def __repr__(self) -> str:
        values = self.to_dict()
        return short_repr(self, values.pop("tuning"), **values)

    @property
    def mode(self) -> TuningMode:
        """The row of the tuning mode."""
        return TUNING_MODES[self.tuning]

    @classmethod
    def default(cls, tuning: str, train_rows: int, *, labelled: bool = True) -> Settings:
        """The settings of ``manual_tuned``, with enough epochs for about ``MOST_STEPS`` steps of 8 rows, or
        ``DEFAULT_STEPS`` where the rows have target texts and no labels."""
        if tuning not in TUNING_MODES or tuning == "none":
            return cls(tuning)
        steps_per_epoch = -(-train_rows // DEFAULT_BATCH)
        epochs = max(1, round((MOST_STEPS if labelled else DEFAULT_STEPS) / steps_per_epoch))
        return cls(tuning, TUNING_MODES[tuning].rate, DEFAULT_BATCH, epochs, DEFAULT_RANK)

    def change(self, **values: Any) -> Settings:
        """A copy with some values replaced."""
        return replace(self, **values)

    def steps(self, train_rows: int) -> int:
        """Most optimiser steps of one fine-tune on ``train_rows`` rows."""
        return self.epochs * -(-train_rows // self.batch_size) if self.epochs else 0

    def to_dict(self) -> dict[str, Any]:
        """The mode and the hyperparameters that it uses; calibration where it is on."""
        values: dict[str, Any] = {"tuning": self.tuning} | {name: getattr(self, name) for name in self.mode.parameters}
        return values | ({"calibration": True} if self.calibration else {})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """The inverse of ``to_dict``. Raises InputError for unknown or missing keys and unusable values."""
        if not isinstance(values, Mapping):
            raise InputError(f"The settings {reprlib.repr(values)} are no object of names and values.")
        tuning = values.get("tuning")
        expected = {"tuning", *_parameters(tuning)}
        if not isinstance(tuning, str) or tuning not in TUNING_MODES or set(values) - {"calibration"} != expected:
            raise InputError(
                f"The settings {reprlib.repr(dict(values))} do not fit; expected the keys {sorted(expected)}."
            )
        try:
            return cls(**dict(values))
        except UsageError as error:  # the value is from a file, not from an option
            raise InputError(str(error)) from error


def _parameters(tuning: Any) -> tuple[str, ...]:
    """The hyperparameters of a tuning mode; none for an unknown one."""
    return TUNING_MODES[tuning].parameters if isinstance(tuning, str) and tuning in TUNING_MODES else ()


@dataclass(frozen=True)
class Demo:
    """One solved training example: its row's id, its fields as canonical JSON, and its label."""

    row_id: str
    content: str
    label: str

    def __repr__(self) -> str:
        return short_repr(self, self.content, label=self.label)

    @classmethod
    def of(cls, row_id: str, fields: Mapping[str, Any], label: str) -> Demo:
        """The solved example of a training row."""
        return cls(row_id, canonical_json(dict(fields)), label)

    @property
    def fields(self) -> dict[str, Any]:
        """The row's fields."""
        return dict(json.loads(self.content))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"row_id": self.row_id, "fields": self.fields, "label": self.label}


@dataclass(frozen=True)
class Candidate:
    """A prompt with its training settings, as the search varies it and a leaderboard entry reproduces it."""

    template: Template
    label_words: LabelWords
    """Empty for a classifier and for a target text."""
    settings: Settings
    demos: tuple[Demo, ...] = ()
    """The solved examples of ``{demos:k}``, in their order."""

    def __repr__(self) -> str:
        words = {"label_words": self.label_words.mapping()} if self.label_words.pairs else {}
        demos = {"demos": len(self.demos)} if self.demos else {}
        return short_repr(self, self.template.format(), **words, **self.settings.to_dict(), **demos)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values: dict[str, Any] = {
            "template": self.template.format(),
            "label_words": self.label_words.mapping(),
            "settings": self.settings.to_dict(),
        }
        return values | ({"demos": [demo.to_dict() for demo in self.demos]} if self.demos else {})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Candidate:
        """The inverse of ``to_dict``. Raises InputError for values that are not a candidate."""
        try:
            template = Template.parse(values["template"])
            words = LabelWords.of(values["label_words"], list(values["label_words"]))
            settings = Settings.from_dict(values["settings"])
            demos = tuple(Demo.of(d["row_id"], d["fields"], d["label"]) for d in values.get("demos", ()))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"This is no candidate (template, label_words, settings): {error!r}.") from error
        return cls(template, words, settings, demos)

    def canonical(self) -> str:
        """Canonical JSON: keys are sorted, and the labels keep their order."""
        values = self.to_dict() | {"label_words": [list(pair) for pair in self.label_words.pairs]}
        return canonical_json(values)

    @cached_property  # a search reads it dozens of times
    def id(self) -> str:
        """Hash of the canonical JSON (64 hexadecimal digits)."""
        return digest(self.canonical())

    @cached_property
    def text_id(self) -> str:
        """Hash of the candidate without its settings: the key of a frozen score."""
        frozen = replace(self, settings=Settings("none"))
        return digest(frozen.canonical())

    def entry(self, corpus_fingerprint: str, model: str, seed: int) -> str:
        """The id of this candidate's leaderboard entry on this data, model and seed."""
        return entry_of(self.id, corpus_fingerprint, model, seed)


def entry_of(candidate: str, corpus_fingerprint: str, model: str, seed: int) -> str:
    """The id of the leaderboard entry of a candidate (its id) on this data, model and seed."""
    return digest(canonical_json([candidate, corpus_fingerprint, model, seed]))


def derived_seed(*parts: Any) -> int:
    """A 63-bit seed from JSON values, such as a run's seed: all randomness of a run derives from it this way."""
    return int(digest(canonical_json(list(parts)))[:16], 16) >> 1
