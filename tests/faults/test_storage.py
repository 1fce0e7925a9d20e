"""What the disk refuses is said as it is: only a file that SQLite calls malformed is damaged."""

import os
import re
import shutil
import sqlite3
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from boards import a_run, an_evaluation, writing

from autoprompt.errors import StorageError
from autoprompt.leaderboard import Leaderboard
from autoprompt.leaderboard.sqlite_errors import explain


@pytest.fixture
def board(tmp_path):
    path = tmp_path / "lb.sqlite"
    with Leaderboard.open(path) as opened:
        opened.start_run(a_run())
        opened.add([an_evaluation(f"k{n}") for n in range(20)])
    return path


def test_a_limit_of_the_files_size_is_told_and_old_rows_stay(board):
    limit = board.stat().st_size + 40_000
    said = writing(board, limit=limit)
    assert f"the limit of {limit} bytes a file (`ulimit -f`) is reached; raise it" in said
    assert "damaged" not in said
    with Leaderboard.open(board, read_only=True) as opened:
        assert len(opened.evaluations()) == 20
        assert opened.inspect().problems == []
    assert writing(board) == ""


def error_of(code, name, text="disk I/O error"):
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode, error.sqlite_errorname = code, name
    return error


CODES = [
    (name, getattr(sqlite3, name))
    for name in dir(sqlite3)
    if re.fullmatch(r"SQLITE_(ERROR|INTERNAL|PERM|ABORT|BUSY|LOCKED|NOMEM|READONLY|INTERRUPT|IOERR|CORRUPT|NOTFOUND|"
                    r"FULL|CANTOPEN|PROTOCOL|SCHEMA|TOOBIG|CONSTRAINT|MISMATCH|MISUSE|AUTH|RANGE|NOTADB)(_[A-Z_]+)?",
                    name)
]  # fmt: skip


@pytest.mark.parametrize(("name", "code"), CODES)
def test_damage_is_said_of_two_codes_alone(board, name, code):
    said = explain(board, error_of(code, name))
    assert ("damaged" in said) == (code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))
    assert "\n" not in said
    assert "; " in said, "what to do"


def test_errors_without_a_code_are_told_too(board):
    for error in (sqlite3.ProgrammingError("Cannot operate on a closed database."), OSError(28, "No space left")):
        assert "damaged" not in explain(board, error)
    assert "bytes free" in explain(board, OSError(28, "No space left"))


@contextmanager
def as_somebody():
    """Root may read anything: it becomes nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def folder(board):
    """A folder that anybody may write to, with a leaderboard whose -wal was left behind by a kill."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o777)
    path = Path(shutil.copy(board, place / "lb.sqlite"))
    writing(path, kill=True)
    assert (place / "lb.sqlite-wal").stat().st_size > 0
    for file in place.iterdir():
        file.chmod(0o666)
    yield place
    shutil.rmtree(place)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights are other ones there")
@pytest.mark.parametrize(
    ("kind", "read_only"), [("-wal", True), ("-wal", False), ("-shm", False), ("", True), ("", False)]
)
def test_a_file_that_may_not_be_read_is_named(folder, kind, read_only):
    file = folder / f"lb.sqlite{kind}"
    file.chmod(0)
    with (
        as_somebody(),
        pytest.raises(StorageError) as caught,
        Leaderboard.open(folder / "lb.sqlite", read_only=read_only),
    ):
        pass
    said = str(caught.value)
    assert "damaged" not in said
    assert f"may not read {file};" in said or (kind == "" and "Permission denied" in said)
    file.chmod(0o666)
    with as_somebody(), Leaderboard.open(folder / "lb.sqlite", read_only=read_only) as opened:
        assert len(opened.evaluations()) == 25


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights are other ones there")
def test_reading_does_without_an_index_of_the_wal(folder):
    (folder / "lb.sqlite-shm").chmod(0)
    with as_somebody(), Leaderboard.open(folder / "lb.sqlite", read_only=True) as opened:
        assert len(opened.evaluations()) == 25


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights are other ones there")
def test_a_folder_that_may_only_be_read_is_read(folder):
    Leaderboard.open(folder / "lb.sqlite").close()
    (folder / "lb.sqlite").chmod(0o444)
    folder.chmod(0o555)
    with as_somebody():
        with Leaderboard.open(folder / "lb.sqlite", read_only=True) as opened:
            assert len(opened.evaluations()) == 25
        with pytest.raises(StorageError, match="not writable"):
            Leaderboard.open(folder / "lb.sqlite")
    folder.chmod(0o777)
