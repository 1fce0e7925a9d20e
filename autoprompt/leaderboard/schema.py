"""The leaderboard's file: its schema, and opening it without ever harming a file that is not ours.

A file is looked at through plain reads first (SQLite's header: magic, page count, application id, version), so a
text file or somebody else's database is refused byte for byte untouched. A new file is built beside its place
and linked into it whole: no kill leaves half a leaderboard behind. An older file is copied before its first writer
migrates it in one transaction; readers take it as it is.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from autoprompt.errors import StorageError
from autoprompt.leaderboard.migrations import MIGRATIONS, OLDEST_READABLE, SCHEMA_VERSION

APPLICATION_ID = 0x61507274  # "aPrt"
LOCK_SECONDS = 30.0

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Open or, unless ``read_only``, create the leaderboard at ``path``.

    Raises StorageError for a file that is no leaderboard, is damaged, too new, or cannot be read or written.
    """
    with guard(path, "opened"):
        if not path.exists():
            if read_only:
                raise StorageError(f"There is no leaderboard at {path}; run `autoprompt search` first.")
            _create(path)
        _look(path)
        return _connect_to_read(path) if read_only else _connect_to_write(path)


@contextmanager
def guard(path: Path, doing: str) -> Iterator[None]:
    """Turn the errors of SQLite and of the file system into StorageError."""
    try:
        yield
    except (sqlite3.Error, OSError, UnicodeError) as error:
        raise StorageError(f"The leaderboard {path} cannot be {doing}: {_explain(path, error)}.") from error


def _explain(path: Path, error: Exception) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary == sqlite3.SQLITE_FULL:
        free = shutil.disk_usage(path.absolute().parent).free
        return f"the disk is full ({free} bytes free); make room and resume"
    if primary == sqlite3.SQLITE_BUSY:
        return f"another process has held it for {LOCK_SECONDS:.0f} s; wait for that process or end it"
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f"the file or its folder is not writable ({error}); choose another --leaderboard"
    if isinstance(error, OSError):
        return f"{error.strerror or error}; choose another --leaderboard"
    if isinstance(error, UnicodeEncodeError):
        return f"a value is not valid text ({error.reason}); clean the data or the name it came from"
    return f"it is damaged ({error}); restore a backup"


def _look(path: Path) -> None:
    """Judge the file by its first bytes, through reads alone."""
    if not path.is_file():
        raise StorageError(f"The leaderboard {path} is no regular file; choose another --leaderboard.")
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
        size = file.seek(0, os.SEEK_END)
    if not header:
        raise StorageError(f"The leaderboard {path} is empty (0 bytes); restore a backup, or delete it.")
    if not _MAGIC.startswith(header[: len(_MAGIC)]):
        raise StorageError(f"The file {path} is no SQLite file and was left alone; choose another --leaderboard.")
    if len(header) < _HEADER_BYTES:
        raise StorageError(f"The leaderboard {path} is truncated to {size} bytes; restore a backup.")
    page_size, pages = struct.unpack_from(">H", header, 16)[0], struct.unpack_from(">I", header, 28)[0]
    version, application = struct.unpack_from(">I", header, 60)[0], struct.unpack_from(">I", header, 68)[0]
    if application != APPLICATION_ID:
        raise StorageError(
            f"The SQLite file {path} is not a leaderboard of ours and was left alone; choose another --leaderboard."
        )
    refuse_newer(path, version)
    expected = (65536 if page_size == 1 else page_size) * pages
    # A kill inside a checkpoint leaves the file short for a while; the -wal beside it then makes it whole.
    if size < expected and not _wal(path).exists():
        raise StorageError(f"The leaderboard {path} is truncated: {size} of {expected} bytes; restore a backup.")


def refuse_newer(path: Path, version: int) -> None:
    """Raise StorageError for a version that this program does not know."""
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"The leaderboard {path} has the schema version {version}, newer than this program's "
            f"{SCHEMA_VERSION}; upgrade autoprompt."
        )


def _wal(path: Path) -> Path:
    # The name SQLite uses: beside the file that a link points to.
    real = path.resolve()
    return real.with_name(real.name + "-wal")


