"""A leaderboard of version 1, as it was written then, under today's program: read as it is, migrated by writing."""

import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from autoprompt.errors import StorageError
from autoprompt.leaderboard import Leaderboard, schema
from autoprompt.leaderboard.migrations import SCHEMA_VERSION

sys.path.insert(0, str(Path(__file__).parent))
from test_leaderboard import RUN, a_run, an_evaluation

# Word by word what the first version wrote, its checksums included: nobody may make these rows invalid.
OLD_STATEMENTS = (
    "CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied TEXT)",
    """CREATE TABLE runs (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT UNIQUE, corpus TEXT NOT NULL,
        fingerprint TEXT NOT NULL, model TEXT NOT NULL, seed INTEGER NOT NULL, strategy TEXT NOT NULL,
        config TEXT NOT NULL, started TEXT NOT NULL, status TEXT NOT NULL, finished TEXT, result TEXT,
        environment TEXT NOT NULL, evaluations INTEGER NOT NULL, checksum TEXT NOT NULL)""",
    """CREATE TABLE evaluations (
        number INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs(id), key TEXT NOT NULL,
        entry TEXT NOT NULL, role TEXT NOT NULL, split TEXT NOT NULL, rung INTEGER NOT NULL,
        fold INTEGER NOT NULL, repeat INTEGER NOT NULL, status TEXT NOT NULL, reason TEXT, loss REAL,
        accuracy REAL, metric TEXT, value REAL, n INTEGER, readability REAL, seconds REAL NOT NULL,
        tokens INTEGER NOT NULL, length INTEGER NOT NULL, candidate TEXT NOT NULL,
        checksum TEXT NOT NULL, UNIQUE (run, key))""",
    "CREATE INDEX evaluations_entry ON evaluations (entry)",
    """CREATE TABLE examples (
        evaluation INTEGER PRIMARY KEY REFERENCES evaluations(number), log_probs TEXT NOT NULL,
        predictions TEXT NOT NULL, row_ids TEXT NOT NULL, checksum TEXT NOT NULL)""",
    "INSERT INTO migrations VALUES (1, '0001_runs_evaluations_examples', '2026-01-01T00:00:00+00:00')",
    "PRAGMA user_version = 1",
    "PRAGMA application_id = 1632662132",
    "PRAGMA journal_mode = WAL",
)
SETTINGS = '"settings":{"batch_size":8,"epochs":8,"learning_rate":0.0005,"rank":8,"tuning":"tail"}'
WORDS = '"label_words":[["pos","great"],["neg","bad"]]'
OLD_RUN = (
    *(1, RUN, "old", "reviews", "f" * 64, "tiny", 7, "hybrid", '{"budget":"5m","n":1}', "2026-01-01T00:00:00+00:00"),
    *("finished", "2026-11-24T03:28:00+00:00", '{"best":null}', "{}", 2, "1eaa66bc751e144e"),
)
OLD_EVALUATIONS = (
    (
        *(1, RUN, "k1", "b9fbf1917d795433eae667efc8804c36a8453d4a31e4eaaeaf545afe0f15a49d", "search", "validation"),
        *(1, 0, 0, "complete", None, 0.5, 0.75, "accuracy", 0.75, 4, 12.5, 1.5, 100, 20),
        f'{{{WORDS},{SETTINGS},"template":"Review: {{text}}\\nSentiment: {{label}}"}}',
        "aac9a8572ecb36a2",
    ),
    (
        *(2, RUN, "k2", "ce76766a225b5cd0209d1f6f63cf3b74ad9847e6eef911e2595870699982cd06", "search", "validation"),
        *(1, 0, 0, "failed", "NaN", None, None, None, None, None, 12.5, 1.5, 100, 2),
        f'{{{WORDS},{SETTINGS},"template":"B {{text}}{{label}}"}}',
        "2cb61f1111e475ef",
    ),
)
OLD_EXAMPLES = (
    (1, "[[-0.25,-1.5],[-0.125,-2.0]]", '["pos","pos"]', '["r1","r2"]', "33667dda3c6bae77"),
    (2, "[]", "[]", "[]", "21fe434ee30f4eeb"),
)
OLD_DIGEST = "64820146932a6ef2fec69960923a0b40763ab528ef25963c189f0494aabfa302"


