"""A leaderboard of version 1 under a program of version 2: read through a migrated copy, migrated by its first writer.

There is one version so far. The second migration is registered by these tests only.
"""

import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager

import pytest
from boards import RUN, a_run, an_evaluation
from paths import ROOT

from autoprompt.errors import StorageError
from autoprompt.leaderboard import DataRow, EntryEstimate, Leaderboard, Origin, Step, migrations
from autoprompt.leaderboard.records import checksum

# Word by word what version 1 writes, its checksums included: no later program may make these rows invalid.
STATEMENTS = (
    "CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied TEXT)",
    """CREATE TABLE runs (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT UNIQUE, corpus TEXT NOT NULL,
        fingerprint TEXT NOT NULL, model TEXT NOT NULL, seed INTEGER NOT NULL, strategy TEXT NOT NULL,
        config TEXT NOT NULL, started TEXT NOT NULL, status TEXT NOT NULL, finished TEXT, result TEXT,
        environment TEXT NOT NULL, evaluations INTEGER NOT NULL, checksum TEXT NOT NULL)""",
    "CREATE INDEX runs_data ON runs (fingerprint, id, strategy)",
    """CREATE TABLE evaluations (
        number INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs(id), key TEXT NOT NULL,
        entry TEXT NOT NULL, role TEXT NOT NULL, split TEXT NOT NULL, rung INTEGER NOT NULL,
        fold INTEGER NOT NULL, repeat INTEGER NOT NULL, status TEXT NOT NULL, reason TEXT, loss REAL,
        accuracy REAL, metric TEXT, value REAL, n INTEGER, readability REAL, seconds REAL NOT NULL,
        tokens INTEGER NOT NULL, length INTEGER NOT NULL, candidate TEXT NOT NULL,
        checksum TEXT NOT NULL, UNIQUE (run, key))""",
    """CREATE INDEX evaluations_ranked ON evaluations (
        entry, run, split, rung, fold, status, loss, metric, n, length, readability)""",
    "CREATE INDEX evaluations_key ON evaluations (key)",
    """CREATE TABLE examples (
        evaluation INTEGER PRIMARY KEY REFERENCES evaluations(number), log_probs TEXT NOT NULL,
        predictions TEXT NOT NULL, row_ids TEXT NOT NULL, votes TEXT NOT NULL, checksum TEXT NOT NULL)""",
    """CREATE TABLE losses (
        evaluation INTEGER PRIMARY KEY REFERENCES evaluations(number), losses TEXT NOT NULL,
        checksum TEXT NOT NULL)""",
    """CREATE TABLE steps (
        number INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs(id), kind TEXT NOT NULL,
        key TEXT NOT NULL, value TEXT NOT NULL, spent REAL NOT NULL, checksum TEXT NOT NULL)""",
    "CREATE INDEX steps_run ON steps (run)",
    """CREATE TABLE origins (
        number INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs(id), entry TEXT NOT NULL,
        operator TEXT NOT NULL, parents TEXT NOT NULL, checksum TEXT NOT NULL, UNIQUE (run, entry))""",
    """CREATE TABLE estimates (
        number INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs(id), entry TEXT NOT NULL,
        error REAL NOT NULL, deviation REAL NOT NULL, unlabeled_weight REAL NOT NULL, checksum TEXT NOT NULL,
        UNIQUE (run, entry))""",
    """CREATE TABLE data_rows (
        number INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs(id), split TEXT NOT NULL,
        row_id TEXT NOT NULL, fields TEXT NOT NULL, label TEXT NOT NULL, checksum TEXT NOT NULL,
        UNIQUE (run, split, row_id))""",
    """CREATE TABLE counts (
        run TEXT NOT NULL REFERENCES runs(id), kind TEXT NOT NULL, n INTEGER NOT NULL, checksum TEXT NOT NULL,
        PRIMARY KEY (run, kind)) WITHOUT ROWID""",
    "INSERT INTO migrations VALUES (1, '0001_first_release', '2026-01-01T00:00:00+00:00')",
    "PRAGMA user_version = 1",
    "PRAGMA application_id = 1632660852",
    "PRAGMA journal_mode = WAL",
)
SETTINGS = '"settings":{"batch_size":8,"epochs":8,"learning_rate":0.0005,"rank":8,"tuning":"tail"}'
WORDS = '"label_words":[["pos","great"],["neg","bad"]]'
ROWS = {
    "runs": [
        (
            *(1, RUN, "old", "reviews", "f" * 64, "tiny", 7, "hybrid", '{"budget":"5m","n":1}'),
            *("2026-01-01T00:00:00+00:00", "finished", "2026-11-24T03:28:00+00:00", '{"best":null}', "{}", 2),
            "1eaa66bc751e144e",
        ),
    ],
    "evaluations": [
        (
            *(1, RUN, "k1", "b9fbf1917d795433eae667efc8804c36a8453d4a31e4eaaeaf545afe0f15a49d", "search"),
            *("validation", 1, 0, 0, "complete", None, 0.5, 0.75, "accuracy", 0.75, 4, 12.5, 1.5, 100, 20),
            f'{{{WORDS},{SETTINGS},"template":"Review: {{text}}\\nSentiment: {{label}}"}}',
            "aac9a8572ecb36a2",
        ),
        (
            *(2, RUN, "k2", "ce76766a225b5cd0209d1f6f63cf3b74ad9847e6eef911e2595870699982cd06", "search"),
            *("validation", 1, 0, 0, "failed", "NaN", None, None, None, None, None, 12.5, 1.5, 100, 2),
            f'{{{WORDS},{SETTINGS},"template":"B {{text}}{{label}}"}}',
            "2cb61f1111e475ef",
        ),
    ],
    "examples": [
        (1, "[[-0.25,-1.5],[-0.125,-2.0]]", '["pos","pos"]', '["r1","r2"]', "[[0.75,0.25]]", "7b613101fc92cfa7"),
        (2, "[]", "[]", "[]", "[]", "abfd3e98e305905e"),
    ],
    "losses": [(1, "[0.25,2.0]", "ebb5798f42c7dab2"), (2, "[]", "4496fde0743030b1")],
    "steps": [(1, RUN, "task", "FitTask 1", '{"losses":[0.5]}', 1.5, "df727b9787a70771")],
    "origins": [(1, RUN, "e1", "words", '["e0"]', "3ec470324f5fc347")],
    "estimates": [(1, RUN, "e1", 0.25, 0.05, 0.5, "b4a058db1ef42a75")],
    "data_rows": [(1, RUN, "train", "r3", '{"text":"so"}', "pos", "42244112ddd4c732")],
    "counts": [
        (RUN, "data_rows", 1, "bb3285beb7eeb1b0"),
        (RUN, "estimates", 1, "2916707f327c71d3"),
        (RUN, "origins", 1, "7b526159cf95de54"),
        (RUN, "steps", 1, "df2f09c1b7913243"),
    ],
}
DIGEST = "e5dcea1cb70d0ee108eb676492c4b53a3496ff03819d7c1fca3a6c3fc20b65d9"
SECOND = (
    "0002_notes",
    (
        "CREATE TABLE notes (run TEXT PRIMARY KEY REFERENCES runs(id), text TEXT NOT NULL, checksum TEXT NOT NULL)",
        "INSERT INTO notes SELECT id, corpus, row_checksum(id, corpus) FROM runs",
        "DROP INDEX evaluations_key",
        "CREATE INDEX evaluations_key ON evaluations (key, run)",
    ),
)
RELEASED = migrations.MIGRATIONS


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "lb.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in STATEMENTS:
            connection.execute(statement)
        for table, rows in ROWS.items():
            for row in rows:
                connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608
    return path


