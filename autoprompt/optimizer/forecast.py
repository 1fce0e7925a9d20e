"""How long each stage of a search is likely to take yet, from what was measured and how far that spreads."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from autoprompt.evaluator import Evaluation
from autoprompt.evaluator.evaluator import TEST_BLOCK
from autoprompt.optimizer.estimate import Need
from autoprompt.optimizer.time_budget import Pace

STAGES = ("baselines", "search", "finalists", "test")
APART = 1.0
"""Seconds between two forecasts within a stage."""

Span = tuple[float, float]
"""Least and most seconds."""


class Expected(NamedTuple):
    """A stage that has not ended, with the seconds that it is likely to take yet; None: nothing was measured that says
    so."""

    stage: str
    seconds: Span | None


@dataclass
class Forecast:
    """Tells ``show`` what is to be expected, at each stage's begin and as work is done; decides nothing.

    ``need``: what was measured before the search, where it was.
    """

    pace: Pace
    need: Need | None
    show: Callable[[Sequence[Expected]], None]
    clock: Callable[[], float] = time.monotonic
    stage: str = field(default="", init=False)
    _begun: float = field(default=0.0, init=False)
    _shown: float = field(default=0.0, init=False)
    _units: int = field(default=0, init=False)
    _done: int = field(default=0, init=False)
    _whole: Span | None = field(default=None, init=False)

    def begin(self, stage: str, tuned: Sequence[Evaluation], units: int = 0) -> None:
        """A stage begins, or its next part; ``units``: pieces of work that it has, where their number is known."""
        if stage != self.stage:
            self.stage, self._begun, self._units, self._done = stage, self.clock(), units, 0
            self._whole = self._span(stage, tuned)
        self._tell(tuned)

    def worked(self, tuned: Sequence[Evaluation]) -> None:
        """A piece of work is done."""
        self._done += 1
        if self.stage and self.clock() - self._shown >= APART:
            self._tell(tuned)

    def _tell(self, tuned: Sequence[Evaluation]) -> None:
        self._shown = self.clock()
        later = STAGES[STAGES.index(self.stage) + 1 :]
        own = self._span("search", tuned) if self.stage == "search" else self._rest()
        self.show([Expected(self.stage, own), *(Expected(name, self._span(name, tuned)) for name in later)])

    def _rest(self) -> Span | None:
        """Of the stage under way: at the pace of its own pieces, once one is done."""
        elapsed = self.clock() - self._begun
        if self._units and self._done:
            rest = elapsed / self._done * max(0, self._units - self._done)
            return _scaled(rest, self.pace.evaluator.costs.spread)
        return None if self._whole is None else (max(0.0, self._whole[0] - elapsed), max(0.0, self._whole[1] - elapsed))

    def _span(self, stage: str, tuned: Sequence[Evaluation]) -> Span | None:
        match stage:
            case "baselines":
                return None if self.need is None else (self.need.baselines, self.need.baselines)
            case "search":
                return self._search(tuned)
            case "finalists":
                return self._finalists()
        return self._test(tuned)

    def _test(self, tuned: Sequence[Evaluation]) -> Span | None:
        costs = self.pace.evaluator.costs
        if not costs.measured:
            return None if self.need is None else (self.need.test, self.need.test)
        return _scaled(self.pace.test_seconds(tuned), costs.spread)

    def _finalists(self) -> Span | None:
        """From the two that there are at least, to as many as there may be after one more fine-tune."""
        fit = self.pace.evaluator.costs.fit_spread
        if fit is None:
            return None if self.need is None else (self.need.finalists, self.need.finalists)
        most = max(2, self.pace.most_finalists(self.pace.evaluator.fitted + 1) + 1)
        return self.pace.finalist_seconds([fit[0]] * 2), self.pace.finalist_seconds([fit[1]] * most)

    def _search(self, tuned: Sequence[Evaluation]) -> Span | None:
        pace, budget = self.pace, self.pace.budget
        if budget.seconds is not None:  # it goes on for as long as the stages after it leave time for it
            finalists, test = self._finalists(), self._test(tuned)
            if finalists is None or test is None:
                return None
            left = budget.seconds - budget.spent
            return max(0.0, left - finalists[1] - test[1]), max(0.0, left - finalists[0] - test[0])
        fit = pace.evaluator.costs.fit_spread
        if fit is None:
            return None
        left_over = budget.left(pace.evaluator.fitted) or 0
        turns = math.ceil(left_over / pace.evaluator.executor.workers)
        generations = left_over // pace.space.config.search.survivors
        return turns * fit[0] + generations * pace.overhead, turns * fit[1] + (generations + 1) * pace.overhead


def blocks_of(rows: int) -> int:
    """Pieces of work that test rows are scored in."""
    return math.ceil(rows / TEST_BLOCK)


def _scaled(seconds: float, spread: Span) -> Span:
    return seconds * spread[0], seconds * spread[1]
