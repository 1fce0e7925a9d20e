"""Rows that damage hides, weights that belong to a leaderboard, and taking a run out of it."""

import json
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from hashlib import sha256

import commands
import pytest
from boards import RUN, a_run, an_evaluation

from autoprompt.errors import NotFoundError, StorageError
from autoprompt.leaderboard import (
    DataRow,
    EntryEstimate,
    Leaderboard,
    Origin,
    Step,
    holding,
    keep_weights,
    kept_weights,
)
from autoprompt.results import RunResult

OTHER = "fedcba9876543210"
ROWS = [DataRow(RUN, "train", f"r{n}", {"text": f"text {n}"}, "pos") for n in range(300)]


@pytest.fixture
def board(tmp_path):
    path = tmp_path / "lb.sqlite"
    with Leaderboard.open(path) as opened:
        opened.start_run(a_run(name="mine"), ROWS)
        opened.add([an_evaluation(f"k{n}", f"T{n} {{text}}{{label}}", loss=n / 9) for n in range(30)])
        attached = [Origin(RUN, "e1", "words", ["e0"]), EntryEstimate(RUN, "e1", 0.25, 0.05, 0.5)]
        opened.attach([Step(RUN, "task", "a", {}, 0.5), *attached])
    return path


def weights(board, content):
    file = board.parent / "file"
    file.write_bytes(content)
    return keep_weights(board, file)


def test_a_whole_leaderboard_is_said_to_be_whole(board, capsys):
    done = commands.call(capsys, "leaderboard", "check", board)
    assert (done.code, done.err) == (0, "")
    assert done.out == "OK: 1 runs, 30 evaluations, 1 steps, 1 origins, 1 estimates, 300 data rows, 0 weights.\n"
    shown = commands.call(capsys, "leaderboard", "check", "--leaderboard", board, "--json")
    assert json.loads(shown.out) == {
        "runs": 1, "evaluations": 30, "steps": 1, "origins": 1, "estimates": 1, "data_rows": 300, "weights": 0,
        "problems": [],
    }  # fmt: skip


