"""Typed results of ``verify``: evaluations of an entry or a run, then and now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autoprompt.results.types import Result
from autoprompt.short_repr import short_repr


@dataclass(frozen=True, repr=False)
class RepeatedEvaluation(Result):
    """An evaluation, then and now. ``loss``: the stored mean loss; ``again``: the new one, None if it failed.

    ``flipped`` of ``n`` predictions changed; ``exact``: every prediction and loss is the same to the last bit.
    """

    split: str
    rung: int
    fold: int
    repeat: int
    n: int
    flipped: int
    exact: bool
    loss: float
    again: float | None


@dataclass(frozen=True, repr=False)
class EntryCheck(Result):
    """An entry whose evaluations were repeated. ``verdict``: exact, within or different."""

    entry: str
    verdict: str
    flipped: int
    n: int


@dataclass(frozen=True, repr=False)
class Verification(EntryCheck):
    """The verification of one entry. ``changed``: how versions and machine differ from those of the run."""

    run: str = ""
    changed: Sequence[str] = ()
    evaluations: Sequence[RepeatedEvaluation] = ()

    def __repr__(self) -> str:
        return short_repr(
            self, self.entry[:12], verdict=self.verdict, flipped=self.flipped, n=self.n, run=self.run,
            evaluations=len(self.evaluations),
        )  # fmt: skip


@dataclass(frozen=True, repr=False)
class RunVerification(Result):
    """The verification of all entries of a run; the ``verdict`` is the worst of theirs."""

    run: str
    verdict: str
    flipped: int
    n: int
    changed: Sequence[str]
    entries: Sequence[EntryCheck]

    def __repr__(self) -> str:
        return short_repr(
            self, self.run, verdict=self.verdict, flipped=self.flipped, n=self.n, entries=len(self.entries)
        )