@contextmanager
def program_of_version_2(second=SECOND):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", (*RELEASED, second))
        patch.setattr(migrations, "SCHEMA_VERSION", 2)
        yield


@pytest.fixture
def newer():
    with program_of_version_2():
        yield


def version(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def backup_of(path):
    return path.with_name(path.name + ".v1.backup")


def expected():
    failed = {"status": "failed", "reason": "NaN", "score": None, "log_probs": [], "predictions": [], "row_ids": []}
    return [an_evaluation("k1", votes=[[0.75, 0.25]]), an_evaluation("k2", "B {text}{label}", losses=[], **failed)]


def check_old_rows(board):
    (run,) = board.runs()
    assert (run.name, run.status, run.result.to_dict()) == ("old", "finished", {"best": None})
    assert board.evaluations(RUN) == board.evaluations() == expected()
    assert board.entry("b9fbf1917d") == expected()[:1]
    assert [row.status for row in board.entries()] == ["complete", "failed"]
    assert board.digest(RUN) == DIGEST
    assert board.attached(Step, RUN) == [Step(RUN, "task", "FitTask 1", {"losses": [0.5]}, 1.5)]
    assert board.attached(Origin, RUN) == [Origin(RUN, "e1", "words", ["e0"])]
    assert board.attached(EntryEstimate, RUN) == [EntryEstimate(RUN, "e1", 0.25, 0.05, 0.5)]
    assert board.attached(DataRow, RUN) == [DataRow(RUN, "train", "r3", {"text": "so"}, "pos")]
    assert board.inspect().problems == []


def notes_of(connection):
    return connection.execute("SELECT * FROM notes").fetchall()


@pytest.mark.parametrize("read_only", [True, False])
def test_what_version_1_wrote_is_read(old, read_only):
    with Leaderboard.open(old, read_only=read_only) as board:
        check_old_rows(board)
    assert [file.name for file in old.parent.iterdir()] == ["lb.sqlite"]


@pytest.mark.usefixtures("newer")
def test_a_new_file_has_all_migrations(tmp_path):
    path = tmp_path / "new.sqlite"
    with Leaderboard.open(path) as board:
        board.start_run(a_run())
    with Leaderboard.open(path, read_only=True) as board:
        assert [run.id for run in board.runs()] == [RUN]
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT number, name FROM migrations").fetchall()
    assert names == [(1, "0001_first_release"), (2, "0002_notes")]
    assert version(path) == 2


@pytest.mark.usefixtures("newer")
def test_reading_migrates_a_copy_and_leaves_the_file(old):
    before = {file: file.read_bytes() for file in old.parent.iterdir()}
    with Leaderboard.open(old, read_only=True) as board:
        check_old_rows(board)
        assert len(notes_of(board._connection)) == 1
        with pytest.raises(StorageError):
            board.add([an_evaluation("k3")])
    assert {file: file.read_bytes() for file in old.parent.iterdir()} == before


def test_a_backup_of_an_older_file_is_one_that_an_older_program_reads(old, tmp_path):
    with program_of_version_2(), Leaderboard.open(old, read_only=True) as board:
        board.back_up(tmp_path / "copy.sqlite")
    assert version(tmp_path / "copy.sqlite") == 1
    with Leaderboard.open(tmp_path / "copy.sqlite", read_only=True) as board:
        check_old_rows(board)


@pytest.mark.usefixtures("newer")
def test_writing_migrates_after_a_backup(old):
    old.chmod(0o600)
    with Leaderboard.open(old) as board:
        check_old_rows(board)
        board.start_run(a_run("second-run"))
        board.add([an_evaluation("k1", run="second-run")])
        (note,) = notes_of(board._connection)
    assert note == (RUN, "reviews", checksum((RUN, "reviews")))
    assert sorted(file.name for file in old.parent.iterdir()) == ["lb.sqlite", "lb.sqlite.v1.backup"]
    assert (version(old), version(backup_of(old))) == (2, 1)
    assert backup_of(old).stat().st_mode == old.stat().st_mode
    with Leaderboard.open(old, read_only=True) as board:
        assert board.evaluations() == [*expected(), an_evaluation("k1", run="second-run")]
        assert board.digest(RUN) == DIGEST
    with Leaderboard.open(backup_of(old), read_only=True) as board:
        check_old_rows(board)
    taken = backup_of(old).read_bytes()
    with Leaderboard.open(old):
        pass
    assert backup_of(old).read_bytes() == taken  # once


@pytest.mark.usefixtures("newer")
def test_what_stands_in_the_wal_alone_is_read_and_backed_up_too(old):
    with closing(sqlite3.connect(old, isolation_level=None)) as writer:
        writer.execute("INSERT INTO counts VALUES (?, 'in the wal', 1, '')", (RUN,))
        with Leaderboard.open(old, read_only=True) as reader:
            assert reader._connection.execute("SELECT count(*) FROM counts").fetchone() == (5,)
        Leaderboard.open(old).close()
    with closing(sqlite3.connect(backup_of(old))) as backup:
        assert backup.execute("SELECT count(*) FROM counts").fetchone() == (5,)


def test_open_readers_go_on_while_the_file_is_migrated(old):
    with Leaderboard.open(old, read_only=True) as of_version_1:
        check_old_rows(of_version_1)
        with (
            program_of_version_2(),
            Leaderboard.open(old, read_only=True) as of_version_2,
            Leaderboard.open(old) as board,
        ):
            check_old_rows(of_version_1)
            board.add([an_evaluation("k3")])
            check_old_rows(of_version_2)  # its copy
        assert of_version_1.evaluations() == [*expected(), an_evaluation("k3")]


def test_a_migration_by_a_newer_program_stops_an_open_writer(old):
    with Leaderboard.open(old) as board:
        with program_of_version_2():
            Leaderboard.open(old).close()
        with pytest.raises(StorageError, match="upgrade"):
            board.add([an_evaluation("k3")])
        assert board.evaluations() == expected()
    for read_only in (True, False):
        with pytest.raises(StorageError, match=r"schema version 2, newer .* upgrade"):
            Leaderboard.open(old, read_only=read_only)


@pytest.mark.usefixtures("newer")
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


@pytest.mark.parametrize("read_only", [True, False])
def test_a_migration_that_loses_rows_is_taken_back(old, read_only):
    name, statements = SECOND
    before = old.read_bytes()
    with (
        program_of_version_2((name, (*statements, "DELETE FROM losses", "DELETE FROM examples WHERE evaluation = 2"))),
        pytest.raises(StorageError, match=r"not migrated .* table examples .* 1 of 2 rows"),
    ):
        Leaderboard.open(old, read_only=read_only)
    assert (version(old), old.read_bytes()) == (1, before)
    with Leaderboard.open(old) as board:
        check_old_rows(board)


@pytest.mark.usefixtures("newer")
@pytest.mark.parametrize("read_only", [True, False])
def test_a_damaged_old_file_is_not_migrated(old, read_only):
    content = bytearray(old.read_bytes())
    for page in range(1, len(content) // 4096):
        content[4096 * page] ^= 0xFF  # no page is of a known kind any more
    old.write_bytes(content)
    with pytest.raises(StorageError, match="damaged"):
        Leaderboard.open(old, read_only=read_only)
    assert version(old) == 1


@pytest.mark.usefixtures("newer")
@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DROP INDEX steps_run", "is gone"),
        ("CREATE TABLE notes (run TEXT)", "is not this program's"),
        ("PRAGMA user_version = 2", "index 'evaluations_key' is defined otherwise"),
    ],
)
def test_an_old_file_has_the_objects_of_its_version(old, change, said, read_only):
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        connection.execute(change)
    with pytest.raises(StorageError, match=said):
        Leaderboard.open(old, read_only=read_only)
    assert not backup_of(old).exists()


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
from autoprompt.leaderboard import Leaderboard, migrations
migrations.MIGRATIONS = (*migrations.MIGRATIONS, eval(sys.argv[3]))
migrations.SCHEMA_VERSION = 2
Leaderboard.open(sys.argv[1]).close()
"""


@pytest.mark.usefixtures("newer")
def test_a_kill_at_any_step_leaves_a_whole_file(old, tmp_path):
    """Whole before or whole after, its backup too, and the next writer goes on from there."""
    root = str(ROOT)
    ends = set()
    for calls in range(0, 120, 4):
        path = tmp_path / f"killed {calls}" / "lb.sqlite"
        path.parent.mkdir()
        shutil.copy(old, path)
        command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r})\n{KILLED}"]
        command += [str(path), str(calls), repr(SECOND)]
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
    assert ends >= {(killed, 1, False), (killed, 1, True), (0, 2, True)}
