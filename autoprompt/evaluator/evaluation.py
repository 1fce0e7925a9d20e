"""Evaluation: a candidate's outcome on one rung, fold and repeat."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from os import PathLike
from statistics import variance

from autoprompt.candidate import SCORING_VERSION, Candidate
from autoprompt.hashing import canonical_json, digest
from autoprompt.short_repr import short_repr

VOTE_DIGITS = 4


class Rung(IntEnum):
    """Rungs of the ladder, each more expensive and more reliable than the one before. The last is for the winner: it is
    trained on all rows but those of the test, which alone are left to score it."""

    FROZEN = 0
    TUNED = 1
    REPEATED = 2
    REFITTED = 3


@dataclass(frozen=True)
class Estimate:
    """An estimate of the share of rows that a candidate gets wrong, from two kinds of rows.

    ``labelled``: what each labelled row says, times its kind's weight; ``unlabelled``: likewise, empty where those rows
    have none. The estimate is the sum of the two means. ``weight``: that of the unlabelled rows, from 0 to 1.
    """

    labelled: tuple[float, ...]
    unlabelled: tuple[float, ...] = ()
    weight: float = 0.0

    @cached_property
    def error(self) -> float:
        """The estimated share of wrong answers."""
        return sum(math.fsum(rows) / len(rows) for rows in (self.labelled, self.unlabelled) if rows)

    @cached_property
    def deviation(self) -> float:
        """Standard error of the estimate, from how its rows differ."""
        return math.sqrt(sum(variance(rows) / len(rows) for rows in (self.labelled, self.unlabelled) if len(rows) > 1))


@dataclass(frozen=True)
class Evaluation:
    """A candidate's scores on the rows of one rung, fold and repeat.

    ``log_probs``: normalised log-probabilities [rows][labels]. ``losses``: one a row, in nats; their mean ranks
    candidates. On the frozen rung of a corpus with labels, ``losses`` are the proxy's (``proxy.py``). For target texts
    ``labels`` is empty and ``log_probs`` are the mean log-probabilities of a target's tokens [rows][1]; where texts
    were generated (``outputs``), each loss is 1 - the metric's value.
    """

    candidate: Candidate
    rung: int
    fold: int = 0
    repeat: int = 0
    split: str = "validation"
    status: str = "complete"
    reason: str | None = None
    labels: tuple[str, ...] = ()
    row_ids: tuple[str, ...] = ()
    gold: tuple[int, ...] = ()
    log_probs: tuple[tuple[float, ...], ...] = ()
    losses: tuple[float, ...] = ()
    references: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    votes: tuple[tuple[float, ...], ...] = ()
    """Probabilities of the labels for the corpus's unlabelled rows [rows][labels], rounded to ``VOTE_DIGITS`` decimals;
    empty where they were not predicted."""
    readability: float | None = None
    seconds: float = 0.0
    tokens: int = 0
    milestone: float | None = None
    """Validation loss early in the fine-tune; None where it was not measured (see ``halving``)."""
    estimate: Estimate | None = field(default=None, compare=False)
    """The estimate that ranks the candidate, as of the last barrier; None before one, and without labels."""
    weights: str | PathLike[str] | None = None
    """Path of the fine-tuned weights (safetensors); None where they were not saved."""

    def __repr__(self) -> str:
        known = {"loss": self.loss, "n": len(self.losses)} if self.complete and self.losses else {"reason": self.reason}
        return short_repr(
            self, self.candidate.template.format(), rung=int(self.rung), fold=self.fold, repeat=self.repeat,
            split=self.split, status=self.status, **known,
        )  # fmt: skip

    @property
    def complete(self) -> bool:
        """Whether the evaluation ended with finite scores; only complete evaluations are ranked."""
        return self.status == "complete"

    @property
    def loss(self) -> float:
        """Mean of ``losses``. Raises ValueError for a failed or pruned evaluation, which has no fitness."""
        if not self.complete:
            raise ValueError(f"a {self.status} evaluation has no loss")
        return math.fsum(self.losses) / len(self.losses)

    @property
    def fitness(self) -> float:
        """What ranks candidates, to be small: the estimated error where there is an estimate, else the loss."""
        return self.loss if self.estimate is None else self.estimate.error

    @property
    def predictions(self) -> list[str]:
        """The most probable label of each row, or the text generated for it."""
        if not self.labels:
            return list(self.outputs)
        return [self.labels[max(range(len(row)), key=row.__getitem__)] for row in self.log_probs]

    @property
    def accuracy(self) -> float | None:
        """Share of rows whose most probable label is right; None for target texts and without scores."""
        if not self.complete or not self.labels or not self.gold:
            return None
        return sum(p == self.labels[g] for p, g in zip(self.predictions, self.gold, strict=True)) / len(self.gold)

    def failed(self, reason: str) -> Evaluation:
        """Return the same evaluation as a failure, without scores."""
        return replace(
            self,
            status="failed",
            reason=reason,
            row_ids=(),
            gold=(),
            log_probs=(),
            losses=(),
            references=(),
            outputs=(),
            votes=(),
            estimate=None,
        )

    def key(self, *, model: str, fingerprint: str, seed: int, device: str) -> str:
        """Return a hash that names the computation: within a run the same key is never computed twice."""
        parts = [self.candidate.id, model, fingerprint, self.split, int(self.rung), self.fold, self.repeat]
        return digest(canonical_json([*parts, seed, device.split(":")[0], SCORING_VERSION]))
