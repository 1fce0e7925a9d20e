"""Searches as a whole: repeatable, within their limits, blind to the test rows, and stoppable."""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import commands
import pytest
import runs

from autoprompt import run
from autoprompt.corpus import load
from autoprompt.corpus.types import SPLITS
from autoprompt.errors import InputError, NothingSucceededError, UsageError
from autoprompt.evaluator import Evaluation, Evaluator
from autoprompt.leaderboard import DataRow, EntryEstimate, Leaderboard, Origin, kept_weights
from autoprompt.optimizer import Budget
from autoprompt.progress import Silent
from autoprompt.registry import OPERATORS

pytestmark = pytest.mark.alone

LIMIT = 6


@pytest.fixture
def options(model_folders: dict[str, Path], corpus_folder: Path, tmp_path: Path) -> run.SearchOptions:
    return run.SearchOptions(
        corpus=str(corpus_folder),
        model=run.ModelOptions(str(model_folders["llama"]), "cpu", 1),
        max_evaluations=LIMIT,
        leaderboard=tmp_path / "lb.sqlite",
        config=config(tmp_path),
        fix={"epochs": 1},
    )


def config(folder: Path, rules: str = "") -> Path:
    """Small generations."""
    path = folder / "small.toml"
    path.write_text(f"[search]\npool = 4\nsurvivors = 2\n{rules}")
    return path


def digest(options: run.SearchOptions, result: dict) -> str:
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        return board.digest(result["run"])


@pytest.mark.parametrize(
    ("strategy", "limit"),
    [("hybrid", 6), *(pytest.param(name, 9, marks=pytest.mark.slow) for name in ("hybrid", "gradient"))],
)
def test_fault_52_the_same_seed_gives_the_same_bits_whatever_the_workers(
    options: run.SearchOptions, strategy: str, limit: int
) -> None:
    """Over several small generations: selection, breeding, the model's proposals and label words take part."""
    data = run.DataOptions(test_rows=0, unlabeled=str(runs.more_rows(options.config.parent)))
    options.config.write_text(f"{options.config.read_text()}[template]\nlabel_words = true\n")
    one = replace(options, strategy=strategy, max_evaluations=limit, data=data)
    two = replace(one, model=replace(options.model, workers=2))
    results = [run.search(two, Silent()).to_dict()]
    with commands.inline():
        results += [run.search(one, Silent()).to_dict()]
    assert digest(one, results[0]) == digest(one, results[1])
    assert results[0]["best"] == results[1]["best"]
    assert results[0]["history"] == results[1]["history"]
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        short = [e for e in board.evaluations() if (e.split, e.rung, e.status) == ("validation", 1, "complete")]
    assert {len(e.votes) for e in short} == {12}
    assert [r["evaluations"] for r in results] == [limit] * 2
    assert all(r["generations"] >= limit // 3 for r in results)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["hybrid", "gradient"])
def test_fault_52_the_same_seed_gives_the_same_bits_again_and_another_seed_others(
    options: run.SearchOptions, strategy: str
) -> None:
    one = replace(options, strategy=strategy, max_evaluations=9)
    with commands.inline():
        results = [run.search(o, Silent()).to_dict() for o in (one, one, replace(one, seed=1))]
    first, again, other = (digest(one, result) for result in results)
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    "strategy", ["hybrid", *(pytest.param(n, marks=pytest.mark.slow) for n in ("genetic", "gradient", "random"))]
)
def test_the_limit_counts_fine_tunes_and_baselines_race(options: run.SearchOptions, strategy: str) -> None:
    with commands.inline():
        result = run.search(replace(options, strategy=strategy), Silent()).to_dict()
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        stored = board.evaluations(result["run"])
    tuned = [e for e in stored if e.rung == 1 and e.split == "validation" and e.candidate.settings.tuning != "none"]
    assert result["evaluations"] == len(tuned) <= LIMIT
    assert len(tuned) == LIMIT
    assert result["frozen"] == sum(e.split == "frozen" for e in stored) > 0
    assert all(result["baselines"][name] for name in ("manual", "manual_tuned", "null", "random"))
    assert result["baselines"]["manual"]["settings"] == {"tuning": "none"}
    assert {"manual", "manual_tuned"} <= {e.role for e in stored}
    assert result["best"]["validation"]["n"] == 48  # both folds
    assert result["baselines"]["manual_tuned"]["validation"]["n"] == 48  # a finalist as well
    assert 2 <= result["finalists"] <= 6
    assert [row["generation"] for row in result["history"]] == list(range(result["generations"]))
    assert sum(row["tuned"] for row in result["history"]) == LIMIT


