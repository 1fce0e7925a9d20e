"""Leaderboards of several machines in one, and copies of a leaderboard that is in use."""

import json
import shutil
import sqlite3

import commands
import pytest
from boards import a_run, an_evaluation

from autoprompt.errors import StorageError
from autoprompt.leaderboard import (
    DataRow,
    EntryEstimate,
    Leaderboard,
    Origin,
    Step,
    holding,
    keep_weights,
    kept_weights,
    merge,
    schema,
)
from autoprompt.results import RunResult

OTHER = "fedcba9876543210"


def filled(path, *runs, evaluations=("k1", "k2"), **changes):
    """A leaderboard of these runs, each with its own evaluations of the same keys."""
    with Leaderboard.open(path) as board:
        for run in runs:
            board.start_run(run)
            board.add([an_evaluation(key, run=run.id, **changes) for key in evaluations])
    return path


def merged(path, other):
    with Leaderboard.open(other, read_only=True) as theirs, Leaderboard.open(path) as board:
        return merge(board, theirs).to_dict()


def content(path):
    with Leaderboard.open(path, read_only=True) as board:
        return board.runs(), board.evaluations(), {run.id: board.attached(Step, run.id) for run in board.runs()}


def test_runs_of_another_machine_come_whole_and_entries_unite(tmp_path):
    here = filled(tmp_path / "here.sqlite", a_run(name="mine"))
    there = filled(tmp_path / "there.sqlite", a_run(OTHER, name="theirs", status="finished", result={"a": 1}))
    before = content(there)
    assert merged(here, there) == {
        "added": [OTHER], "extended": [], "known": [], "evaluations": 2, "weights": 0, "conflicts": [],
        "missing": [], "refused": [],
    }  # fmt: skip
    assert content(there) == before
    runs, evaluations, _ = content(here)
    assert runs[0] == before[0][0]
    assert [e for e in evaluations if e.run == OTHER] == before[1]
    assert len({e.entry for e in evaluations}) == 1, "the same prompt on the same data is one entry"
    with Leaderboard.open(here, read_only=True) as board:
        assert len(board.entry(evaluations[0].entry)) == 4


def test_merging_twice_changes_nothing(tmp_path):
    here, there = filled(tmp_path / "here.sqlite", a_run()), filled(tmp_path / "there.sqlite", a_run(OTHER))
    merged(here, there)
    before = content(here)
    assert merged(here, there) == {"added": [], "extended": [], "known": [OTHER], "evaluations": 0, "weights": 0,
                                   "conflicts": [], "missing": [], "refused": []}  # fmt: skip
    assert content(here) == before
    assert merged(there, here)["added"] == [a_run().id]
    assert {run.id for run in content(there)[0]} == {run.id for run in before[0]}


def test_a_run_that_went_on_elsewhere_is_brought_up_to_date(tmp_path):
    here = filled(tmp_path / "here.sqlite", a_run())
    there = tmp_path / "there.sqlite"
    shutil.copy(here, there)
    with Leaderboard.open(there) as board:
        board.add([an_evaluation("k3", loss=0.25)])
        board.finish_run(a_run().id, "finished", RunResult())
    assert merged(here, there) == {
        "added": [], "extended": [a_run().id], "known": [], "evaluations": 1, "weights": 0, "conflicts": [],
        "missing": [], "refused": [],
    }  # fmt: skip
    assert content(here) == content(there)
    assert merged(here, there)["known"] == [a_run().id]
    assert merged(there, here)["known"] == [a_run().id]


def test_a_run_that_is_going_on_here_is_left_to_its_driver(tmp_path):
    here = filled(tmp_path / "here.sqlite", a_run())
    there = tmp_path / "there.sqlite"
    shutil.copy(here, there)
    with Leaderboard.open(there) as board:
        board.add([an_evaluation("k3")])
    before = content(here)
    with holding(here, a_run().id):
        (conflict,) = merged(here, there)["conflicts"]
    assert "it is going on here" in conflict
    assert content(here) == before
    assert merged(here, there)["extended"] == [a_run().id]


def test_steps_of_a_run_come_with_it_and_it_counts_as_stopped(tmp_path):
    there = filled(tmp_path / "there.sqlite", a_run())
    step = Step(a_run().id, "task", "FitTask 1", {"value": [1.5, None]}, 2.5)
    with Leaderboard.open(there) as board:
        board.attach([step, Origin(a_run().id, "e1", "gradient", ["e0"])])
        board.attach([DataRow(a_run().id, "train", "r1", {"text": "a"}, "pos")])
        board.attach([EntryEstimate(a_run().id, "e1", 0.25, 0.05, 0.5)])
    merged(tmp_path / "new.sqlite", there)
    runs, _, steps = content(tmp_path / "new.sqlite")
    assert [run.status for run in runs] == ["stopped"]
    assert steps == {a_run().id: [step]}
    with Leaderboard.open(tmp_path / "new.sqlite") as board:
        assert [origin.parents for origin in board.attached(Origin, a_run().id)] == [["e0"]]
        assert [row.fields for row in board.attached(DataRow, a_run().id)] == [{"text": "a"}]
        assert [estimate.error for estimate in board.attached(EntryEstimate, a_run().id)] == [0.25]


