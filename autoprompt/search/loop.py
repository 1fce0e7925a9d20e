"""The ladder: baselines, generations of frozen scores and short fine-tunes, then finalists on further folds."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from autoprompt.candidate import Candidate, Settings, derived_seed
from autoprompt.errors import NothingSucceededError
from autoprompt.evaluator import Evaluation, Evaluator, Rung
from autoprompt.search import phrases
from autoprompt.search.budget import Budget
from autoprompt.search.racing import best, finalists, pooled, ranked
from autoprompt.search.space import Space
from autoprompt.search.strategies import STRATEGIES
from autoprompt.search.strategy import Proposal, Strategy, random_tail
from autoprompt.template import LABEL, Literal, Slot, Template

PER_OPERATOR = 2
"""Survivors that one operator may have in a generation: near-copies of one edit teach little."""
TUNED_PER_FINALIST = 3
"""Fine-tunes of the search for each finalist after the first."""
IDLE_GENERATIONS = 3
"""Generations without a new candidate after which a search has nothing left to try."""
FINISH_SECONDS = 3.0
"""Set aside for writing results."""
LATE = 0.8
"""Share of the guess for finalists and test that must be left for the finalists to run at all."""
SLACK = 1.1
"""Finalists may be a little slower than what was measured: their settings differ."""

Record = Callable[[Sequence[Evaluation], str], None]
"""Takes finished evaluations and their role; called at barriers, in candidate order."""


@dataclass
class Outcome:
    """What a search found. ``trained``: the fine-tune on the training rows of the winner (with its weights)."""

    best: Evaluation
    trained: Evaluation
    parts: list[Evaluation]
    """Of the winner: each fold and repeat, where there were finalists."""
    baselines: dict[str, Evaluation]
    generations: int
    fitted: int
    frozen: int


@dataclass
class Search:
    """One run of one strategy over one evaluator. ``describe`` is told what is going on."""

    evaluator: Evaluator
    space: Space
    strategy_name: str
    seed: int
    budget: Budget
    test_rows: int
    record: Record
    describe: Callable[[str], None] = lambda _: None
    folds: int | None = None
    """Parts of the finalists' cross-validation; None swaps training and validation rows."""
    repeats: int = 1
    """Seeds that the finalists are trained with."""
    tuned: list[Evaluation] = field(default_factory=list)
    parts: dict[str, list[Evaluation]] = field(default_factory=dict)
    readability: dict[str, float | None] = field(default_factory=dict)
    frozen_count: int = 0
    asked: int = 0
    failures: dict[str, int] = field(default_factory=dict)

    def run(self) -> Outcome:
        """Search until the budget's end. Raises NothingSucceededError when no candidate could be evaluated."""
        rng = random.Random(derived_seed(self.seed, "strategy", self.strategy_name))  # noqa: S311
        strategy = STRATEGIES[self.strategy_name](self.space, self.evaluator, rng)
        baselines = self._baseline_candidates()
        strategy.seen |= {c.id for c in baselines.values()}
        self.describe("baselines")
        manual = self.evaluator.fit([baselines.pop("manual")], counted=False)
        self._count_failures(manual)
        self.record(manual, "manual")
        if manual[0].candidate == self.space.manual_tuned:  # nothing is tuned, and it was just scored
            self.tuned += manual
            del baselines["manual_tuned"]
        generations = self._generations(strategy, baselines)
        if not ranked(self.tuned):
            raise NothingSucceededError(
                f"No candidate could be evaluated ({self._reasons()}); check the model, the label words and the limits."
            )
        by_id = {e.candidate.id: e for e in self.tuned}
        names = {"manual_tuned": self.space.manual_tuned} | baselines
        found = {name: by_id[c.id] for name, c in names.items() if c.id in by_id and by_id[c.id].complete}
        winner = self._final(found.get("manual_tuned"))
        trained = by_id[winner.candidate.id]
        return Outcome(
            best=winner,
            trained=trained,
            parts=self.parts.get(winner.candidate.id, []),
            baselines={"manual": manual[0]} | found if manual[0].complete else found,
            generations=generations,
            fitted=self.evaluator.fitted,
            frozen=self.frozen_count,
        )

    def _baseline_candidates(self) -> dict[str, Candidate]:
        """``manual`` is the prompt as it was given; the others share the fixed genes, so that they compare fairly."""
        tuned = self.space.manual_tuned
        out = {"manual": replace(self.space.manual, settings=Settings("none")), "manual_tuned": tuned}
        if self.space.free("template"):
            bare = phrases.body(tuned.template).segments
            rng = random.Random(derived_seed(self.seed, "random baseline"))  # noqa: S311
            tail = random_tail(self.space, rng)
            for name, asked in (("null", ()), ("random", (Literal(tail),))):
                out[name] = self.space.bounded(replace(tuned, template=Template((*bare, *asked, Slot(LABEL)))))
        return out

    def _generations(self, strategy: Strategy, baselines: dict[str, Candidate]) -> int:
        number = idle = 0
        roles = {c.id: name for name, c in baselines.items()}
        while idle < IDLE_GENERATIONS and (number == 0 or self._may_continue()):
            self.describe(f"generation {number}")
            proposals = strategy.ask()
            chosen, scored = self._survivors(proposals, strategy.exhaustive)
            promoted = {c.id for c in chosen}
            if number == 0:
                chosen = _mixed(list(baselines.values()), chosen)
            evaluations = self._fit(chosen, roles, partial(self._record_frozen, scored, promoted))
            strategy.tell([e for e in evaluations if e.rung == Rung.TUNED], proposals)
            idle = 0 if evaluations else idle + 1
            number += 1
        return number

    def _survivors(self, proposals: Sequence[Proposal], exhaustive: bool) -> tuple[list[Candidate], list[Evaluation]]:
        """The best frozen scores, few of one operator; one place is for new settings of a tuned prompt.

        All of them where frozen scores are the fitness, tell nothing, or are not asked for (``exhaustive``).
        """
        if exhaustive or self.space.manual.settings.tuning == "none" or not self.space.text_varies:
            return [p.candidate for p in proposals], []
        tuned_texts = {e.candidate.text_id: e.loss for e in reversed(ranked(self.tuned))}
        variants = [p for p in proposals if p.candidate.text_id in tuned_texts]
        new = [p for p in proposals if p.candidate.text_id not in tuned_texts]
        scored = self._frozen([p.candidate for p in new])
        operator = {p.candidate.id: p.operator for p in new}
        order = ranked(scored)
        chosen: list[Candidate] = []
        texts: set[str] = set()
        counts: dict[str, int] = {}
        limit = self.space.config.search.survivors - bool(variants)
        starting = not self.tuned
        for evaluation in order:
            name = operator[evaluation.candidate.id]
            if len(chosen) == limit or evaluation.candidate.text_id in texts:
                continue
            if counts.get(name, 0) >= PER_OPERATOR and len(counts) > 1 and not starting:
                continue
            counts[name] = counts.get(name, 0) + 1
            texts.add(evaluation.candidate.text_id)
            chosen.append(evaluation.candidate)
        best_variants = sorted(variants, key=lambda p: (tuned_texts[p.candidate.text_id], p.candidate.id))
        return chosen + [p.candidate for p in best_variants[:1]], scored

    def _frozen(self, candidates: Sequence[Candidate]) -> list[Evaluation]:
        scored = self.evaluator.frozen(candidates)
        self.frozen_count += len(scored)
        self.readability |= {e.candidate.text_id: e.readability for e in scored}
        return scored

    def _record_frozen(self, scored: Sequence[Evaluation], promoted: set[str]) -> None:
        self._count_failures(scored)
        self.record(
            [e if e.candidate.id in promoted or not e.complete else replace(e, status="pruned") for e in scored],
            "search",
        )

    def _fit(
        self, candidates: Sequence[Candidate], roles: dict[str, str], record_frozen: Callable[[], None]
    ) -> list[Evaluation]:
        """Fine-tune as many as the budget allows. The frozen scores that led to them are recorded with the first,
        so that a search stopped by the clock and its repetition by number of evaluations record the same."""
        waiting = [record_frozen]

        def gate() -> bool:
            allowed = self._may_continue()
            if allowed and waiting:
                waiting.pop()()
            return allowed

        left = self.budget.left(self.evaluator.fitted)
        evaluations = [
            replace(e, readability=self.readability.get(e.candidate.text_id))
            for e in self.evaluator.fit(list(candidates)[:left], gate=gate)
        ]
        self._count_failures(evaluations)
        for evaluation in evaluations:
            self.record([evaluation], roles.get(evaluation.candidate.id, "search"))
        self.tuned += evaluations
        return evaluations

    def _may_continue(self) -> bool:
        """Whether one more fine-tune fits beside finalists and test, at the speed measured so far.

        The first round always does: it gives a result at all, and the speed.
        """
        if self.budget.evaluations is not None:
            return self.evaluator.fitted < self.budget.evaluations
        self.asked += 1
        if self.asked <= self.evaluator.executor.workers:
            return True
        return self.budget.room(self._fit_seconds() + self._finalist_seconds() + self._test_seconds())

    def _fit_seconds(self) -> float:
        return self.evaluator.fit_estimate(self.space.manual_tuned.settings)

    def _finalist_count(self, fitted: int) -> int:
        return min(self.space.config.search.finalists, 1 + fitted // TUNED_PER_FINALIST)

    def _finalist_seconds(self) -> float:
        candidates = self._finalist_count(self.evaluator.fitted + 1) + 1
        # Fold 0 is known from the short fine-tune, unless texts are to be written with it.
        known = int((0, 0) in self._rounds and not self.evaluator.written_tokens)
        rounds = -(-candidates * (len(self._rounds) - known) // self.evaluator.executor.workers)
        rows = len(self.evaluator.corpus.validation)
        return rounds * (self._fit_seconds() + self.evaluator.write_seconds(rows)) * SLACK

    def _test_seconds(self) -> float:
        """Of the finalist that costs most: any may win."""
        manual = self.space.manual_tuned
        count = self._finalist_count(self.evaluator.fitted + 1)
        leaders = [e.candidate for e in ranked(self.tuned)[:count]] or [manual]
        return FINISH_SECONDS + max(
            self.evaluator.test_seconds([manual, manual, leader], self.test_rows) for leader in leaders
        )

    def _final(self, manual_tuned: Evaluation | None) -> Evaluation:
        """The finalists on all folds and repeats, which together name the best; by default training and validation
        rows change places."""
        leaders = finalists(self.tuned, self._finalist_count(len(self.tuned)))
        if not self.budget.room((self._finalist_seconds() + self._test_seconds()) * LATE):
            return best(leaders[:1])
        if manual_tuned is not None and manual_tuned not in leaders:
            leaders.append(manual_tuned)
        candidates = [e.candidate for e in leaders]
        self.describe("finalists")
        folds = [
            self.evaluator.fit(candidates, rung=Rung.REPEATED, fold=fold, repeat=repeat, counted=False)
            for fold, repeat in self._rounds
        ]
        both = []
        for parts in zip(*folds, strict=True):
            parts = tuple(replace(e, readability=self.readability.get(e.candidate.text_id)) for e in parts)
            self.record(list(parts), "finalist")
            if all(part.complete for part in parts):
                both.append(pooled(parts))
                self.parts[parts[0].candidate.id] = list(parts)
        return best(both or ranked(self.tuned)[:1])

    @property
    def _rounds(self) -> list[tuple[int, int]]:
        """Fold and repeat of each evaluation of a finalist. Fold 0 is the data's own split."""
        folds = (0, 1) if self.folds is None else tuple(range(1, self.folds + 1))
        return [(fold, repeat) for repeat in range(self.repeats) for fold in folds]

    def _count_failures(self, evaluations: Sequence[Evaluation]) -> None:
        for evaluation in evaluations:
            if not evaluation.complete:
                reason = evaluation.reason or evaluation.status
                self.failures[reason] = self.failures.get(reason, 0) + 1

    def _reasons(self) -> str:
        counts = sorted(self.failures.items(), key=lambda item: (-item[1], item[0]))
        return "; ".join(f"{count} x {reason}" for reason, count in counts[:3]) or "none was tried"


def _mixed(baselines: Sequence[Candidate], survivors: Sequence[Candidate]) -> list[Candidate]:
    """The order of the first fine-tunes: whatever the limit, the tuned manual template has rivals among the first."""
    return [*baselines[:1], *survivors[:2], *baselines[1:], *survivors[2:]]
