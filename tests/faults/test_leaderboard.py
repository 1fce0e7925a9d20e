"""Damaged, foreign, empty and unwritable leaderboard files: refused in one sentence, and never harmed."""

import re
import shutil
import sqlite3
import struct
from pathlib import Path

import pytest
from boards import RUN, a_run, an_evaluation

from autoprompt.errors import AutopromptError, StorageError, UsageError
from autoprompt.leaderboard import Leaderboard, migrations

BOTH = pytest.mark.parametrize("read_only", [True, False])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "lb.sqlite"
    with Leaderboard.open(path) as board:
        board.start_run(a_run(name="a name to find"))
        board.add([an_evaluation(f"k{i}", f"T{i} {{text}}{{label}}", loss=i / 9) for i in range(40)])
        board.start_run(a_run("another-run"))
        board.add([an_evaluation("k", run="another-run", split="test")])
    return path


@pytest.fixture
def copy(whole, tmp_path):
    return Path(shutil.copy(whole, tmp_path / "lb.sqlite"))


def refuse(path, match, *, read_only):
    """Opening raises StorageError in one sentence, and nothing in the folder changes."""
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    with pytest.raises(StorageError, match=match) as caught:
        Leaderboard.open(path, read_only=read_only)
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == before
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4


@BOTH
def test_fault_36_a_file_of_zero_bytes_is_not_taken_for_new(tmp_path, read_only):
    path = tmp_path / "lb.sqlite"
    path.touch()
    refuse(path, "empty", read_only=read_only)


@BOTH
@pytest.mark.parametrize("keep", [16, 60, 99, 100, 4096, 5000, -4096, -1])
def test_fault_37_a_truncated_file_is_refused(copy, keep, read_only):
    content = copy.read_bytes()
    copy.write_bytes(content[:keep])
    refuse(copy, "truncated", read_only=read_only)


def read_everything(path, *, read_only):
    with Leaderboard.open(path, read_only=read_only) as board:
        runs = board.runs()
        return [
            runs,
            board.evaluations(),
            [board.evaluations(run.id) for run in runs],
            board.entries(),
            [board.digest(run.id) for run in runs],
            board.count_test_evaluations("f" * 64),
        ]


@BOTH
@pytest.mark.parametrize("most", [61, pytest.param(181, marks=pytest.mark.slow)])
def test_fault_38_flipped_bytes_are_noticed_or_change_nothing(whole, copy, read_only, most):
    expected = read_everything(whole, read_only=True)
    content = whole.read_bytes()
    noticed = []
    places = range(0, len(content), max(1, len(content) // most))
    for place in places:
        copy.write_bytes(content[:place] + bytes([content[place] ^ 0xA5]) + content[place + 1 :])
        try:
            assert read_everything(copy, read_only=read_only) == expected, place
        except StorageError as error:
            noticed.append(str(error))
    assert all(str(copy) in message for message in noticed)
    assert len(noticed) > len(places) / 5


@BOTH
@pytest.mark.parametrize("word", [b"f" * 64, b"another-run"])
def test_fault_38_test_rows_are_not_counted_by_a_damaged_index(whole, copy, word, read_only):
    content = whole.read_bytes()
    noticed = []
    for found in re.finditer(re.escape(word), content):
        copy.write_bytes(
            content[: found.start()] + bytes([content[found.start()] ^ 0xA5]) + content[found.start() + 1 :]
        )
        try:
            with Leaderboard.open(copy, read_only=read_only) as board:
                assert board.count_test_evaluations("f" * 64) == 1, found.start()
        except StorageError as error:
            noticed.append(str(error))
    assert len(noticed) >= 2
    assert all(str(copy) in message for message in noticed)


@pytest.mark.parametrize(
    ("table", "change", "read"),
    [
        ("evaluations", "loss = 0.0001", lambda board: board.entries()),
        ("evaluations", "loss = 0.0001", lambda board: board.evaluations(RUN)),
        ("evaluations", "status = x'ff'", lambda board: board.entries()),
        ("evaluations", "loss = 9e999", lambda board: board.entries()),
        ("evaluations", "candidate = replace(candidate, 'T3', 'T4')", lambda board: board.entries()),
        ("examples", "log_probs = replace(log_probs, '0.25', '0.26')", lambda board: board.digest(RUN)),
        ("examples", "row_ids = '[]'", lambda board: board.evaluations()),
        ("losses", "losses = replace(losses, '0.25', '0.26')", lambda board: board.evaluations()),
        ("losses", "losses = '[]'", lambda board: board.digest(RUN)),
        ("losses", "checksum = 'other'", lambda board: board.entry(board.entries(RUN)[-1].entry)),
        ("runs", "seed = 8", lambda board: board.runs()),
        ("runs", "name = 'another'", lambda board: board.run("another")),
        ("runs", "checksum = ''", lambda board: board.runs()),
    ],
)
def test_fault_38_a_changed_row_is_named_by_file_table_and_row(copy, table, change, read):
    last = f"SELECT max(rowid) FROM {table} WHERE rowid < 41"  # noqa: S608
    edit(copy, f"UPDATE {table} SET {change} WHERE rowid IN ({last})")  # noqa: S608
    with Leaderboard.open(copy) as board, pytest.raises(StorageError) as caught:
        read(board)
    assert all(part in str(caught.value) for part in (str(copy), f"table {table}", "row ", "checksum"))


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM evaluations WHERE number = 3",
        "UPDATE evaluations SET run = 'another-run', key = 'kk' WHERE number = 3",
        "DELETE FROM examples WHERE evaluation = 3",
        "UPDATE examples SET evaluation = -evaluation WHERE evaluation IN (3, 4)",
        "DELETE FROM losses WHERE evaluation = 3",
        "UPDATE losses SET evaluation = -evaluation WHERE evaluation IN (3, 4)",
    ],
)
def test_fault_38_rows_that_vanished_are_missed(copy, change):
    edit(copy, change)
    with Leaderboard.open(copy) as board, pytest.raises(StorageError, match="damaged"):
        board.evaluations(RUN)