@pytest.mark.parametrize("rules", ["", pytest.param("ladder = false\n", marks=pytest.mark.slow)])
def test_where_entries_came_from_the_rows_and_the_weights_are_kept(
    options: run.SearchOptions, rules: str, tmp_path: Path
) -> None:
    mine = replace(options, max_evaluations=9, config=config(tmp_path, rules))
    with commands.inline():
        result = run.search(mine, Silent()).to_dict()
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        origins = {origin.entry: origin for origin in board.attached(Origin, result["run"])}
        rows = board.attached(DataRow, result["run"])
        stored = board.evaluations(result["run"])
        estimates = {one.entry: one.error for one in board.attached(EntryEstimate, result["run"])}
        listed = [entry.row for entry in board.listed_entries(result["run"])]
    assert estimates.keys() == {e.entry for e in stored if e.split == "validation" and e.rung and e.status == "complete"
                                and e.role != "manual"}  # fmt: skip
    assert estimates[result["best"]["entry"]] == result["best"]["estimate"]["error"]
    finalists = [row.estimate.error for row in listed if row.rung == 2]
    assert finalists == sorted(finalists)
    assert kept_weights(options.leaderboard, result["weights"]).stat().st_size > 1000, "the winner's weights"
    searched = {e.entry for e in stored if e.role == "search" and e.rung == 1}
    assert searched <= origins.keys()
    assert {origins[entry].operator for entry in searched} > {"library"}
    bred = [origin for origin in origins.values() if origin.operator in OPERATORS]
    assert bred
    assert all(origin.parents and set(origin.parents) <= {e.entry for e in stored} for origin in bred)
    corpus = load(options.corpus)
    assert [(r.split, r.row_id, r.fields, r.label) for r in rows] == [
        (split, row.row_id, row.fields, row.label) for split in SPLITS for row in getattr(corpus, split)
    ]


def test_a_limit_of_one_still_gives_a_result(options: run.SearchOptions) -> None:
    with commands.inline():
        result = run.search(replace(options, max_evaluations=1), Silent()).to_dict()
    assert result["evaluations"] == 1
    assert result["best"]["template"] == result["baselines"]["manual_tuned"]["template"]


@dataclass
class Watcher(Silent):
    """Remembers what a run told its view."""

    stages: list[str] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def evaluated(self, evaluation: Evaluation | None, evaluator: Evaluator) -> None:  # noqa: ARG002
        if evaluation is not None:
            self.seen.append((self.stages[-1], evaluation.split))


def test_fault_08_test_rows_are_out_of_reach_until_the_end(options: run.SearchOptions, monkeypatch) -> None:
    specs = []

    class Spying(commands.Inline):
        def __init__(self, workers, initializer, arguments, **_) -> None:
            specs.extend(arguments)
            super().__init__(workers, initializer, arguments)

        def map(self, function, items: Sequence, gate=None, **rest):
            tests.append(any(type(item).__name__ == "TestTask" for item in items))
            return super().map(function, items, gate, **rest)

    tests: list[bool] = []
    monkeypatch.setattr("autoprompt.run.backends.local.LocalExecutor", Spying)
    watcher = Watcher()
    result = run.search(options, watcher).to_dict()
    assert [spec.corpus.test for spec in specs] == [()]
    assert tests[-1]
    assert not any(tests[:-1])
    assert watcher.stages[-1] == "test"
    assert {split for _, split in watcher.seen} == {"frozen", "validation"}
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        stored = board.evaluations(result["run"])
    opened = [e for e in stored if e.split == "test"]
    assert stored[-len(opened) :] == opened
    assert 1 <= len(opened) <= 3
    assert {e.entry for e in opened} == {
        row["entry"] for row in (result["best"], result["baselines"]["manual"], result["baselines"]["manual_tuned"])
    }
    assert all(len(e.row_ids) == 24 for e in opened)


def test_a_run_tells_of_cut_fields(options: run.SearchOptions) -> None:
    """Fault 10: in the view, in the result and in the stored run."""
    notes: list[str] = []

    class Noting(Silent):
        def note(self, text: str) -> None:
            notes.append(text)

    with commands.inline():
        result = run.search(replace(options, max_evaluations=1, data=run.DataOptions(max_length=2)), Noting()).to_dict()
    (warning,) = [text for text in result["warnings"] if "cut" in text]
    assert warning in notes
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        assert board.run(result["run"]).config.warnings == result["warnings"]


