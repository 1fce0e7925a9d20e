"""What there is time for: generations, finalists, a refit."""

from dataclasses import replace

import fakes
import pytest

from autoprompt.candidate import Candidate, Settings
from autoprompt.evaluator import Evaluation
from autoprompt.optimizer.budget import Budget
from autoprompt.optimizer.config import SearchConfig
from autoprompt.optimizer.space import Space
from autoprompt.optimizer.time_budget import FINISH_SECONDS, LATE, TimePlan
from autoprompt.template import LabelWords, Template

WORDS = LabelWords((("a", "yes"), ("b", "no")))


def candidate(tail: str) -> Candidate:
    return Candidate(Template.parse(f"{{text}} {tail} {{label}}"), WORDS, Settings("tail", 5e-4, 8, 4, 8))


def pace(left: float, *, workers: int = 2, rules: dict[str, object] | None = None) -> TimePlan:
    evaluator = fakes.FakeEvaluator(fakes.FakeCosts(workers))
    space = Space(candidate("manual"), "label", ("word",), SearchConfig.model_validate({"search": rules or {}}))
    budget = Budget(seconds=100.0, clock=lambda: 100.0 - left, started=0.0)
    budget.started = 0.0
    return TimePlan(evaluator, space, budget, [(0, 0), (1, 0)], 0)


def tuned(tail: str, loss: float, seconds: float) -> Evaluation:
    (one,) = fakes.FakeEvaluator().fit([candidate(tail)])
    return replace(one, losses=(loss, loss * 1.1), seconds=seconds)


RANKED = [tuned(f"t{n}", 0.1 + n / 1000, 10.0) for n in range(12)] + [tuned("manual", 0.5, 10.0)]


@pytest.mark.parametrize(("left", "expected"), [(90, 5), (30, 5), (29, 3), (15, 1), (9, 0)])
def test_there_are_as_many_finalists_as_there_is_time_for(left: float, expected: int) -> None:
    """Two workers: six fine-tunes with that of ``manual_tuned`` take three turns of ten seconds, and a tenth."""
    rules: dict[str, object] = {"racing": False}
    chosen = pace(left + FINISH_SECONDS * LATE, rules=rules).finalists(RANKED)
    assert [e.candidate for e in chosen] == [
        *(candidate(f"t{n}") for n in range(expected)),
        *([candidate("manual")] if expected else []),
    ]


def test_slow_finalists_take_their_own_time() -> None:
    slow = [replace(e, seconds=40.0) if e.candidate == candidate("t0") else e for e in RANKED]
    assert len(pace(31.0, rules={"racing": False}).finalists(RANKED)) == 6
    assert pace(31.0, rules={"racing": False}).finalists(slow) == []
    assert len(pace(41.0, rules={"racing": False}).finalists(slow)) == 4 + 1, "beside it the other worker does the rest"


def test_a_paired_test_leaves_out_who_is_worse_unless_there_is_no_racing() -> None:
    far = [tuned("t0", 0.1, 1.0), *(tuned(f"x{n}", 0.9, 1.0) for n in range(11)), tuned("manual", 0.9, 1.0)]
    assert [e.candidate for e in pace(90.0).finalists(far)] == [candidate("t0"), candidate("manual")]
    assert len(pace(90.0, rules={"racing": False}).finalists(far)) == 5 + 1


class Refitting(fakes.FakeCosts):
    """Training the winner once more takes so many seconds, where there are rows without labels."""

    def __init__(self, seconds: float, voted: int = 12) -> None:
        super().__init__(2)
        self.seconds, self.rows = seconds, voted

    @property
    def voted(self) -> int:
        return self.rows

    def refit_seconds(self, settings: Settings) -> float:
        assert settings.tuning == "tail"
        return self.seconds


def refitting(left: float, costs: Refitting, *, refit: bool = True) -> TimePlan:
    plan = pace(left)
    return replace(plan, evaluator=fakes.FakeEvaluator(costs), refit=refit)


@pytest.mark.parametrize(
    ("costs", "refit", "kept"),
    [
        (Refitting(20.0), True, 20.0),
        (Refitting(20.1), True, 0.0),
        (Refitting(20.0, voted=0), True, 0.0),
        (Refitting(20.0), False, 0.0),
    ],
)
def test_up_to_a_fifth_of_the_budget_is_kept_for_training_the_winner_once_more(
    costs: Refitting, refit: bool, kept: float
) -> None:
    assert refitting(90.0, costs, refit=refit).ending_seconds(RANKED) == FINISH_SECONDS + kept


@pytest.mark.parametrize(("left", "expected"), [(44.0, True), (37.0, True), (36.0, False), (0.0, False)])
def test_the_winner_is_trained_once_more_where_there_is_time_whatever_was_kept(left: float, expected: bool) -> None:
    assert refitting(left, Refitting(40.0)).may_refit(RANKED[0], RANKED) is expected
    unlimited = replace(refitting(left, Refitting(40.0)), budget=Budget(evaluations=3))
    assert unlimited.may_refit(RANKED[0], RANKED)
    assert not replace(unlimited, refit=False).may_refit(RANKED[0], RANKED)
    frozen = replace(RANKED[0], candidate=replace(RANKED[0].candidate, settings=Settings("none")))
    assert not unlimited.may_refit(frozen, RANKED)


@pytest.mark.parametrize(
    ("openings", "expected"),
    [(None, 30.0), (4, 30.0), (9, 30.0), (2, 20.0), (0, 10.0)],
)
def test_a_later_generation_takes_less_where_it_opens_less(openings: int | None, expected: float) -> None:
    """The first took 30 seconds, 20 of them for four openings by two workers."""
    spent = [0.0]
    plan = replace(pace(90.0), budget=Budget(seconds=100.0, clock=lambda: spent[0]))
    plan.budget.started = 0.0
    assert plan.begin_generation([])
    for number in range(4):
        plan.evaluator.costs.record_prefix((Template.parse(f"{number} {{text}}"), ()), 100, 10.0)
    spent[0] = 30.0
    plan.proposed(openings)
    assert plan.overhead == pytest.approx(expected)