def edit(path, statement):
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement)
    connection.close()


@BOTH
@pytest.mark.parametrize("version", [migrations.SCHEMA_VERSION + 1, 3000])
def test_fault_39_a_newer_schema_asks_for_an_upgrade(copy, version, read_only):
    content = bytearray(copy.read_bytes())
    content[60:64] = struct.pack(">I", version)
    copy.write_bytes(content)
    refuse(copy, "upgrade", read_only=read_only)


@BOTH
def test_fault_39_a_newer_schema_that_still_stands_in_the_wal_asks_for_an_upgrade(copy, read_only):
    newer = sqlite3.connect(copy)
    newer.execute("PRAGMA user_version = 9")
    assert copy.read_bytes()[60:64] != struct.pack(">I", 9)
    with pytest.raises(StorageError, match="upgrade"):
        Leaderboard.open(copy, read_only=read_only)
    newer.close()


@BOTH
@pytest.mark.parametrize("version", [1, 5])
def test_fault_39_a_file_of_a_build_before_the_first_release_is_told_as_such(copy, monkeypatch, version, read_only):
    of_version_5 = copy.with_name("of version 5.sqlite")
    content = bytearray(copy.read_bytes())
    content[60:64] = struct.pack(">I", 5)
    of_version_5.write_bytes(content)
    content[60:64], content[68:72] = struct.pack(">I", version), b"aPrt"
    copy.write_bytes(content)
    refuse(copy, "before its first release; .* run the search again", read_only=read_only)
    refuse(of_version_5, "version 5, newer than .* upgrade", read_only=read_only)
    monkeypatch.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS + (("nothing", ()),) * 4)
    monkeypatch.setattr(migrations, "SCHEMA_VERSION", 5)
    refuse(copy, "before its first release", read_only=read_only)
    with Leaderboard.open(of_version_5, read_only=read_only) as board:
        assert len(board.runs()) == 2


@BOTH
@pytest.mark.parametrize(
    "text", ["text,label\nfine,pos\n", "S", "SQLite format 3", "\x00" * 4096, "SQLite format 2\0" * 9]
)
def test_fault_40_a_text_file_is_left_byte_for_byte(tmp_path, text, read_only):
    path = tmp_path / "reviews.csv"
    path.write_text(text)
    refuse(path, "not an SQLite file|truncated", read_only=read_only)


