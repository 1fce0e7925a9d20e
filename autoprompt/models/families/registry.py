"""The model families: one row each, and the family of a checkpoint. Imports neither torch nor transformers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoprompt.tuning_modes import TUNING_MODES

DEFAULT_TUNING = "lora"
"""The tuning mode of a family that names none."""


@dataclass(frozen=True)
class Family:
    """What a family is and can do.

    ``home``: module and class of its language model, which has ``load``. ``auto_class``: the class of transformers that
    loads its checkpoints; ``classes``: where transformers lists their classes by model type, or "" for a family that is
    used only where ``--family`` names it. ``tasks``: kinds of tasks. ``tuning``: the default tuning mode. ``has``: what
    tuning modes may need. ``conditions``: mode -> what a single model must have for it, in words.
    """

    home: str
    auto_class: str
    classes: str
    tasks: tuple[str, ...]
    tuning: str = DEFAULT_TUNING
    has: frozenset[str] = frozenset()
    conditions: Mapping[str, str] = field(default_factory=dict)

    @property
    def takes_label_words(self) -> bool:
        """Whether it scores label words; a head of its own knows the labels without."""
        return "head" not in self.has

    @property
    def modes(self) -> tuple[str, ...]:
        """The tuning modes; a single model may lack what a mode needs."""
        return tuple(name for name, mode in TUNING_MODES.items() if not mode.needs or mode.needs in self.has)

    def condition(self, mode: str) -> str | None:
        """The condition under which a model of the family supports the mode; None if every model does."""
        return self.conditions.get(mode) or TUNING_MODES[mode].condition or None


FAMILIES: Mapping[str, Family] = {
    "causal": Family(
        "autoprompt.models.families.causal:CausalModel",
        "AutoModelForCausalLM",
        "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
        ("classification", "generation"),
        tuning="tail",
        has=frozenset({"prefixes"}),
    ),
    "masked": Family(
        "autoprompt.models.families.masked:MaskedModel",
        "AutoModelForMaskedLM",
        "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
        ("classification",),
    ),
    "seq2seq": Family(
        "autoprompt.models.families.seq2seq:Seq2SeqModel",
        "AutoModelForSeq2SeqLM",
        "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
        ("classification", "generation"),
    ),
    "classifier": Family(
        "autoprompt.models.families.classifier:ClassifierModel",
        "AutoModelForSequenceClassification",
        "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
        ("classification",),
        has=frozenset({"head"}),
        conditions={
            "none": "where the checkpoint's head knows the data's labels",
            "soft": "where the model is no encoder-decoder",
        },
    ),
}


def family_of(config: Mapping[str, Any]) -> str | None:
    """The family that the checkpoint was saved as, or None for a model of no family.

    The model class in the config decides if transformers lists it for a family. A bare encoder counts as a classifier,
    because it has no output layer. For an older config without a class, the model type decides.
    """
    from transformers.models.auto import modeling_auto

    kind = str(config.get("model_type"))
    listed = {name: getattr(modeling_auto, family.classes) for name, family in FAMILIES.items() if family.classes}
    names = config.get("architectures") or []
    saved = [name for name, mapping in listed.items() if names and names[0] in _classes(mapping, kind)]
    # BART is listed for several tasks: an encoder-decoder counts as seq2seq unless its class is only a classifier's.
    if config.get("is_encoder_decoder"):
        return "classifier" if saved == ["classifier"] else "seq2seq" if kind in listed["seq2seq"] else None
    if saved:
        return saved[-1]
    encoder = kind in listed["masked"] and not config.get("is_decoder")
    if encoder:
        return "classifier" if names and kind in listed["classifier"] else "masked"
    return "causal" if kind in listed["causal"] else None


def table() -> str:
    """Family x tuning mode x kind of task, as Markdown: c for classification, g for generation."""
    notes: list[str] = []
    lines = ["| | " + " | ".join(f"`{mode}`" for mode in TUNING_MODES) + " |", "| --- " * (len(TUNING_MODES) + 1) + "|"]
    for name, family in FAMILIES.items():
        cells = [_cell(family, mode, notes) for mode in TUNING_MODES]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    found = "; ".join(f"{number} {note}" for number, note in enumerate(notes, 1))
    return "\n".join([*lines, "", f"c: classification, g: generation; {found}."])


def _cell(family: Family, mode: str, notes: list[str]) -> str:
    if mode not in family.modes:
        return "-"
    note = family.condition(mode)
    mark = ""
    if note:
        if note not in notes:
            notes.append(note)
        mark = f" ({notes.index(note) + 1})"
    return " ".join(task[0] for task in family.tasks) + mark


def _classes(mapping: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    found = mapping.get(kind, ())
    return (found,) if isinstance(found, str) else tuple(found)
