"""One prompt with one model: label scores as a search computes them, and written texts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from autoprompt import corpus as corpora
from autoprompt import metrics
from autoprompt.candidate import Candidate
from autoprompt.corpus import Example
from autoprompt.errors import NothingSucceededError, UsageError
from autoprompt.evaluator.scoring import calibrated, content_free
from autoprompt.models import FitFailedError, LanguageModel

BLOCK = 50
"""Rows scored at a time: their kept prefixes fit into memory whatever the number of rows."""


class Answer(NamedTuple):
    """A label or a written text; ``probabilities`` are those of all labels."""

    text: str
    probabilities: tuple[float, ...] = ()


@dataclass(frozen=True)
class Predictor:
    """A model that has a prompt, and what a fine-tune changed (``delta``).

    ``labels``: in the order of the scores; none where texts are written, of at most ``written`` tokens. ``fields``:
    what a row must have.

    Several threads may call one predictor, and several predictors that share a model: they take turns, ``BLOCK`` rows
    each, and each answer is what one thread alone gets.
    """

    model: LanguageModel
    candidate: Candidate
    labels: tuple[str, ...]
    fields: tuple[str, ...]
    delta: Mapping[str, Any]
    written: int = 0

    def predict(self, rows: Any) -> list[str]:
        """The label of each row, or the text written for it. ``rows``: texts, dicts, a ``Dataset`` or a pandas frame.

        Raises UsageError, InputError for a row without a field, NothingSucceededError where the model fails.
        """
        return [answer.text for answer in self.answers(corpora.inputs(rows, self.fields))]

    def predict_proba(self, rows: Any) -> list[list[float]]:
        """The probability of each of ``labels`` for each row [rows][labels]. Raises as ``predict``, and UsageError for
        target texts."""
        if not self.labels:
            raise UsageError("Target texts have no probabilities of labels; use predict.")
        return [list(answer.probabilities) for answer in self.answers(corpora.inputs(rows, self.fields))]

    def answers(self, rows: Sequence[Example]) -> list[Answer]:
        """What the model answers to each row, with the probabilities of labels."""
        if not self.labels:
            return [Answer(text) for text in self.texts(rows)]
        scores = self.scores(rows)
        return [
            Answer(self.labels[place], tuple(map(math.exp, row)))
            for place, row in zip(metrics.predict(scores), scores, strict=True)
        ]

    def evaluate(self, rows: Sequence[Example]) -> dict[str, float]:
        """All metrics of labelled rows (see ``labelled``) and ``n``; for target texts those of generation."""
        scores = self.scores(rows)
        if self.labels:
            gold = [self.labels.index(row.label) for row in rows]
            values = metrics.classification_metrics(scores, gold, len(self.labels))
        else:
            values = metrics.generation_metrics(self.texts(rows), [row.label for row in rows])
            values["loss"] = -sum(row[0] for row in scores) / len(scores)
        return values | {"n": len(rows)}

    def scores(self, rows: Sequence[Example]) -> list[list[float]]:
        """Log-probabilities [rows][labels]; of target texts mean ones [rows][1]."""
        out: list[list[float]] = []
        for block in _blocks(rows):
            with failures("The scores cannot be computed"):
                out += self._scored(block).tolist()
        return out

    def texts(self, rows: Sequence[Example]) -> list[str]:
        """What greedy decoding writes."""
        out: list[str] = []
        for block in _blocks(rows):
            with failures("The texts cannot be written"), self.model.exclusive(), self.model.passing_prefixes():
                asking = self.model.asking(self.candidate, block)
                with self.model.adapted(self.candidate.settings, self.delta):
                    out += self.model.generate(asking, self.written)
        return out

    def _scored(self, rows: Sequence[Example]) -> Any:
        with self.model.exclusive(), self.model.passing_prefixes():
            prompted = self.model.prompt(self.candidate, rows)
            calibration = self.candidate.settings.calibration and self.candidate.label_words.pairs
            empty = self.model.prompt(self.candidate, content_free(rows[0])) if calibration else None
            with self.model.adapted(self.candidate.settings, self.delta):
                scores = self.model.score(prompted)
                return scores if empty is None else calibrated(scores, self.model.score(empty))


@contextmanager
def failures(what: str) -> Iterator[None]:
    """A model's failure as an error that users know."""
    try:
        yield
    except FitFailedError as error:
        raise NothingSucceededError(f"{what} ({error}); change the settings, such as the learning rate.") from error


def _blocks(rows: Sequence[Example]) -> list[Sequence[Example]]:
    return [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
