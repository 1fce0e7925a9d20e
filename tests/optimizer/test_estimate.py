"""What a search needs at least, and what it is likely to take, from measured speeds."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import fakes
import pytest

from autoprompt.candidate import Candidate, Settings
from autoprompt.errors import UsageError
from autoprompt.evaluator import Speed
from autoprompt.evaluator.cost_model import CROWDED_SECONDS, CostModel, prefix_key
from autoprompt.optimizer import Budget, Expected, SearchConfig, Space, check_budget, needed
from autoprompt.optimizer.forecast import Forecast
from autoprompt.optimizer.time_budget import FINISH_SECONDS, SLACK, TimePlan
from autoprompt.run.worker_pool import BusyMachineNote
from autoprompt.stage_times import StageTimes
from autoprompt.template import LabelWords, Template

WORDS = LabelWords((("a", "yes"), ("b", "no")))
SPEED = Speed(prefix=0.1, tokens=30, frozen=0.02, scored=0.01, trained=0.005)
SETTINGS = Settings("tail", 5e-4, 8, 10, 8)
FIT = 10 * 32 * 0.005 + (32 + 2 * 32) * 0.01
"""Seconds of a fine-tune of ten passes over 32 rows."""


class Clock:
    """Stands still until it is moved."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def space(**rules: Any) -> Space:
    manual = Candidate(Template.parse("{text} manual {label}"), WORDS, SETTINGS)
    return Space(manual, "label", ("word",), SearchConfig.model_validate({"search": rules}))


def cost_model(speed: Speed | None = SPEED, *, workers: int = 2, voted: int = 0) -> CostModel:
    labels = ("a", "b") if voted else ()
    rows: Any = SimpleNamespace(train=range(32), validation=range(32), unlabeled=range(voted), labels=labels)
    costs = CostModel(rows, workers)
    costs.speed = speed
    return costs


def budget(seconds: float, spent: float = 0.0) -> Budget:
    clock = Clock(1000.0)
    made = Budget(seconds=seconds, clock=clock)
    clock.now += spent
    return made


# The least that a run needs


def test_the_least_is_baselines_proposals_two_fine_tunes_and_the_test_rows() -> None:
    need = needed(cost_model(), space(), "hybrid", 400, 2)
    prefixes = 64 * 0.1 / 2
    assert need.baselines == pytest.approx(SLACK * (prefixes + 32 * 0.01))
    # 64 rows of 30 tokens: four openings, and twelve proposals beside the manual template.
    assert need.proposals == pytest.approx(SLACK * (4 * prefixes + 7 * 64 * 0.02))
    assert need.fine_tunes == pytest.approx(SLACK * FIT), "both at once"
    assert need.finalists == pytest.approx(SLACK * FIT)
    assert need.test == pytest.approx(SLACK * 400 * (2 * 0.1 + 3 * 0.01) / 2)
    assert need.least == need.baselines + need.proposals + need.fine_tunes + need.test + FINISH_SECONDS


def test_one_worker_takes_its_turns_and_more_rows_take_longer() -> None:
    one, two = (needed(cost_model(workers=n), space(), "hybrid", 400, 2) for n in (1, 2))
    assert one.fine_tunes == pytest.approx(2 * two.fine_tunes)
    assert one.test == pytest.approx(2 * two.test)
    assert needed(cost_model(), space(), "hybrid", 0, 2).test == 0
    assert needed(cost_model(), space(), "hybrid", 400, 6).finalists == pytest.approx(5 * two.finalists)


@pytest.mark.parametrize(
    ("strategy", "rules", "scores"),
    [("grid", {}, 0), ("random", {"ladder": False}, 0), ("random", {"pool": 30}, 16), ("genetic", {"pool": 30}, 16)],
)
def test_proposals_cost_what_the_strategy_asks_for(strategy: str, rules: dict[str, Any], scores: int) -> None:
    without_prefix = Speed(frozen=0.02, scored=0.01, trained=0.005)
    need = needed(cost_model(without_prefix), space(**rules), strategy, 400, 2)
    assert need.proposals == pytest.approx(SLACK * scores * 64 * 0.02)


def test_written_texts_count() -> None:
    writing = cost_model(Speed(scored=0.01, trained=0.005, written=0.001))
    writing.written_tokens = 20
    need = needed(writing, space(), "grid", 400, 2)
    assert need.test == pytest.approx(SLACK * 400 * 3 * (0.01 + 0.02) / 2)
    assert need.finalists == pytest.approx(SLACK * 2 * (FIT + 32 * 0.02)), "no round is known"


