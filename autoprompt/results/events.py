"""Events of a run, as ``callback=`` is given them. All are frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoprompt.short_repr import ShortRepr, short_repr


class Event(ShortRepr):
    """Base class of the events."""


@dataclass(frozen=True, repr=False)
class StageStarted(Event):
    """A stage of a run begins, or the next part of one.

    ``stage``: such as "data", "model", "baselines", "generation 3", "finalists" and "test"; "first use: ..." while a
    model or corpus is downloaded.
    """

    stage: str


@dataclass(frozen=True, repr=False)
class NoteGiven(Event):
    """A note or warning for people, in a sentence."""

    text: str


@dataclass(frozen=True, repr=False)
class PlannedStage(ShortRepr):
    """A stage that has not ended. ``low``, ``high``: seconds that it is likely to take yet, None where unknown."""

    stage: str
    low: float | None
    high: float | None


@dataclass(frozen=True, repr=False)
class SearchPlanned(Event):
    """How long a search is likely to take yet: the stage under way and those after it, in their order.

    Comes with each stage, and then at most once a second as work is done.
    """

    stages: Sequence[PlannedStage]


@dataclass(frozen=True, repr=False)
class CandidateEvaluated(Event):
    """A candidate was evaluated on one rung, fold and repeat, or failed.

    ``label_words``: label -> word or phrase. ``settings``: the tuning mode and its hyperparameters. ``demos``: number
    of solved examples. ``split``: "frozen" (rung 0, without a fine-tune; its loss is that of a proxy), or "validation".
    ``rung``: 0, 1 (a fine-tune) or 2 (a finalist on another fold or repeat). ``status``: "complete", "pruned" or
    "failed". ``loss``: mean over ``n`` rows, and ``accuracy``: share of right labels; None where there is none.
    ``reason``: why it failed. ``seconds``: of this evaluation. ``evaluations``: fine-tunes of the search before it.
    """

    template: str
    label_words: Mapping[str, str]
    settings: Mapping[str, Any]
    demos: int
    split: str
    rung: int
    fold: int
    repeat: int
    status: str
    loss: float | None
    accuracy: float | None
    n: int
    reason: str | None
    seconds: float
    evaluations: int

    def __repr__(self) -> str:
        outcome = {"reason": self.reason} if self.loss is None else {"loss": self.loss, "accuracy": self.accuracy}
        return short_repr(
            self, self.template, **self.settings, split=self.split, rung=self.rung, status=self.status, **outcome
        )
