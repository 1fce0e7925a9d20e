"""Searches with a time budget, by a clock that moves with the work alone: kept, refused, repeated, resumed."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import commands
import pytest
import runs

from autoprompt import run
from autoprompt.errors import UsageError
from autoprompt.evaluator import Speed
from autoprompt.leaderboard import Leaderboard
from autoprompt.optimizer import Budget
from autoprompt.progress import Silent

FIT = 10.0
COSTS = {"PreparePrefix": 1.0, "FrozenTask": 1.0, "FitTask": FIT, "TestTask": 2.0, "CheckTask": 5.0}
"""Seconds of each piece of work; others take none."""
SPEED = Speed(prefix=2 / 48, tokens=20, frozen=1 / 48, scored=0.02, trained=(FIT - 1.44) / 24, written=0.0)
"""What is measured of these, with one pass over 24 rows in a fine-tune."""


class Killed(BaseException):
    """What ends a driver in these tests."""


class Machine:
    """A clock, and how much slower each fine-tune is than was measured."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slower: Callable[[int], float] = lambda _: 1.0
        self.fits = 0
        self.dropped = 0
        self.tasks = 0
        self.killed_at = -1

    def clock(self) -> float:
        return self.now


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The machine that searches run on, with one worker, which is this process."""
    here = Machine()

    class Timed(commands.Inline):
        def map(self, function: Any, items: Sequence[Any], gate: Any = None, **more: Any) -> Iterator[Any]:
            for item in items:
                if gate is not None and not gate():
                    return
                if here.tasks == here.killed_at:
                    raise Killed
                kind = type(item).__name__
                here.tasks += kind != "CheckTask"
                seconds = COSTS.get(kind, 0.0)
                if kind == "FitTask" and item.evaluation.candidate.settings.tuning != "none":
                    seconds *= here.slower(here.fits)
                    here.fits += 1
                elif kind == "FitTask":
                    seconds = 1.0
                left = more.get("left", lambda: None)()
                here.now += seconds if left is None else min(seconds, left)
                if left is not None and seconds > left:
                    here.dropped += 1
                    yield more["late"](item)
                    continue
                work = replace(function(item), seconds=seconds)
                yield replace(work, value=SPEED) if kind == "MeasureTask" else work

    monkeypatch.setattr("autoprompt.run.backends.local.LocalExecutor", Timed)
    monkeypatch.setattr(
        "autoprompt.run.searching.budget_of",
        lambda options: Budget(options.budget, options.max_evaluations, here.clock, started=here.now or 1e-9),
    )
    return here


@pytest.fixture
def options(model_folders: dict[str, Path], corpus_folder: Path, tmp_path: Path) -> run.SearchOptions:
    small = runs.small(model_folders["llama"], corpus_folder, tmp_path)
    return replace(small, max_evaluations=None, budget=120.0)


def found(options: run.SearchOptions, result: dict[str, Any]) -> list[Any]:
    """What the search phase proposed and fine-tuned, in order, with its scores."""
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        rows = [e for e in board.evaluations(result["run"]) if e.rung < 2 and e.split != "test"]
    return [(e.entry, e.rung, e.role, e.status, e.losses) for e in rows]


@pytest.mark.parametrize("seconds", [70.0, 100.0, pytest.param(150.0, marks=pytest.mark.slow)])
def test_a_budget_is_kept(options: run.SearchOptions, machine: Machine, seconds: float) -> None:
    result = run.search(replace(options, budget=seconds), Silent()).to_dict()
    assert machine.now <= 1.1 * seconds
    assert result["evaluations"] >= 2
    assert result["seconds"] == pytest.approx(machine.now, abs=0.01)
    assert machine.dropped == 0


def test_a_budget_is_kept_on_a_machine_that_gets_busy_and_its_count_repeats_it(
    options: run.SearchOptions, machine: Machine, tmp_path: Path
) -> None:
    """The fine-tune that is on its way then is dropped: it counts for nothing, nor do the frozen scores before it."""
    machine.slower = lambda number: 1.0 if number < 3 else 100.0
    result = run.search(options, Silent()).to_dict()
    assert machine.dropped == 1
    assert machine.now <= 1.1 * options.budget
    assert result["evaluations"] == 3
    assert result["finalists"] == 0
    assert result["left_out"] == ["The winner was not scored a second time: no time was left for finalists."]
    counted = replace(options, budget=None, max_evaluations=3, leaderboard=tmp_path / "counted.sqlite")
    machine.slower = lambda _: 1.0
    assert found(counted, run.search(counted, Silent()).to_dict()) == found(options, result)


@pytest.mark.parametrize(
    "share", [pytest.param(0.3, marks=pytest.mark.slow), 0.7, pytest.param(0.95, marks=pytest.mark.slow)]
)
def test_a_run_killed_around_a_dropped_fine_tune_ends_as_if_nothing_had_happened(
    options: run.SearchOptions, machine: Machine, share: float, tmp_path: Path
) -> None:
    machine.slower = lambda number: 1.0 if number < 3 else 100.0
    whole = runs.facts(options.leaderboard, run.search(options, Silent()).to_dict())
    count = machine.tasks
    other = replace(options, leaderboard=tmp_path / "other.sqlite")
    machine.now, machine.fits, machine.tasks, machine.killed_at = 0.0, 0, 0, round(share * count)
    with pytest.raises(Killed):
        run.search(other, Silent()).to_dict()
    with Leaderboard.open(other.leaderboard, read_only=True) as board:
        reference = board.runs()[0].id
    machine.killed_at = -1
    assert runs.facts(other.leaderboard, run.resume(reference, other.leaderboard, Silent()).to_dict()) == whole


def test_further_rounds_of_finalists_look_at_the_clock(options: run.SearchOptions, machine: Machine) -> None:
    assert isinstance(options.config, Path)
    options.config.write_text(f"{runs.SMALL}racing = false\n")  # nobody leaves early
    many = replace(options, repeats=4, budget=300.0)
    machine.slower = lambda _: 1.0 if machine.now < 200 else 3.0
    result = run.search(many, Silent()).to_dict()
    assert machine.now <= 1.1 * many.budget + 2 * 3 * FIT, "a round cannot be interrupted"
    (said,) = result["left_out"]
    assert said.startswith("The finalists were scored on ")
    assert said.endswith(" of 8 folds and repeats: no time was left for more.")


@pytest.mark.parametrize("seconds", [1.0, 20.0, 40.0])
def test_a_budget_that_does_not_suffice_is_refused_before_anything_is_trained(
    options: run.SearchOptions, machine: Machine, seconds: float
) -> None:
    with pytest.raises(UsageError, match=r"is too short: this data and model need about .*; give budget='"):
        run.search(replace(options, budget=seconds), Silent()).to_dict()
    assert machine.fits == 0
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        assert board.runs() == []


def test_the_default_budget_is_refused_as_such(options: run.SearchOptions, machine: Machine) -> None:
    machine.now = 1.0
    slow = replace(options, budget=None, max_evaluations=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "autoprompt.run.searching.budget_of", lambda _: Budget(30.0, clock=machine.clock, started=machine.now)
        )
        with pytest.raises(UsageError, match=r"The default budget of 30s is too short"):
            run.search(slow, Silent()).to_dict()


def test_the_command_refuses_a_budget_with_what_it_would_take(
    capsys: pytest.CaptureFixture[str], options: run.SearchOptions, tmp_path: Path
) -> None:
    """Measured for real: the command began when this process did, and results take a second to write."""
    board = tmp_path / "cli.sqlite"
    result = commands.call(
        capsys, "search", options.corpus, "--model", options.model.model, "--budget", "1s", "--leaderboard", board
    )
    commands.refused(result, 2, "The budget of 1s is too short", "24 test rows", "give --budget", "--max-length")
    with Leaderboard.open(board, read_only=True) as kept:
        assert kept.runs() == []


def test_the_result_says_whether_anything_was_better(options: run.SearchOptions, machine: Machine) -> None:
    result = run.search(options, Silent()).to_dict()
    assert "tuned manual template" in result["verdict"]
    assert result["verdict"].endswith(".")
    json.dumps(result)
    assert machine.fits