def test_a_budget_that_is_too_short_is_refused_with_what_it_would_take() -> None:
    need = needed(cost_model(), space(), "hybrid", 400, 2)
    with pytest.raises(UsageError) as caught:
        check_budget(budget(60.0, spent=10.0), need, default=False)
    said = str(caught.value)
    assert said.startswith("The budget of 1m is too short: this data and model need about 1m")
    assert "data and model 10s, baselines 4s, first proposals 24s, 2 fine-tunes 3s, 400 test rows 51s" in said
    assert said.endswith("fewer test_rows, a shorter max_length or a smaller model.")
    advised = 2 * 60
    assert f"give budget='{advised // 60}m'" in said
    assert check_budget(budget(advised, spent=10.0), need, default=False) is None, "what is advised is enough"
    with pytest.raises(UsageError, match="The default budget of 1m is too short"):
        check_budget(budget(60.0, spent=10.0), need, default=True)


def test_a_budget_without_room_for_finalists_says_so_before_it_starts() -> None:
    need = needed(cost_model(), space(), "hybrid", 400, 2)
    said = check_budget(budget(need.least + need.finalists / 2), need, default=False)
    assert said is not None
    assert "leaves no time for finalists, which need about 3s more" in said


def test_a_budget_that_falls_short_by_less_than_it_may_be_overrun_is_taken() -> None:
    need = needed(cost_model(), space(), "hybrid", 400, 2)
    said = check_budget(budget(need.least / 1.09), need, default=False)
    assert said is not None
    assert "leaves no time for finalists" in said
    with pytest.raises(UsageError, match="too short"):
        check_budget(budget(need.least / 1.11), need, default=False)


def test_a_limit_of_evaluations_is_no_budget_of_time() -> None:
    need = needed(cost_model(), space(), "hybrid", 400, 2)
    assert check_budget(Budget(evaluations=3), need, default=False) is None


def test_nothing_measured_needs_nothing() -> None:
    assert needed(cost_model(None), space(), "hybrid", 400, 2).least == FINISH_SECONDS


# The cost model


def test_estimates_follow_what_was_measured_of_late() -> None:
    costs = cost_model()
    assert costs.fit_estimate(SETTINGS) == pytest.approx(FIT)
    costs.fit_seconds += [3.0] * 20
    assert costs.fit_estimate(SETTINGS) == 3.0
    costs.fit_seconds += [30.0] * 8  # the machine got busy
    assert costs.fit_estimate(SETTINGS) == 30.0
    costs.prefix_speeds += [9.0] * 4 + [0.1] * 20
    assert costs.spread == (1.0, 1.0), "a worker's first passes are left aside"
    costs.prefix_speeds += [0.1, 0.2, 0.1, 0.3] * 2
    low, high = costs.spread
    assert low < 1 < high


def test_a_machine_is_busy_when_workers_do_not_compute() -> None:
    costs = cost_model()
    assert not costs.crowded
    costs.record_work(CROWDED_SECONDS / 2, 1.0)
    assert not costs.crowded, "too little is known"
    costs.record_work(CROWDED_SECONDS / 2, 1.0)
    assert costs.crowded
    costs.record_work(1000.0, 0.0)
    assert costs.computing == pytest.approx(2.0 / CROWDED_SECONDS), "of a GPU's work nothing is known"
    costs.record_work(1000.0, 990.0)
    assert not costs.crowded


def test_a_refusal_on_a_busy_machine_says_that_it_is_busy() -> None:
    costs = cost_model()
    costs.record_work(100.0, 25.0)
    with pytest.raises(UsageError, match=r"free the machine, which is busy \(its workers computed in 25 % of their"):
        check_budget(budget(5.0), needed(costs, space(), "hybrid", 400, 2), default=False)


def test_a_busy_machine_is_noted_once() -> None:
    notes: list[str] = []
    costs = cost_model()
    note = BusyMachineNote(SimpleNamespace(note=notes.append))  # type: ignore[arg-type]
    for _ in range(3):
        costs.record_work(10.0, 2.2)
        note(None, SimpleNamespace(costs=costs))  # type: ignore[arg-type]
    (said,) = notes
    assert said.startswith("The machine looks busy: the workers computed in 22 % of their time")


# Forecasts


def forecast(limits: Budget, costs: CostModel, need: Any = None) -> tuple[Forecast, list[list[Expected]], TimePlan]:
    told: list[list[Expected]] = []
    pace = TimePlan(fakes.FakeEvaluator(costs), space(), limits, [(0, 0), (1, 0)], 400)
    made = Forecast(need, lambda stages: told.append(list(stages)), Clock())
    return made, told, pace


