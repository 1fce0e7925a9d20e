"""A candidate's outcome on one rung, fold and repeat."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import IntEnum
from os import PathLike

from autoprompt.candidate import SCORING_VERSION, Candidate, canonical_json, digest


class Rung(IntEnum):
    """Steps of the ladder, each dearer and more telling than the one before."""

    FROZEN = 0
    TUNED = 1
    REPEATED = 2


@dataclass(frozen=True)
class Evaluation:
    """``log_probs``: normalised log-probabilities [rows][labels]; ``losses``: what ranks, one a row, in nats.

    On the frozen rung of a search among labels ``losses`` are the proxy's, the sum of cross-fitted log-losses. For
    target texts ``labels`` are empty and ``log_probs`` are mean log-probabilities of the targets' tokens; where texts
    were written (``outputs``), ``losses`` are 1 - the metric's value of each.
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
    readability: float | None = None
    seconds: float = 0.0
    tokens: int = 0
    milestone: float | None = None
    """Validation loss early in the fine-tune, where that was looked at (see ``halving``)."""
    weights: str | PathLike[str] | None = None
    """Where the fine-tune's result lies (safetensors), when it was kept."""

    @property
    def complete(self) -> bool:
        """Whether it has finite scores; only such evaluations are ever ranked."""
        return self.status == "complete"

    @property
    def loss(self) -> float:
        """Mean of ``losses``. Raises ValueError for a failed evaluation: that has no fitness."""
        if not self.complete:
            raise ValueError(f"a {self.status} evaluation has no loss")
        return math.fsum(self.losses) / len(self.losses)

    @property
    def predictions(self) -> list[str]:
        """The most probable label of each row, or the text that was written for it."""
        if not self.labels:
            return list(self.outputs)
        return [self.labels[max(range(len(row)), key=row.__getitem__)] for row in self.log_probs]

    def failed(self, reason: str) -> Evaluation:
        """The same evaluation as a failure."""
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
        )

    def key(self, *, model: str, fingerprint: str, seed: int, device: str) -> str:
        """Names the computation: within a run the same key is never computed twice."""
        parts = [self.candidate.id, model, fingerprint, self.split, int(self.rung), self.fold, self.repeat]
        return digest(canonical_json([*parts, seed, device.split(":")[0], SCORING_VERSION]))
