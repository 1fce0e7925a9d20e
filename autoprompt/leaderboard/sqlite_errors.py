"""Error messages for failures of SQLite and the file system: what happened, and what to do."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autoprompt.errors import StorageError, first_line

LOCK_SECONDS = 30.0
MOST_BYTES = 64 * 1024 * 1024
"""Maximum size of one value or row."""
_FULL_BELOW = 1024 * 1024
"""Free bytes below which a disk that refuses to write is reported as full."""
_RUN_CHECK = "run `autoprompt leaderboard check` on it"


@contextmanager
def storage_errors(path: Path, doing: str) -> Iterator[None]:
    """Turn the errors of SQLite and of the file system into StorageError."""
    try:
        yield
    except (sqlite3.Error, OSError, UnicodeError) as error:
        raise StorageError(f"The leaderboard {path} cannot be {doing}: {explain(path, error)}.") from error


def explain(path: Path, error: Exception) -> str:
    """Text: what happened, and what to do. Only content that SQLite calls malformed is reported as damaged."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return _explain_sqlite(path, error, code)
    if isinstance(error, UnicodeEncodeError):
        return f"a value is not valid text ({error.reason}); clean the data or the name it came from"
    if isinstance(error, OSError):
        room = f" ({_free(path)} bytes free)" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        return f"{error.strerror or error}{room}; choose another --leaderboard"
    if isinstance(error, sqlite3.ProgrammingError):
        return f"it is not open ({first_line(error)}); open it again"
    return f"its content is none of this program's ({first_line(error)}); {_RUN_CHECK}"


def _explain_sqlite(path: Path, error: Exception, code: int) -> str:
    primary = code & 0xFF
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return f"it is damaged ({first_line(error)}); restore a backup"
    if primary in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return _refused_by_disk(path, error, code)
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL):
        return f"another process has held it for {LOCK_SECONDS:.0f} s; wait for that process or end it"
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return _not_permitted(path, error)
    if primary == sqlite3.SQLITE_TOOBIG:
        return (
            f"a value in it is larger than {MOST_BYTES // 1024**2} MiB, which no value of this program is; {_RUN_CHECK}"
        )
    if primary == sqlite3.SQLITE_INTERRUPT:
        return f"reading it takes far more steps than its size explains; {_RUN_CHECK}"
    if primary == sqlite3.SQLITE_NOMEM:
        return "there is not enough memory; end other programs"
    return f"its content is none of this program's ({first_line(error)}); {_RUN_CHECK}"


def _refused_by_disk(path: Path, error: Exception, code: int) -> str:
    name = getattr(error, "sqlite_errorname", "SQLITE_IOERR")
    writing = code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_TRUNCATE)
    limit = _size_limit() if writing else None
    if limit is not None and code != sqlite3.SQLITE_FULL:
        return f"the limit of {limit} bytes a file (`ulimit -f`) is reached; raise it and resume"
    free = _free(path)
    room = code in (sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMMAP)
    if code == sqlite3.SQLITE_FULL or ((writing or room) and free < _FULL_BELOW):
        return f"the disk is full ({free} bytes free); make room and resume"
    if writing:
        return f"the disk refuses to write ({name}, {free} bytes free); see to the disk or its quota, then resume"
    return (
        f"the disk does not give what was asked for ({name}); see to the disk, and to the rights of "
        f"{_companion(path, 'wal')} and {_companion(path, 'shm')}"
    )


def _not_permitted(path: Path, error: Exception) -> str:
    for file in (path, _companion(path, "wal"), _companion(path, "shm")):
        if os.path.lexists(file) and not (file.is_file() and can_access(file, os.R_OK)):
            return f"this user may not read {file}; get the right to read and write it"
    return f"the file or its folder is not writable ({first_line(error)}); choose another --leaderboard"


def can_access(path: Path, mode: int) -> bool:
    """Whether this process may access a file in this mode (``os.R_OK``, ``os.W_OK``), by its effective user id."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _companion(path: Path, kind: str) -> Path:
    return path.with_name(f"{path.name}-{kind}")


def _free(path: Path) -> int:
    """Bytes that this user can still write in the file's folder."""
    return shutil.disk_usage(path.absolute().parent).free


def _size_limit() -> int | None:
    """Maximum size in bytes of a file that this process writes; None where there is no known limit."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return None if soft == resource.RLIM_INFINITY else soft
