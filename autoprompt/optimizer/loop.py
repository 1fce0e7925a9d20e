"""The ladder: baselines, generations of frozen scores and short fine-tunes, then finalists on further folds."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from statistics import mean
from typing import Protocol

from autoprompt.candidate import Candidate, Settings, derived_seed
from autoprompt.errors import InputError, NothingSucceededError, UsageError
from autoprompt.evaluator import CandidateEvaluator, Evaluation, Rung, bar
from autoprompt.optimizer import phrases
from autoprompt.optimizer.budget import Budget
from autoprompt.optimizer.draws import random_tail
from autoprompt.optimizer.forecast import Forecast
from autoprompt.optimizer.outcome import Generation, Outcome
from autoprompt.optimizer.panel import judged, teach
from autoprompt.optimizer.racing import best, finalists, in_race, join_parts, ranked
from autoprompt.optimizer.screening import Screening
from autoprompt.optimizer.space import Space
from autoprompt.optimizer.strategy import Proposal, Strategy
from autoprompt.optimizer.time_budget import TimePlan
from autoprompt.registry import STRATEGIES
from autoprompt.template import LABEL, Literal, Slot, Template

IDLE_GENERATIONS = 3
"""Generations without a new candidate after which a search has nothing left to try."""
NO_PARENTS = ("null", "random")
"""Baselines that show what words are worth: nothing is to be bred from them."""


class Record(Protocol):
    """Takes what is to be stored; called at barriers, in candidate order."""

    def __call__(self, evaluations: Sequence[Evaluation], role: str, proposals: Sequence[Proposal] = ()) -> None:
        """``proposals``: those of a generation, which say where its candidates came from."""


@dataclass
class Search:
    """One run of one strategy over one evaluator. ``describe`` is told what is going on."""

    evaluator: CandidateEvaluator
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
    refit: bool = False
    """Whether the winner is trained once more at the end, where there is time."""
    restart: float = 0.0
    """Seconds until a worker that was ended works again."""
    forecast: Forecast = field(default_factory=Forecast)
    """Is told which stage begins; whoever made the evaluator has it observe that."""
    tuned: list[Evaluation] = field(default_factory=list, init=False)
    parts: dict[str, list[Evaluation]] = field(default_factory=dict, init=False)
    """Each finalist's folds and repeats, by candidate id."""
    whole: dict[str, Evaluation] = field(default_factory=dict, init=False)
    """Each finalist's folds and repeats as one evaluation, as it was judged after its last round."""
    failures: dict[str, int] = field(default_factory=dict, init=False)
    rounds: int = field(default=0, init=False)
    """Of the finalists, so far."""

    def __post_init__(self) -> None:
        self.pace = TimePlan(
            self.evaluator, self.space, self.budget, self._rounds, self.test_rows, self.restart, self.refit
        )
        self.screening = Screening(self.evaluator, self.space, STRATEGIES[self.strategy_name].learns)
        self.history: list[Generation] = []

    def run(self) -> Outcome:
        """Search until the budget's end. Raises NothingSucceededError when no candidate could be evaluated."""
        rng = random.Random(derived_seed(self.seed, "strategy", self.strategy_name))  # noqa: S311
        strategy = STRATEGIES[self.strategy_name](self.space, self.evaluator, rng)
        baselines = self._baseline_candidates()
        strategy.seen |= set(baselines.values())
        self._begin("baselines")
        self.describe("baselines")
        self.evaluator.time_writing(baselines["manual"])
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
        winner = self._final()
        answers = teach(self.tuned) if self.refit else []
        may_refit = self.pace.may_refit(winner, self.tuned)
        short = {e.candidate.id: e for e in self.tuned if e.complete}
        names = {"manual_tuned": self.space.manual_tuned} | baselines
        found = {"manual": manual[0]} if manual[0].complete else {}
        found |= {name: short[c.id] for name, c in names.items() if c.id in short}
        trained = [short[winner.candidate.id], *(found[n] for n in ("manual", "manual_tuned") if n in found)]
        return Outcome(
            best=winner,
            trained=list({e.candidate.id: e for e in trained}.values()),
            answers=answers if may_refit else [],
            no_time_to_refit=bool(answers) and not may_refit and winner.candidate.settings.tuning != "none",
            parts=self.parts.get(winner.candidate.id, []),
            baselines={name: self._highest(e) for name, e in found.items()},
            judged=[self._highest(e) for e in self.tuned if e.complete],
            finalists=len(self.parts),
            rounds=self.rounds,
            history=self.history,
            generations=generations,
            fitted=self.evaluator.fitted,
            frozen=self.screening.count,
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
        roles = {c.id: name for name, c in reversed(baselines.items())}
        while idle < IDLE_GENERATIONS and self.pace.begin_generation(self.tuned):
            self._begin("search")
            self.describe(f"generation {number}")
            proposals = strategy.ask()
            chosen, scored = self.screening.survivors(
                proposals,
                self.tuned,
                exhaustive=strategy.exhaustive,
                beside=self._parents_to_be() if number == 0 else [],
            )
            refused, strategy.refused = _refusals(strategy.refused), []
            self.evaluator.prepare_votes(chosen[: self.budget.left(self.evaluator.fitted)])
            self.pace.proposed(strategy.later_openings)
            if number == 0:
                chosen = _mixed(list(baselines.values()), chosen)
            promoted = {c.id for c in chosen}
            evaluations = self._fit(
                chosen, roles, partial(self._record_frozen, [*refused, *scored], promoted, proposals)
            )
            strategy.rejudge(self.tuned)
            strategy.tell([e for e in evaluations if roles.get(e.candidate.id) not in NO_PARENTS], proposals)
            self._log(number, evaluations)
            idle = 0 if evaluations else idle + 1
            number += 1
        return number

    def _parents_to_be(self) -> list[Candidate]:
        """Of the baselines, what children may be bred from."""
        tuned = self.space.manual_tuned
        return [tuned] if self.space.has_text(tuned.template) else []

    def _begin(self, stage: str, units: int = 0) -> None:
        self.forecast.begin(stage, units, self.pace, self.tuned)

    def _log(self, generation: int, evaluations: Sequence[Evaluation]) -> None:
        losses = [e.loss for e in evaluations if e.complete]
        low, middle = (min(losses), mean(losses)) if losses else (None, None)
        self.history.append(
            Generation(generation, len(evaluations), self.evaluator.fitted, self.screening.count, low, middle)
        )

    def _record_frozen(self, scored: Sequence[Evaluation], promoted: set[str], proposals: Sequence[Proposal]) -> None:
        self._count_failures(scored)
        self.record(
            [e if e.candidate.id in promoted or not e.complete else replace(e, status="pruned") for e in scored],
            "search",
            proposals,
        )

    def _fit(
        self, candidates: Sequence[Candidate], roles: dict[str, str], record_frozen: Callable[[], None]
    ) -> list[Evaluation]:
        """Fine-tune as many as the budget allows. The frozen scores that led to them are recorded with the first that
        counts, so that a search stopped by the clock and its repetition by number of evaluations record the same."""
        waiting = [record_frozen]
        fitted = self.evaluator.fitted

        def record(sure: bool) -> None:
            if waiting and (sure or self.evaluator.fitted > fitted):
                waiting.pop()()

        def gate() -> bool:
            allowed = self.pace.may_fit(self.tuned)
            if allowed:
                record(self.budget.seconds is None)  # no clock drops a fine-tune that has begun
            return allowed

        left = self.budget.left(self.evaluator.fitted)
        halving = self.space.config.search.halving and not STRATEGIES[self.strategy_name].exhaustive
        evaluations = [
            replace(e, readability=self.screening.readability.get(e.candidate.text_id))
            for e in self.evaluator.fit(
                list(dict.fromkeys(candidates))[:left],
                gate=gate,
                bar=bar(self.tuned) if halving else None,
                left=lambda: self.pace.left_for_fit(self.tuned),
            )
        ]
        record(sure=False)
        self._count_failures(evaluations)
        for role, group in groupby(evaluations, lambda e: roles.get(e.candidate.id, "search")):
            self.record(list(group), role)
        before = len(self.tuned)
        self.tuned = judged([*self.tuned, *evaluations], [*self.tuned, *evaluations])
        evaluations = self.tuned[before:]
        leaders = finalists(self.tuned, self.space.config.search.finalists, drop=self._racing)
        self.evaluator.delete_other_weights([self.space.manual_tuned, *(e.candidate for e in leaders)])
        return evaluations

    def _final(self) -> Evaluation:
        """The finalists' race over folds and repeats, by default training and validation rows in each other's place;
        those that last to the end name the best."""
        racing = self.pace.finalists(self.tuned)
        if not racing:
            return ranked(self.tuned)[0]
        self._begin("finalists", len(racing) * self.pace.unknown_rounds)
        self.describe("finalists")
        candidates = [e.candidate for e in racing]
        looks = 0
        for fold, repeat in self._rounds:
            if self.rounds > 1 and not self.pace.another_round(len(candidates), self.tuned):
                break
            self.rounds += 1
            found = [
                replace(e, readability=self.screening.readability.get(e.candidate.text_id))
                for e in self.evaluator.fit(candidates, rung=Rung.REPEATED, fold=fold, repeat=repeat, counted=False)
            ]
            self._count_failures(found)
            self.record(found, "finalist")
            for evaluation in found:
                self.parts.setdefault(evaluation.candidate.id, []).append(evaluation)
            whole = {
                c.id: join_parts(self.parts[c.id]) for c in candidates if all(p.complete for p in self.parts[c.id])
            }
            whole = {e.candidate.id: e for e in judged(list(whole.values()), self.tuned)}
            self.whole |= whole
            lasting = set(whole)
            if self._racing and (fold, repeat) != (0, 0):  # by what is known from there they were chosen
                looks += 1
                lasting = {e.candidate.id for e in in_race(list(whole.values()), looks)}
            candidates = [c for c in candidates if c.id in lasting or (c == self.space.manual_tuned and c.id in whole)]
        self.parts = {id_: parts for id_, parts in self.parts.items() if all(p.complete for p in parts)}
        return self._best([whole[c.id] for c in candidates] or self.tuned)

    @property
    def _racing(self) -> bool:
        return self.space.config.search.racing

    def _best(self, evaluations: Sequence[Evaluation]) -> Evaluation:
        return best(evaluations) if self._racing else ranked(evaluations)[0]

    def _highest(self, evaluation: Evaluation) -> Evaluation:
        id_ = evaluation.candidate.id
        return self.whole[id_] if id_ in self.parts else evaluation

    @property
    def _rounds(self) -> list[tuple[int, int]]:
        """Fold and repeat of each evaluation of a finalist. Fold 0 is the data's own split."""
        folds = (0, 1) if self.folds is None else tuple(range(1, self.folds + 1))
        return [(fold, repeat) for repeat in range(self.repeats) for fold in folds]

    def _count_failures(self, evaluations: Sequence[Evaluation]) -> None:
        for evaluation in evaluations:
            if evaluation.status == "failed":
                reason = evaluation.reason or evaluation.status
                self.failures[reason] = self.failures.get(reason, 0) + 1

    def _reasons(self) -> str:
        counts = sorted(self.failures.items(), key=lambda item: (-item[1], item[0]))
        return "; ".join(f"{count} x {reason}" for reason, count in counts[:3]) or "none was tried"


def _refusals(refused: Sequence[tuple[Candidate, str]]) -> list[Evaluation]:
    """What was bred in vain, as failures to store: all but what could not be read back."""
    out = []
    for candidate, reason in refused:
        try:
            readable = Candidate.from_dict(candidate.to_dict()) == candidate
        except (InputError, UsageError):
            readable = False
        if readable:
            out.append(Evaluation(candidate, Rung.FROZEN, split="frozen").failed(reason))
    return out


def _mixed(baselines: Sequence[Candidate], survivors: Sequence[Candidate]) -> list[Candidate]:
    """The order of the first fine-tunes: whatever the limit, the tuned manual template has rivals among the first."""
    return [*baselines[:1], *survivors[:2], *baselines[1:], *survivors[2:]]
