"""How long each stage of a search is likely to take yet, from what was measured and how far that spreads."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from autoprompt.evaluator import TEST_BLOCK, Evaluation
from autoprompt.optimizer.estimate import Need
from autoprompt.optimizer.time_budget import TimePlan

STAGES = ("baselines", "search", "finalists", "refit", "test")
APART = 1.0
"""Seconds between two forecasts within a stage."""

Span = tuple[float, float]
"""Least and most seconds."""


class Expected(NamedTuple):
    """A stage that has not ended, with the seconds that it is likely to take yet; None: nothing was measured that says
    so."""

    stage: str
    seconds: Span | None


NO_REFIT = Expected("refit", (0.0, 0.0))


@dataclass(frozen=True)
class _Estimates:
    """Seconds of whole stages. ``need``: what was measured before the search; ``tuned``: its fine-tunes so far, a list
    that grows."""

    pace: TimePlan
    need: Need | None
    tuned: Sequence[Evaluation]

    def of(self, stage: str) -> Span | None:
        """The seconds that the whole stage is likely to take; of the search, those that it goes on for."""
        match stage:
            case "baselines":
                return None if self.need is None else (self.need.baselines, self.need.baselines)
            case "search":
                return self._search()
            case "finalists":
                return self._finalists()
            case "refit":
                return self._refit()
        return self._test()

    def _refit(self) -> Span | None:
        pace, costs = self.pace, self.pace.evaluator.costs
        if pace.refit and costs.voted and costs.fit_spread is None and costs.speed is None:
            return None
        seconds = pace.refit_seconds(self.tuned)
        return seconds, seconds

    def _test(self) -> Span | None:
        costs = self.pace.evaluator.costs
        if not costs.measured:
            return None if self.need is None else (self.need.test, self.need.test)
        return _scaled(self.pace.test_seconds(self.tuned), costs.spread)

    def _finalists(self) -> Span | None:
        """From the two that there are at least, to as many as there may be after one more fine-tune."""
        fit = self.pace.evaluator.costs.fit_spread
        if fit is None:
            return None if self.need is None else (self.need.finalists, self.need.finalists)
        most = max(2, self.pace.most_finalists(self.pace.evaluator.fitted + 1) + 1)
        return self.pace.finalist_seconds([fit[0]] * 2), self.pace.finalist_seconds([fit[1]] * most)

    def _search(self) -> Span | None:
        pace, budget = self.pace, self.pace.budget
        if budget.seconds is not None:  # it goes on for as long as the stages after it leave time for it
            later = [self._finalists(), self._refit(), self._test()]
            known = [span for span in later if span is not None]
            if len(known) < len(later):
                return None
            left = budget.seconds - budget.spent
            least, most = (sum(ends) for ends in zip(*known, strict=True))
            return max(0.0, left - most), max(0.0, left - least)
        costs = pace.evaluator.costs
        fit = costs.fit_spread
        if fit is None:
            return None
        left_over = budget.left(pace.evaluator.fitted) or 0
        turns = math.ceil(left_over / costs.workers)
        generations = left_over // pace.space.config.search.survivors
        return turns * fit[0] + generations * pace.overhead, turns * fit[1] + (generations + 1) * pace.overhead


@dataclass
class _Stage:
    """The stage under way. ``units``: pieces of work that it has; 0 where their number is not known."""

    name: str
    begun: float
    units: int
    whole: Span | None
    done: int = 0


@dataclass
class Forecast:
    """Tells ``show`` what is to be expected, at each stage's begin and as work is done; decides nothing.

    ``need``: what was measured before the search, where it was. ``worked`` is an observer of the evaluator.
    """

    need: Need | None = None
    show: Callable[[Sequence[Expected]], None] = lambda _: None
    clock: Callable[[], float] = time.monotonic
    _stage: _Stage | None = field(default=None, init=False)
    _estimates: _Estimates | None = field(default=None, init=False)
    _shown: float = field(default=0.0, init=False)

    def begin(self, stage: str, units: int = 0, pace: TimePlan | None = None, tuned: Sequence[Evaluation] = ()) -> None:
        """A stage begins, or its next part; ``units``: pieces of work that it has, where their number is known.
        ``pace``, ``tuned``: the search's plan and its fine-tunes so far; None: those of the stage before."""
        if pace is not None:
            self._estimates = _Estimates(pace, self.need, tuned)
        if self._estimates is None:  # a run without a search
            return
        if self._stage is None or stage != self._stage.name:
            self._stage = _Stage(stage, self.clock(), units, self._estimates.of(stage))
        self._tell(self._stage, self._estimates)

    def worked(self, *_: object) -> None:
        """A piece of work is done."""
        if self._stage is None or self._estimates is None:
            return
        self._stage.done += 1
        if self.clock() - self._shown >= APART:
            self._tell(self._stage, self._estimates)

    def _tell(self, stage: _Stage, estimates: _Estimates) -> None:
        self._shown = self.clock()
        own = estimates.of("search") if stage.name == "search" else self._rest(stage, estimates)
        later = [Expected(name, estimates.of(name)) for name in STAGES[STAGES.index(stage.name) + 1 :]]
        self.show([Expected(stage.name, own), *(one for one in later if one != NO_REFIT)])

    def _rest(self, stage: _Stage, estimates: _Estimates) -> Span | None:
        """Of the stage under way: at the pace of its own pieces, once one is done."""
        elapsed = self.clock() - stage.begun
        if stage.units and stage.done:
            rest = elapsed / stage.done * max(0, stage.units - stage.done)
            return _scaled(rest, estimates.pace.evaluator.costs.spread)
        return None if stage.whole is None else (max(0.0, stage.whole[0] - elapsed), max(0.0, stage.whole[1] - elapsed))


def blocks_of(rows: int) -> int:
    """Pieces of work that test rows are scored in."""
    return math.ceil(rows / TEST_BLOCK)


def _scaled(seconds: float, spread: Span) -> Span:
    return seconds * spread[0], seconds * spread[1]