def test_a_model_in_another_chat_or_length_is_another_entry(options: run.SearchOptions) -> None:
    with commands.inline():
        entries = {
            run.search(replace(options, max_evaluations=1, data=run.DataOptions(max_length=n)), Silent()).to_dict()[
                "best"
            ]["entry"]
            for n in (8, 128)
        }
    assert len(entries) == 2


def test_a_refused_start_leaves_no_run_and_its_name_free(
    options: run.SearchOptions, model_folders: dict[str, Path]
) -> None:
    wrong = replace(options, name="mine", model=replace(options.model, model=str(model_folders["words"])))
    wrong = replace(wrong, label_words={"negative": "zzzzz", "positive": "good"})
    with commands.inline(), pytest.raises(InputError):
        run.search(wrong, Silent()).to_dict()
    with commands.inline():
        run.search(replace(options, name="mine", max_evaluations=1), Silent()).to_dict()
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        assert [(r.name, r.status) for r in board.runs()] == [("mine", "finished")]
    with commands.inline(), pytest.raises(UsageError, match="resume"):
        run.search(replace(options, name="mine", max_evaluations=1), Silent()).to_dict()


def test_folds_that_the_data_cannot_fill_are_refused(options: run.SearchOptions) -> None:
    with pytest.raises(UsageError, match=r"^folds is 25, but the label 'positive' has only 24"):
        run.search(replace(options, folds=25), Silent()).to_dict()
    assert not options.leaderboard.exists()


def test_two_limits_exclude_each_other(options: run.SearchOptions) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        run.search(replace(options, budget=5.0), Silent()).to_dict()


def test_without_tuning_the_frozen_scores_are_the_fitness(options: run.SearchOptions) -> None:
    with commands.inline():
        result = run.search(replace(options, model=replace(options.model, tuning="none"), fix={}), Silent()).to_dict()
    assert result["evaluations"] <= LIMIT
    assert result["best"]["settings"]["tuning"] == "none"
    assert set(result["best"]["settings"]) <= {"tuning", "calibration"}
    assert result["best"]["estimate"]["error"] <= result["baselines"]["manual"]["estimate"]["error"]


def test_budgets_refuse_nothing_and_less() -> None:
    for limits in ({}, {"seconds": 0.0}, {"seconds": -5.0}, {"evaluations": 0}):
        with pytest.raises(UsageError):
            Budget(**limits)


def test_fault_28_every_candidate_failing_is_named_with_its_reasons(
    options: run.SearchOptions, model_folders: dict[str, Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = commands.copied(model_folders["llama"], tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] *= float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    broken = replace(options, model=replace(options.model, model=str(folder)))
    with commands.inline(), pytest.raises(NothingSucceededError, match=r"\d x .*(loss|finite)") as caught:
        run.search(broken, Silent()).to_dict()
    assert caught.value.exit_code == 5
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        (record,) = board.runs()
        assert record.status == "failed"
        assert {e.status for e in board.evaluations(record.id)} == {"failed"}


def group_members(group: int) -> list[int]:
    """Living processes of a process group."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                fields = (place / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(place.name))
    return found


@pytest.mark.parametrize(
    ("number", "code", "workers"),
    [pytest.param(signal.SIGINT, 130, 2, marks=pytest.mark.slow), (signal.SIGTERM, 143, 1)],
)
def test_fault_31_a_stopped_run_keeps_what_it_has_and_leaves_nobody(
    options: run.SearchOptions, number: signal.Signals, code: int, workers: int
) -> None:
    process = commands.start(
        "search", options.corpus, "--model", options.model.model, "--max-evaluations", 100000, "--workers", workers,
        "--config", options.config, "--fix", "epochs=1", "--leaderboard", options.leaderboard, "--json",
    )  # fmt: skip
    try:
        for line in process.stderr:
            if "generation 1" in line:
                break
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == code
    assert out == ""
    assert "Traceback" not in err
    deadline = time.monotonic() + 10
    while group_members(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert group_members(process.pid) == []
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        (record,) = board.runs()
        assert record.status == "stopped"
        assert any(e.rung == 1 and e.status == "complete" for e in board.evaluations(record.id))