def _raw(path: Path, query: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{query}"
    return sqlite3.connect(uri, uri=True, timeout=LOCK_SECONDS, isolation_level=None)


def version_of(connection: sqlite3.Connection) -> int:
    """How many migrations the file has had."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _connect_to_write(path: Path) -> sqlite3.Connection:
    connection = _raw(path, "mode=rw")
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        # An unwritable file shows here, before anything is trained.
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            _upgrade(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
    except (sqlite3.Error, StorageError):
        connection.close()
        raise
    return connection


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """Read where writing is impossible, too.

    Where the folder is writable, an ordinary connection that refuses to change anything is best: unlike
    ``mode=ro`` it removes its -wal and -shm files on closing. ``immutable`` ignores a -wal, so it is only for
    a file that has none.
    """
    writable = os.access(path, os.W_OK) and os.access(path.absolute().parent, os.W_OK)
    queries = (["mode=rw"] if writable else []) + ["mode=ro"]
    if not _wal(path).exists():
        queries.append("mode=ro&immutable=1")
    for query in queries[:-1]:
        try:
            return _read_through(path, query)
        except sqlite3.OperationalError:
            continue  # no -shm can be made here, or the like: the last way's error is the one to tell
    return _read_through(path, queries[-1])


def _read_through(path: Path, query: str) -> sqlite3.Connection:
    connection = _raw(path, query)
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        version = version_of(connection)
        refuse_newer(path, version)
        if version < OLDEST_READABLE:
            raise StorageError(
                f"The leaderboard {path} has the old schema version {version}, which only opening it for "
                f"writing migrates; run `autoprompt search` on it once."
            )
    except (sqlite3.Error, StorageError):
        connection.close()
        raise
    return connection


def _create(path: Path) -> None:
    """Build an empty leaderboard beside ``path`` and link it there, unless another process was faster."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".autoprompt-", dir=path.parent) as folder:
        new = Path(folder, "new.sqlite")
        new.touch()
        with closing(_raw(new, "mode=rw")) as connection:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                _migrate(connection)
            connection.execute("PRAGMA journal_mode = WAL")
        with suppress(FileExistsError):  # another process was faster
            _publish(new, path)


def _publish(new: Path, path: Path) -> None:
    """Give a file its name, unless that is taken. Raises FileExistsError."""
    try:
        os.link(new, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if path.exists():
            raise FileExistsError(path) from None
        new.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Have the disk keep a file, or a folder's names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _upgrade(connection: sqlite3.Connection, path: Path) -> None:
    """Migrate an older file inside the caller's transaction, once a copy of it lies beside it.

    Raises StorageError for a newer file, a copy that cannot be written, and rows that did not come through.
    """
    version = version_of(connection)
    refuse_newer(path, version)
    if version == SCHEMA_VERSION:
        return
    _back_up(path, version)
    before = _row_counts(connection)
    _migrate(connection)
    after = _row_counts(connection)
    for table, rows in before.items():
        if after.get(table) != rows:
            raise StorageError(
                f"The leaderboard {path} was not migrated and is as it was: table {table} would have come out with "
                f"{after.get(table, 0)} of {rows} rows; restore a backup."
            )


def _row_counts(connection: sqlite3.Connection) -> dict[str, int]:
    """Rows of every table but the list of migrations, which grows."""
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name != 'migrations'")
    names = [name for (name,) in tables.fetchall()]
    return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}  # noqa: S608


def _back_up(path: Path, version: int) -> None:
    """Copy what is committed, in place of an earlier copy of the same version."""
    place = path.with_name(f"{path.name}.v{version}.backup")
    try:
        with _copied(_raw(path, "mode=rw"), path, place) as new:
            new.replace(place)
            _sync(place.parent)
    except (sqlite3.Error, OSError) as error:
        raise StorageError(
            f"The leaderboard {path} has the old schema version {version}, and its backup {place}, which migrating "
            f"it needs, cannot be written: {_explain(place, error)}."
        ) from error


def copy_to(path: Path, place: Path) -> None:
    """Copy what is committed, the -wal file's part included, into a new file, whole or not at all.

    Raises StorageError, also for a file that exists.
    """
    try:
        with _copied(_connect_to_read(path), path, place) as new:
            _publish(new, place)
    except FileExistsError as error:
        raise StorageError(f"The file {place} exists and was left alone; name a new one.") from error
    except (sqlite3.Error, OSError) as error:
        raise StorageError(f"The backup {place} cannot be written: {_explain(place, error)}.") from error


@contextmanager
def _copied(source: sqlite3.Connection, path: Path, place: Path) -> Iterator[Path]:
    """A copy beside its place-to-be, on the disk for good. ``source``: a connection of its own, closed at the end,
    since the caller's may hold the lock that keeps other writers away."""
    with closing(source), tempfile.TemporaryDirectory(prefix=".autoprompt-", dir=place.parent) as folder:
        new = Path(folder, "backup.sqlite")
        with closing(sqlite3.connect(new)) as copy:
            source.backup(copy)
        shutil.copymode(path, new)
        _sync(new)
        yield new


def _migrate(connection: sqlite3.Connection) -> None:
    """Apply the missing migrations inside the caller's transaction, and record each by name."""
    done = version_of(connection)
    if done == SCHEMA_VERSION:
        return
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied TEXT)"
    )
    for number, (name, statements) in enumerate(MIGRATIONS[done:], done + 1):
        for statement in statements:
            connection.execute(statement)
        applied = datetime.now(UTC).isoformat(timespec="seconds")
        connection.execute("INSERT INTO migrations VALUES (?, ?, ?)", (number, name, applied))
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