@BOTH
@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_fault_40_a_foreign_database_is_left_byte_for_byte(tmp_path, journal, read_only):
    path = tmp_path / "bookmarks.sqlite"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA journal_mode = {journal}")
    connection.execute("CREATE TABLE runs (id TEXT)")
    connection.commit()
    connection.close()
    refuse(path, "not an autoprompt leaderboard", read_only=read_only)


@BOTH
def test_fault_40_a_folder_is_no_leaderboard(tmp_path, read_only):
    (tmp_path / "lb").mkdir()
    with pytest.raises(StorageError, match="not a regular file"):
        Leaderboard.open(tmp_path / "lb", read_only=read_only)


@BOTH
@pytest.mark.parametrize("place", ["a-file/lb.sqlite", "/proc/autoprompt/lb.sqlite", "/proc/lb.sqlite"])
def test_fault_33_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path, place, read_only):
    (tmp_path / "a-file").write_text("in the way")
    path = tmp_path / place
    with pytest.raises(StorageError) as caught:
        Leaderboard.open(path, read_only=read_only)
    assert str(path) in str(caught.value)
    assert (tmp_path / "a-file").read_text() == "in the way"


def test_fault_33_a_file_that_cannot_be_written_is_still_read(whole, copy, monkeypatch):
    # Root may write anywhere: SQLite is made to open read-only, as on a read-only disk.
    connect = sqlite3.connect

    def read_only_disk(database, **options):
        if "immutable" in database or database == ":memory:":
            return connect(database, **options)
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(sqlite3, "connect", read_only_disk)
    expected = read_everything(whole, read_only=True)
    assert [run.name for run in expected[0]] == [None, "a name to find"]
    with pytest.raises(StorageError):
        Leaderboard.open(copy)
    copy.with_name(copy.name + "-wal").write_bytes(b"not empty")
    with pytest.raises(StorageError):  # what stands in the -wal must not be overlooked
        Leaderboard.open(copy, read_only=True)


def test_reading_where_there_is_none_says_to_run_a_search(tmp_path):
    refuse(tmp_path / "lb.sqlite", "There is no leaderboard at .*search", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_is_held_for_too_long_is_told(copy, monkeypatch):
    monkeypatch.setattr("autoprompt.leaderboard.sqlite_errors.LOCK_SECONDS", 0.2)
    holder = sqlite3.connect(copy, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="another process"):
        Leaderboard.open(copy)
    holder.execute("ROLLBACK")
    holder.close()
    with Leaderboard.open(copy) as board:
        assert len(board.runs()) == 2


def test_fault_32_a_full_disk_is_told_with_the_free_bytes_and_old_rows_stay(copy):
    with Leaderboard.open(copy) as board:
        before = board.evaluations()
        # SQLite's own limit stands in for the disk's: the same error code.
        pages = board._connection.execute("PRAGMA page_count").fetchone()[0]
        board._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StorageError, match=r"disk is full \(\d+ bytes free\)"):
            board.add([an_evaluation(f"more{i}") for i in range(200)])
        assert board.evaluations() == before


@pytest.mark.parametrize("name", ["x" * 201, " ", "", "\udcff"])
def test_fault_47_a_name_that_cannot_be_one_is_a_usage_error(copy, name):
    with Leaderboard.open(copy) as board:
        with pytest.raises(UsageError):
            board.start_run(a_run("third-run", name=name))
        assert len(board.runs()) == 2


@pytest.mark.parametrize(
    "name", ["x" * 200, "../x", "/etc/passwd", "<img src=x>", "a'; DROP TABLE runs; --", "名前\n2"]
)
def test_fault_47_any_other_name_is_only_a_name(copy, name):
    folder = sorted(copy.parent.iterdir())
    with Leaderboard.open(copy) as board:
        board.start_run(a_run("third-run", name=name))
        assert board.run(name).id == "third-run"
        with pytest.raises(UsageError, match="resume") as caught:
            board.start_run(a_run("fourth-run", name=name))
        assert "\n" not in str(caught.value)
    assert sorted(copy.parent.iterdir()) == folder


def test_text_that_is_no_unicode_is_an_error_of_ours(copy):
    with Leaderboard.open(copy) as board:
        with pytest.raises(AutopromptError):
            board.add([an_evaluation("k-bad", predictions=["\ud800"])])
        assert len(board.evaluations()) == 41