def test_conflicts_are_told_and_ours_stays(tmp_path):
    here = filled(tmp_path / "here.sqlite", a_run(name="reviews"))
    there = filled(tmp_path / "there.sqlite", a_run(), losses=[0.5, 2.0])
    before = content(here)
    found = merged(here, there)
    assert found["conflicts"] == [f"run {a_run().id}: the two copies have different results"]
    assert content(here) == before
    other = filled(tmp_path / "other.sqlite", a_run(OTHER, name="reviews"), losses=[0.5, 2.0])
    found = merged(here, other)
    assert found["added"] == [OTHER]
    assert any("its name 'reviews'" in line for line in found["conflicts"])
    assert sum("ended differently" in line for line in found["conflicts"]) == 2
    assert content(here)[0][0].name is None


@pytest.mark.parametrize("spoil", ["foreign", "newer", "missing"])
def test_what_is_no_leaderboard_is_not_merged(tmp_path, spoil):
    here, there = filled(tmp_path / "here.sqlite", a_run()), tmp_path / "there.sqlite"
    if spoil != "missing":
        with sqlite3.connect(there) as connection:
            connection.execute("CREATE TABLE runs (id)")
            if spoil == "newer":
                connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
                connection.execute("PRAGMA user_version = 99")
    before = content(here)
    with pytest.raises(StorageError):
        merged(here, there)
    assert content(here) == before


def test_fault_41_a_backup_is_whole_while_others_write(tmp_path):
    path = tmp_path / "lb.sqlite"
    with Leaderboard.open(path) as board:
        board.start_run(a_run())
        board.add([an_evaluation("k1")])
        assert path.with_name("lb.sqlite-wal").stat().st_size > 0
        shutil.copy(path, tmp_path / "naive.sqlite")
        with Leaderboard.open(path, read_only=True) as reader:
            reader.back_up(tmp_path / "backup.sqlite")
        board.add([an_evaluation("k2")])
    assert [e.key for e in content(tmp_path / "backup.sqlite")[1]] == ["k1"]
    assert [e.key for e in content(path)[1]] == ["k1", "k2"]
    assert not list(tmp_path.glob("*-wal")), "a clean exit leaves one file"


def test_a_backup_overwrites_nothing(tmp_path):
    path, there = filled(tmp_path / "lb.sqlite", a_run()), tmp_path / "there"
    there.write_text("mine")
    with Leaderboard.open(path, read_only=True) as board:
        with pytest.raises(StorageError, match="exists"):
            board.back_up(there)
        with pytest.raises(StorageError, match="cannot be written"):
            board.back_up(tmp_path / "no" / "folder")
    assert there.read_text() == "mine"
    assert {p.name for p in tmp_path.iterdir()} == {"lb.sqlite", "there"}


def test_the_commands(tmp_path, capsys):
    here, there = filled(tmp_path / "here.sqlite", a_run()), filled(tmp_path / "there.sqlite", a_run(OTHER))
    shown = commands.call(capsys, "leaderboard", "merge", there, "--leaderboard", here, "--json")
    assert json.loads(shown.out)["added"] == [OTHER]
    shown = commands.call(capsys, "leaderboard", "merge", there, "--leaderboard", here)
    assert "1 known" in shown.err
    shown = commands.call(capsys, "leaderboard", "backup", tmp_path / "copy.sqlite", "--leaderboard", here)
    assert shown.code == 0
    assert content(tmp_path / "copy.sqlite") == content(here)
    refused = commands.call(capsys, "leaderboard", "merge", tmp_path / "none", "--leaderboard", tmp_path / "new")
    commands.refused(refused, 4, "none")
    assert not (tmp_path / "new").exists()
    assert {run.id: run.status for run in content(here)[0]} == {OTHER: "stopped", a_run().id: "running"}


def test_the_winners_weights_come_along(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "weights").write_bytes(b"weights")
    there = tmp_path / "one" / "there.sqlite"
    name = keep_weights(there, tmp_path / "weights")
    assert keep_weights(there, tmp_path / "weights") == name, "once more changes nothing"
    filled(there, a_run(status="finished", result={"weights": name}))
    assert merged(tmp_path / "here.sqlite", there)["weights"] == 1
    assert kept_weights(tmp_path / "here.sqlite", name).read_bytes() == b"weights"
    assert [path.name for path in (tmp_path / "here.sqlite.weights").iterdir()] == [f"{name}.safetensors"]
    shutil.rmtree(tmp_path / "one" / "there.sqlite.weights")
    assert merged(tmp_path / "other.sqlite", there)["weights"] == 0
    kept_weights(tmp_path / "here.sqlite", name).write_bytes(b"damaged")
    for wrong in (name, "0" * 64, "../../etc/passwd", f"{name[:-1]}/"):
        with pytest.raises(StorageError):
            kept_weights(tmp_path / "here.sqlite", wrong)