def test_nothing_is_foretold_that_was_not_measured() -> None:
    costs = cost_model(None)
    told_of, told, pace = forecast(Budget(evaluations=20), costs)
    told_of.begin("baselines", pace=pace)
    assert told == [[Expected(name, None) for name in ("baselines", "search", "finalists", "test")]]
    costs.prefix_speeds += [0.001] * 20
    costs.prefix_sizes[prefix_key(space().manual)] = 1920
    told_of.begin("search", pace=pace)
    assert [stage.seconds is None for stage in told[-1]] == [True, True, False]
    costs.fit_seconds += [4.0, 6.0]
    told_of.clock.now = 5.0  # type: ignore[attr-defined]
    told_of.worked()
    assert [stage.seconds is None for stage in told[-1]] == [False] * 3


def test_a_limit_of_evaluations_takes_as_long_as_its_fine_tunes() -> None:
    costs = cost_model(None)
    costs.fit_seconds += [4.0, 4.0, 4.0, 8.0, 8.0, 8.0]
    told_of, told, pace = forecast(Budget(evaluations=20), costs)
    pace.evaluator.fitted = 8  # type: ignore[misc]
    pace.overhead = 3.0
    told_of.begin("search", pace=pace)
    low, high = told[-1][0].seconds or (0, 0)
    assert low == pytest.approx(6 * 4.0 + 2 * 3.0)
    assert high == pytest.approx(6 * 8.0 + 3 * 3.0)


def test_a_search_by_the_clock_goes_on_until_finalists_and_test() -> None:
    costs = cost_model()
    need = needed(costs, space(), "hybrid", 400, 2)
    told_of, told, pace = forecast(budget(200.0, spent=50.0), costs, need)
    told_of.begin("baselines", pace=pace)
    assert dict(told[-1]) == {
        "baselines": (need.baselines,) * 2,
        "search": (pytest.approx(150 - need.finalists - need.test),) * 2,
        "finalists": (need.finalists,) * 2,
        "test": (need.test,) * 2,
    }


def test_a_refit_is_a_stage_of_its_own_where_one_is_planned() -> None:
    costs = cost_model(voted=12)
    costs.prefix_speeds += [0.001] * 20
    costs.fit_seconds += [4.0, 6.0]
    told_of, told, pace = forecast(budget(500.0, spent=50.0), costs, needed(costs, space(), "hybrid", 400, 2))
    told_of.begin("search", pace=replace(pace, refit=True))
    search, *later = told[-1]
    assert [stage.stage for stage in (search, *later)] == ["search", "finalists", "refit", "test"]
    again = costs.refit_seconds(space().manual_tuned.settings)
    assert later[1].seconds == (again, again)
    least, most = (sum(stage.seconds[end] for stage in later if stage.seconds) for end in (0, 1))
    assert search.seconds == (pytest.approx(450 - most), pytest.approx(450 - least))
    told_of.begin("refit")
    told_of.begin("test", 4)
    assert [[stage.stage for stage in one] for one in told[1:]] == [["refit", "test"], ["test"]]


def test_a_run_without_a_search_foretells_nothing() -> None:
    told: list[object] = []
    Forecast(None, told.append).begin("test", 8)
    assert told == []


def test_a_stage_of_known_pieces_goes_by_its_own_pace() -> None:
    costs = cost_model()
    told_of, told, pace = forecast(budget(500.0), costs, needed(costs, space(), "hybrid", 400, 2))
    told_of.begin("test", 8, pace)
    clock = told_of.clock
    for _ in range(2):  # each takes thirty seconds on a machine that got busy
        clock.now += 30.0  # type: ignore[attr-defined]
        told_of.worked()
    assert told[-1] == [Expected("test", (180.0, 180.0))]


def test_stages_are_shown_with_what_they_took_and_will_take() -> None:
    clock = Clock()
    times = StageTimes(clock)
    assert times.likely == "measuring"
    for text, seconds in (("data", 2), ("first use: model", 5), ("model", 8), ("measuring", 2), ("baselines", 0)):
        times.begin(text)
        clock.now += seconds
    assert times.took == "data 0:07, model 0:10"
    times.begin("generation 0")
    times.expect([Expected("search", (80.0, 120.0)), Expected("finalists", None), Expected("test", (14.0, 14.2))])
    assert times.likely == "search 1:20 to 2:00, finalists measuring, test 0:14"
    clock.now += 70
    assert times.likely == "search 0:10 to 0:50, finalists measuring, test 0:14"
    times.begin("generation 1")
    clock.now += 60
    assert times.likely == "search about to end, finalists measuring, test 0:14"