def spoil_an_index(path, key):
    """Flips a bit of a key in a page of an index, so that its row cannot be found through it."""
    content = path.read_bytes()
    with closing(sqlite3.connect(path)) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    for found in re.finditer(re.escape(key), content):
        place = found.start()
        if content[size * (place // size)] in (2, 10):  # a page of an index
            path.write_bytes(content[:place] + bytes([content[place] ^ 0x01]) + content[place + 1 :])
            with closing(sqlite3.connect(path)) as connection:
                if connection.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                    return
    raise AssertionError("no page of an index has the key")


@pytest.mark.parametrize("kind", [DataRow, EntryEstimate, Origin, Step])
def test_rows_that_an_index_hides_are_missed(board, kind, capsys):
    table = {DataRow: "data_rows", EntryEstimate: "estimates", Origin: "origins", Step: "steps"}[kind]
    with closing(sqlite3.connect(board, isolation_level=None)) as connection:
        connection.execute(f"DELETE FROM {table} WHERE number = (SELECT max(number) FROM {table})")  # noqa: S608
    with Leaderboard.open(board, read_only=True) as opened, pytest.raises(StorageError, match="damaged") as caught:
        opened.attached(kind, RUN)
    count = 300 if kind is DataRow else 1
    assert f"table {table} has {count - 1} of {count} rows of run {RUN}" in str(caught.value)
    done = commands.call(capsys, "leaderboard", "check", board)
    assert done.code == 4
    assert f"{count - 1} of {count}" in done.out


def test_a_flipped_bit_in_a_page_of_an_index_is_noticed_and_explained(board, capsys):
    spoil_an_index(board, RUN.encode() + b"trainr1")
    with Leaderboard.open(board, read_only=True) as opened, pytest.raises(StorageError, match="integrity check says"):
        opened.attached(DataRow, RUN)
    done = commands.call(capsys, "leaderboard", "check", board)
    assert done.code == 4
    assert "sqlite_autoindex_data_rows_1" in done.out
    assert "of 300 rows" in done.out


def test_a_run_that_its_index_hides_is_damage_and_not_unknown(board):
    spoil_an_index(board, RUN.encode())
    with Leaderboard.open(board, read_only=True) as opened:
        with pytest.raises(StorageError, match="an index and its table differ in the run"):
            opened.run(RUN)
        with pytest.raises(NotFoundError):
            opened.run("0" * 16)


def test_damage_that_ranks_an_entry_too_low_is_noticed(board, capsys):
    with closing(sqlite3.connect(board, isolation_level=None)) as connection:
        connection.execute("UPDATE evaluations SET loss = 99 WHERE loss = 0")
    done = commands.call(capsys, "leaderboard", "list", "--limit", 3, "--leaderboard", board)
    assert done.code == 4
    assert "row 1 of table evaluations" in done.err
    assert "damaged" in done.err
    assert "T1" in done.out, "the others are shown"


def test_weights_travel_with_a_backup_and_a_merge_also_later(board, tmp_path, capsys):
    name, base = weights(board, b"winner"), weights(board, b"base")
    with Leaderboard.open(board) as opened:
        opened.start_run(a_run(OTHER, config={"refine": {"weights": base}}))
        opened.finish_run(OTHER, "finished", RunResult(weights=name))
    for command, place in (("backup", tmp_path / "copy.sqlite"), ("merge", tmp_path / "here.sqlite")):
        kept_weights(board, name).rename(tmp_path / "away")
        arguments = (place, "--leaderboard", board) if command == "backup" else (board, "--leaderboard", place)
        done = commands.call(capsys, "leaderboard", command, *arguments)
        assert done.code == 0
        assert f"{name}.safetensors" in done.err, "what is missing is named"
        assert kept_weights(place, base).read_bytes() == b"base"
        (tmp_path / "away").rename(board.with_name("lb.sqlite.weights") / f"{name}.safetensors")
    done = commands.call(capsys, "leaderboard", "merge", board, "--leaderboard", tmp_path / "here.sqlite", "--json")
    assert json.loads(done.out)["weights"] == 1
    assert kept_weights(tmp_path / "here.sqlite", name).read_bytes() == b"winner"
    assert commands.call(capsys, "leaderboard", "backup", tmp_path / "all.sqlite", "--leaderboard", board).code == 0
    assert kept_weights(tmp_path / "all.sqlite", name).read_bytes() == b"winner"
    checked = commands.call(capsys, "leaderboard", "check", tmp_path / "copy.sqlite")
    assert checked.code == 4
    assert name in checked.out
    assert commands.call(capsys, "leaderboard", "check", tmp_path / "all.sqlite").code == 0


def test_weights_that_are_damaged_do_not_travel_and_better_ones_replace_them(board, tmp_path, capsys):
    name = weights(board, b"winner")
    with Leaderboard.open(board) as opened:
        opened.finish_run(RUN, "finished", RunResult(weights=name))
    kept_weights(board, name).write_bytes(b"damage")
    done = commands.call(capsys, "leaderboard", "backup", tmp_path / "copy.sqlite", "--leaderboard", board)
    assert done.code == 0
    assert "are damaged" in done.err
    assert not (tmp_path / "copy.sqlite.weights").exists()
    folder = tmp_path / "copy.sqlite.weights"
    folder.mkdir()
    (folder / f"{name}.safetensors").write_bytes(b"winner")
    done = commands.call(capsys, "leaderboard", "merge", tmp_path / "copy.sqlite", "--leaderboard", board, "--json")
    assert json.loads(done.out)["weights"] == 1
    assert sha256(kept_weights(board, name).read_bytes()).hexdigest() == name


def test_a_run_is_removed_with_all_that_is_its_own(board, capsys):
    shared, own = weights(board, b"shared"), weights(board, b"own")
    with Leaderboard.open(board) as opened:
        opened.finish_run(RUN, "stopped", RunResult(weights=own))
        opened.start_run(a_run(OTHER, config={"refine": {"weights": shared}}), [replace_run(ROWS[0])])
        opened.add([an_evaluation("k1", run=OTHER)])
        opened.finish_run(OTHER, "finished", RunResult(weights=own))
        before = opened.evaluations(RUN)
    assert commands.call(capsys, "leaderboard", "remove", OTHER, "--yes", "--leaderboard", board).code == 0
    assert kept_weights(board, own).exists(), "another run names it"
    assert not (board.with_name("lb.sqlite.weights") / f"{shared}.safetensors").exists()
    with Leaderboard.open(board, read_only=True) as opened:
        assert [run.id for run in opened.runs()] == [RUN]
        assert opened.evaluations() == before
        assert len(opened.attached(DataRow, RUN)) == 300
        assert opened.inspect().problems == []
    with closing(sqlite3.connect(board)) as connection:
        for table in ("evaluations", "examples", "losses", "data_rows"):
            counted = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
            assert counted == (300 if table == "data_rows" else 30), table


def replace_run(row):
    return row._replace(run=OTHER)


def test_removing_asks_and_leaves_a_run_that_is_going_on(board, capsys):
    done = commands.call(capsys, "leaderboard", "remove", "mine", "--leaderboard", board)
    commands.refused(done, 2, "--yes")
    with holding(board, RUN):
        done = commands.call(capsys, "leaderboard", "remove", "mine", "--yes", "--leaderboard", board)
        commands.refused(done, 4, "going on")
    done = commands.call(capsys, "leaderboard", "remove", "unknown", "--yes", "--leaderboard", board)
    commands.refused(done, 3, "unknown")
    with Leaderboard.open(board, read_only=True) as opened:
        assert [run.name for run in opened.runs()] == ["mine"]


def test_a_linked_leaderboard_is_the_one_it_points_to(board, tmp_path, capsys):
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.sqlite"
    link.symlink_to(board)
    with holding(link, RUN), pytest.raises(StorageError, match="going on"), holding(board, RUN):
        raise AssertionError("two drivers")
    name = weights(link, b"weights")
    assert kept_weights(board, name) == kept_weights(link, name)
    with Leaderboard.open(link) as opened:
        opened.finish_run(RUN, "finished", RunResult(weights=name))
    assert commands.call(capsys, "leaderboard", "list", "--leaderboard", link).code == 0
    assert commands.call(capsys, "leaderboard", "backup", tmp_path / "copy.sqlite", "--leaderboard", link).code == 0
    assert kept_weights(tmp_path / "copy.sqlite", name).read_bytes() == b"weights"
    assert {path.name for path in link.parent.iterdir()} == {"link.sqlite", "file"}
    dangling = tmp_path / "elsewhere" / "new.sqlite"
    dangling.symlink_to(tmp_path / "real.sqlite")
    Leaderboard.open(dangling).close()
    assert (tmp_path / "real.sqlite").is_file()
    assert dangling.is_symlink()


def test_what_a_killed_backup_left_behind_is_swept_and_nothing_else(board, tmp_path):
    killed = "0" * 32
    left = tmp_path / f".autoprompt-{killed}"
    left.mkdir(mode=0o700)
    (left / "owner").write_text(f"autoprompt leaderboard: work in progress {killed}\n")
    (left / "new.sqlite").write_text("half")
    others = {
        f".autoprompt-{'1' * 32}": None,  # no mark
        f".autoprompt-{'2' * 32}": f"autoprompt leaderboard: work in progress {killed}\n",  # of another folder
        ".autoprompt-nightly": f"autoprompt leaderboard: work in progress {killed}\n",
        "autoprompt-backup": f"autoprompt leaderboard: work in progress {killed}\n",
    }
    for name, mark in others.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "new.sqlite").write_text("mine")
        if mark:
            (tmp_path / name / "owner").write_text(mark)
    mixed = tmp_path / f".autoprompt-{'3' * 32}"
    mixed.mkdir()
    (mixed / "owner").write_text(f"autoprompt leaderboard: work in progress {'3' * 32}\n")
    (mixed / "thesis.txt").write_text("mine")
    with Leaderboard.open(board, read_only=True) as opened:
        opened.back_up(tmp_path / "copy.sqlite")
    assert not left.exists()
    assert all((tmp_path / name / "new.sqlite").read_text() == "mine" for name in others)
    assert (mixed / "thesis.txt").read_text() == "mine"


def test_a_backup_that_is_going_on_is_not_swept(board, tmp_path):
    from autoprompt.leaderboard.temporary_folders import temporary_folder

    with temporary_folder(tmp_path) as folder:
        (folder / "new.sqlite").write_text("in progress")
        with Leaderboard.open(board, read_only=True) as opened:
            opened.back_up(tmp_path / "copy.sqlite")
        assert (folder / "new.sqlite").read_text() == "in progress"
    assert not folder.exists()


def test_an_added_evaluation_reads_its_own_run_alone(board, monkeypatch):
    with Leaderboard.open(board) as opened:
        for number in range(30):
            opened.start_run(a_run(f"run-{number}"))
        read = []
        from autoprompt.leaderboard import records

        whole = records.run_record
        monkeypatch.setattr(records, "run_record", lambda values: read.append(values[0]) or whole(values))
        opened.add([an_evaluation("new")])
        assert read.count(RUN) == len(read) <= 2
        del read[:]
        assert len(list(opened.listed_runs(3))) == 3
        assert len(read) == 3


def test_a_list_stops_at_its_limit_and_says_how_many_there_are(board, capsys):
    with Leaderboard.open(board, read_only=True) as opened:
        listing = opened.listed_entries(limit=4)
        rows = [entry.row for entry in listing]
        assert (rows, listing.total) == (opened.entries()[:4], 30)
        assert [entry.row for entry in opened.listed_entries()] == opened.entries()
    done = commands.call(capsys, "leaderboard", "list", "--limit", 4, "--leaderboard", board)
    assert "26 more" in done.out


def test_a_lists_order_is_that_of_all_rows_with_folds_and_failures(tmp_path):
    with Leaderboard.open(tmp_path / "lb.sqlite") as board:
        board.start_run(a_run())
        added = []
        for number in range(40):
            text = f"{'T' * (number % 3)}{number} {{text}}{{label}}"
            for fold in range(number % 4 + 1):
                changes = {"rung": number % 3, "fold": fold, "readability": None if number % 5 else float(number)}
                if number % 7 == 0 and fold == 1:
                    changes |= {"status": "failed", "reason": "OOM", "score": None}
                added.append(an_evaluation(f"{number}.{fold}", text, loss=(number * 7 % 5 + fold) / 9, **changes))
        board.add([replace(one, key=f"{place}") for place, one in enumerate(added)])
        assert [entry.row for entry in board.listed_entries()] == board.entries()
        assert [entry.row for entry in board.listed_entries(RUN, 11)] == board.entries(RUN)[:11]
