"""The time budget of a search: whether its next step fits beside finalists and test, at the speed measured so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from autoprompt.candidate import Candidate
from autoprompt.evaluator import CandidateEvaluator, CostModel, Evaluation, Journal
from autoprompt.optimizer.budget import Budget
from autoprompt.optimizer.racing import finalists, ranked
from autoprompt.optimizer.space import Space

TUNED_PER_FINALIST = 3
"""Fine-tunes of the search for each finalist after the first."""
FINISH_SECONDS = 1.0
"""Seconds reserved for writing results."""
LATE = 0.9
"""Share of the estimate for finalists and test that must be left for the finalists to run at all: a tenth more than the
budget is allowed."""
COMPARED = 2
"""Fine-tunes that a result needs: the tuned manual template and one proposal."""
OVERRUN = 0.1
"""Share by which a budget may be overrun."""
REFIT_SHARE = 0.2
"""Largest share of the budget that is kept for training the winner once more: where that takes longer, more candidates
are worth more."""
SLACK = 1.1
"""Finalists may be a little slower than what was measured: their settings differ."""


@dataclass
class TimePlan:
    """Decides at each step whether the next one fits beside finalists and test. A refused step stays refused.

    ``rounds``: fold and repeat of each evaluation of a finalist.
    """

    evaluator: CandidateEvaluator
    space: Space
    budget: Budget
    rounds: Sequence[tuple[int, int]]
    test_rows: int
    restart: float = 0.0
    """Seconds until a worker that was ended works again."""
    refit: bool = False
    """Whether the winner is trained once more at the end, where there is time."""
    asked: int = field(default=0, init=False)
    over: bool = field(default=False, init=False)
    _begun: float = field(default=0.0, init=False)
    _first: float = field(default=0.0, init=False)
    """When the first fine-tune was allowed."""
    _opened: tuple[int, float] = field(default=(0, 0.0), init=False)
    """When the generation began: openings that were known, and seconds of the passes over the rows for them."""
    overhead: float = field(default=0.0, init=False)
    """Seconds that the next generation's proposals take, with their frozen scores and what their votes need."""

    def begin_generation(self, tuned: Sequence[Evaluation]) -> bool:
        """Whether another generation fits: its proposals, with their frozen scores, and one fine-tune."""
        allowed = self._final("begin", lambda: self._allowed(tuned, self.overhead))
        self._begun = self.budget.spent
        self._opened = len(self._costs.prefix_sizes), self._costs.prefix_seconds
        return allowed

    def proposed(self, openings: int | None) -> None:
        """Record the time of the generation's proposals and frozen scores: the next one's will take about as long, but
        for the openings that this one had beyond those that a later one may have (``openings``; None: as many)."""

        def expected() -> float:
            opened, seconds = (now - then for now, then in zip(
                (len(self._costs.prefix_sizes), self._costs.prefix_seconds), self._opened, strict=True
            ))  # fmt: skip
            spent = self.budget.spent - self._begun
            if openings is None or opened <= openings:
                return spent
            return max(0.0, spent - (1 - openings / opened) * seconds / self._costs.workers)

        self.overhead = self._journal.decision("proposed", expected)

    def may_fit(self, tuned: Sequence[Evaluation]) -> bool:
        """Whether one more fine-tune fits. The first round always does: it gives a result at all, and the speed."""
        self.asked += 1
        self._first = self._first or self.budget.spent
        return self._final("fit", lambda: self._allowed(tuned, 0.0))

    def left_for_fit(self, tuned: Sequence[Evaluation]) -> float | None:
        """Seconds after which a fine-tune that begins now is not waited for, so that the test rows end within a tenth
        beyond the budget; None: it is waited for however long. The first ones give a result at all."""
        if self.budget.seconds is None or self.asked <= max(COMPARED, self._costs.workers):
            return None
        left = self.budget.seconds * (1 + OVERRUN) - self.budget.spent
        return max(0.0, left - self.ending_seconds(tuned) - self.restart)

    def another_round(self, finalists: int, tuned: Sequence[Evaluation]) -> bool:
        """Whether a further round of so many finalists fits; without it their race ends as it stands."""

        def fits() -> bool:
            turns = math.ceil(finalists / self._costs.workers)
            coming = SLACK * turns * (self._fit_seconds() + self._writing_seconds) + self.ending_seconds(tuned)
            return self.budget.room(coming * LATE)

        return bool(self._journal.decision("round", fits))

    def finalists(self, tuned: Sequence[Evaluation]) -> list[Evaluation]:
        """Who is re-scored, ``manual_tuned`` among them where it was scored: as many as there is time for, nobody where
        there is none for two."""
        chosen = self._journal.decision("finalists", lambda: [e.candidate.id for e in self._in_time(tuned)])
        return [e for id_ in chosen for e in tuned if e.complete and e.candidate.id == id_]

    def may_refit(self, winner: Evaluation, tuned: Sequence[Evaluation]) -> bool:
        """Whether the winner is trained once more: where it can be, was asked for, and there is time for that and for
        scoring the test rows with it, too."""
        if not self.refit or winner.candidate.settings.tuning == "none":
            return False

        def fits() -> bool:
            refit = self._costs.refit_seconds(winner.candidate.settings)
            coming = refit + self._repeating(tuned) + self._scoring([winner.candidate] * 2)
            return self.budget.room(coming * LATE)

        return bool(self._journal.decision("refit", fits))

    @property
    def _costs(self) -> CostModel:
        return self.evaluator.costs

    @property
    def _journal(self) -> Journal:
        return self.evaluator.journal

    def _final(self, name: str, decide: Callable[[], bool]) -> bool:
        allowed: bool = self._journal.decision(name, decide)
        self.over = self.over or not allowed
        return allowed

    def _in_time(self, tuned: Sequence[Evaluation]) -> list[Evaluation]:
        leaders = self._leaders(tuned, self.most_finalists(len(tuned)))
        for count in range(len(leaders), 0, -1):
            chosen = leaders[:count]
            chosen += [e for e in tuned if e.candidate == self.space.manual_tuned and e.complete and e not in chosen]
            seconds = self.finalist_seconds([e.seconds for e in chosen]) + self.ending_seconds(tuned)
            if len(chosen) > 1 and self.budget.room(seconds * LATE):
                return chosen
        return []

    def _allowed(self, tuned: Sequence[Evaluation], before: float) -> bool:
        """``before``: seconds that pass until the fine-tune begins."""
        if self.budget.evaluations is not None:
            return self.evaluator.fitted < self.budget.evaluations
        if self.asked > self._costs.workers and not self.over:
            fit = self._fit_seconds()
            again = self.finalist_seconds([fit] * self._expected(tuned)) if self.asked > COMPARED else 0.0
            return self.budget.room(before + fit + again + self.ending_seconds(tuned))
        return not self.over

    def most_finalists(self, fitted: int) -> int:
        return min(self.space.config.search.finalists, 1 + fitted // TUNED_PER_FINALIST)

    def _expected(self, tuned: Sequence[Evaluation]) -> int:
        """Finalists beside whom the next fine-tune may take a place, and ``manual_tuned``."""
        most = self.most_finalists(self.evaluator.fitted + 1)
        return min(most, len(self._leaders(tuned, most)) + 1) + 1

    def _leaders(self, tuned: Sequence[Evaluation], most: int) -> list[Evaluation]:
        return finalists(tuned, most, drop=self.space.config.search.racing)

    def _fit_seconds(self) -> float:
        """Of the next fine-tune. When the first worker gets free, the driver has not read its result yet: then what the
        first ones took so far is known all the same."""
        workers = self._costs.workers
        if self._costs.fit_seconds or self.asked <= workers:
            return self._costs.fit_estimate(self.space.manual_tuned.settings)
        return (self.budget.spent - self._first) * workers / (self.asked - 1)

    @property
    def _writing_seconds(self) -> float:
        """Of the validation rows' texts, where any are written."""
        return self._costs.write_seconds(len(self._costs.corpus.validation))

    @property
    def unknown_rounds(self) -> int:
        """Evaluations of each finalist that are new: fold 0 is known from the short fine-tune, unless texts are to be
        written with it."""
        return len(self.rounds) - int((0, 0) in self.rounds and not self._costs.written_tokens)

    def finalist_seconds(self, fits: Sequence[float]) -> float:
        """``fits``: seconds of each finalist's fine-tune. The workers take the next one as they get free."""
        again = [fit + self._writing_seconds for fit in list(fits) * self.unknown_rounds]
        return side_by_side(again, self._costs.workers) * SLACK

    def ending_seconds(self, tuned: Sequence[Evaluation]) -> float:
        """Of all that comes after the finalists: the winner trained once more, where that is planned, and the test."""
        return self.refit_seconds(tuned) + self.test_seconds(tuned)

    def refit_seconds(self, tuned: Sequence[Evaluation]) -> float:
        """That are kept for training the winner once more: of the leader that costs most, since any may win. 0 where
        that would take more than its share of the budget."""
        if not (self.refit and self._costs.voted):
            return 0.0
        seconds = max(self._costs.refit_seconds(leader.settings) for leader in self._winners(tuned))
        most = math.inf if self.budget.seconds is None else REFIT_SHARE * self.budget.seconds
        return seconds if seconds <= most else 0.0

    def test_seconds(self, tuned: Sequence[Evaluation]) -> float:
        """Of the leader that costs most, with both of its versions where it is trained once more; weights that are on
        another machine, or were lost, are trained again."""
        versions = 2 if self.refit_seconds(tuned) else 1
        return self._repeating(tuned) + max(self._scoring([leader] * versions) for leader in self._winners(tuned))

    def _winners(self, tuned: Sequence[Evaluation]) -> list[Candidate]:
        """Who may win."""
        leaders = [e.candidate for e in ranked(tuned)[: self.most_finalists(self.evaluator.fitted + 1)]]
        return leaders or [self.space.manual_tuned]

    def _repeating(self, tuned: Sequence[Evaluation]) -> float:
        """Seconds of the fine-tunes that are trained again for their weights, and of writing the results."""
        manual = self.space.manual_tuned
        again = self.evaluator.without_weights([*ranked(tuned)[:1], *(e for e in tuned if e.candidate == manual)])
        turns = math.ceil(len(again) / self._costs.workers)
        return FINISH_SECONDS + turns * self._costs.fit_estimate(manual.settings)

    def _scoring(self, winners: Sequence[Candidate]) -> float:
        """Seconds of the test rows, with these versions of the winner and both manual baselines."""
        manual = self.space.manual_tuned
        return self._costs.test_seconds([manual, manual, *winners], self.test_rows)


def side_by_side(seconds: Sequence[float], workers: int) -> float:
    """Seconds that workers need which take the next piece of work as they get free."""
    busy = [0.0] * workers
    for each in seconds:
        busy[busy.index(min(busy))] += each
    return max(busy)