def add_rows(connection, table, rows):
    for row in rows:
        connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "lb.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in OLD_STATEMENTS:
            connection.execute(statement)
        add_rows(connection, "runs", [OLD_RUN])
        add_rows(connection, "evaluations", OLD_EVALUATIONS)
        add_rows(connection, "examples", OLD_EXAMPLES)
    return path


def version(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def backup_of(path):
    return path.with_name(path.name + ".v1.backup")


def expected():
    failed = {"status": "failed", "reason": "NaN", "score": None, "log_probs": [], "predictions": [], "row_ids": []}
    return [an_evaluation("k1", losses=[]), an_evaluation("k2", "B {text}{label}", losses=[], **failed)]


def check_old_rows(board):
    (run,) = board.runs()
    assert (run.name, run.status, run.result) == ("old", "finished", {"best": None})
    assert board.evaluations(RUN) == board.evaluations() == expected()
    assert board.entry("b9fbf1917d") == expected()[:1]
    assert [row.status for row in board.entries()] == ["complete", "failed"]
    assert board.digest(RUN) == OLD_DIGEST


def test_reading_changes_nothing(old):
    before = {file: file.read_bytes() for file in old.parent.iterdir()}
    with Leaderboard.open(old, read_only=True) as board:
        check_old_rows(board)
    assert {file: file.read_bytes() for file in old.parent.iterdir()} == before


def test_writing_migrates_after_a_backup(old):
    old.chmod(0o600)
    with Leaderboard.open(old) as board:
        check_old_rows(board)
        board.start_run(a_run("second-run"))
        board.add([an_evaluation("k1", run="second-run")])
    assert sorted(file.name for file in old.parent.iterdir()) == ["lb.sqlite", "lb.sqlite.v1.backup"]
    assert (version(old), version(backup_of(old))) == (SCHEMA_VERSION, 1)
    assert backup_of(old).stat().st_mode == old.stat().st_mode
    with Leaderboard.open(old, read_only=True) as board:
        assert board.evaluations() == [*expected(), an_evaluation("k1", run="second-run")]
        assert board.digest(RUN) == OLD_DIGEST
    with Leaderboard.open(backup_of(old), read_only=True) as board:
        check_old_rows(board)
    taken = backup_of(old).read_bytes()
    with Leaderboard.open(old):
        pass
    assert backup_of(old).read_bytes() == taken  # once


def test_what_stands_in_the_wal_alone_is_backed_up_too(old):
    with closing(sqlite3.connect(old, isolation_level=None)) as writer:
        writer.execute("UPDATE runs SET corpus = 'in the wal'")
        Leaderboard.open(old).close()
    with closing(sqlite3.connect(backup_of(old))) as backup:
        assert backup.execute("SELECT corpus FROM runs").fetchall() == [("in the wal",)]


def test_losses_that_vanish_after_a_migration_are_missed(old):
    Leaderboard.open(old).close()
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        connection.execute("DELETE FROM losses WHERE evaluation = 2")
    with Leaderboard.open(old) as board, pytest.raises(StorageError, match="row 2 of table losses"):
        board.evaluations()


def test_a_program_of_version_1_that_has_the_file_open_may_go_on(old):
    with closing(sqlite3.connect(old, isolation_level=None)) as writer:
        writer.execute("PRAGMA foreign_keys = ON")
        for table in ("examples", "evaluations"):
            writer.execute(f"DELETE FROM {table} WHERE rowid = 2")  # noqa: S608
        Leaderboard.open(old).close()
        add_rows(writer, "evaluations", OLD_EVALUATIONS[1:])
        add_rows(writer, "examples", OLD_EXAMPLES[1:])
    with Leaderboard.open(old) as board:
        check_old_rows(board)


def test_an_open_reader_goes_on_while_the_file_is_migrated(old):
    with Leaderboard.open(old, read_only=True) as reader:
        check_old_rows(reader)
        with Leaderboard.open(old) as board:
            check_old_rows(reader)
            board.add([an_evaluation("k3")])
            assert reader.evaluations()[-1].losses == [0.25, 2.0]


def test_a_migration_by_a_newer_program_stops_an_open_writer(old):
    with Leaderboard.open(old) as board:
        with closing(sqlite3.connect(old, isolation_level=None)) as newer:
            newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        with pytest.raises(StorageError, match="upgrade"):
            board.add([an_evaluation("k3")])
        assert [e.key for e in board.evaluations()] == ["k1", "k2"]


@pytest.mark.parametrize("obstacle", ["folder", "disk"])
def test_without_a_backup_nothing_is_migrated(old, monkeypatch, obstacle):
    if obstacle == "folder":
        backup_of(old).mkdir()
    else:

        def full(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
    before = old.read_bytes()
    with pytest.raises(StorageError, match=r"backup.* cannot be written") as caught:
        Leaderboard.open(old)
    monkeypatch.undo()
    assert caught.value.exit_code == 4
    assert str(backup_of(old)) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert old.read_bytes() == before
    assert {file.name for file in old.parent.iterdir()} - {backup_of(old).name} == {"lb.sqlite"}
    with Leaderboard.open(old, read_only=True) as board:
        check_old_rows(board)


def test_a_migration_that_loses_rows_is_taken_back(old, monkeypatch):
    name, statements = schema.MIGRATIONS[1]
    losing = (name, (*statements, "DELETE FROM losses", "DELETE FROM examples WHERE evaluation = 2"))
    monkeypatch.setattr(schema, "MIGRATIONS", (schema.MIGRATIONS[0], losing))
    with pytest.raises(StorageError, match=r"not migrated .* table examples .* 1 of 2 rows"):
        Leaderboard.open(old)
    monkeypatch.undo()
    assert version(old) == 1
    with Leaderboard.open(old) as board:
        check_old_rows(board)


def test_a_damaged_old_file_is_not_migrated(old):
    content = bytearray(old.read_bytes())
    for page in range(1, len(content) // 4096):
        content[4096 * page] ^= 0xFF  # no page is of a known kind any more
    old.write_bytes(content)
    with pytest.raises(StorageError, match="damaged"):
        Leaderboard.open(old)
    assert version(old) == 1


KILLED = """
import os, signal, sqlite3, sys

calls = int(sys.argv[2])

class Dying(sqlite3.Connection):
    def execute(self, *arguments):
        die_at_last()
        return super().execute(*arguments)
    def backup(self, *arguments, **options):
        die_at_last()
        return super().backup(*arguments, **options)
    def __exit__(self, *arguments):
        die_at_last()
        return super().__exit__(*arguments)

def die_at_last():
    global calls
    calls -= 1
    if calls < 0:
        os.kill(os.getpid(), signal.SIGKILL)

connect = sqlite3.connect
sqlite3.connect = lambda *arguments, **options: connect(*arguments, factory=Dying, **options)
from autoprompt.leaderboard import Leaderboard
Leaderboard.open(sys.argv[1]).close()
"""


def test_a_kill_at_any_step_leaves_a_file_that_both_can_use(old, tmp_path):
    """Whole before or whole after, its backup too, and the next writer goes on from there."""
    root = str(Path(__file__).parent.parent)
    ends = set()
    for calls in range(0, 120, 4):
        path = tmp_path / f"killed {calls}" / "lb.sqlite"
        path.parent.mkdir()
        shutil.copy(old, path)
        command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r})\n{KILLED}", str(path), str(calls)]
        code = subprocess.run(command, check=False, timeout=60).returncode
        with Leaderboard.open(path, read_only=True) as board:
            check_old_rows(board)
        ends.add((code, version(path), backup_of(path).exists()))
        with Leaderboard.open(path) as board:
            check_old_rows(board)
        assert version(backup_of(path)) == 1
        if code == 0:
            break
    killed = -signal.SIGKILL
    assert ends >= {(killed, 1, False), (killed, 1, True), (0, SCHEMA_VERSION, True)}
