"""Opening, creating and migrating the leaderboard's SQLite file, without ever changing a file of another program.

The header (magic, page count, application id, version) is checked first with plain reads, so a text file or another
program's database is refused with no byte changed. A new file is built in a temporary folder and linked to its path
when it is complete: a killed process leaves no partial leaderboard. An older file is backed up before its first writer
migrates it in one transaction; readers migrate a temporary copy and leave the file as it is.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from autoprompt.errors import StorageError
from autoprompt.leaderboard import migrations, records, sqlite_errors
from autoprompt.leaderboard.limits import Meter, Objects, check_objects, harden, objects
from autoprompt.leaderboard.sqlite_errors import can_access, explain, storage_errors
from autoprompt.leaderboard.temporary_folders import temporary_folder

APPLICATION_ID = 0x61506D74  # "aPmt"
_UNRELEASED_ID = 0x61507274  # "aPrt", in files of builds before the first release; their versions count differently

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100


class Opened(NamedTuple):
    """A connection, and the meter that stops endless work on it."""

    connection: sqlite3.Connection
    meter: Meter


def connect(path: Path, *, read_only: bool) -> Opened:
    """Open or, unless ``read_only``, create the leaderboard at ``path``.

    Raises StorageError for a file that is no leaderboard, is damaged, too new, or cannot be read or written.
    """
    with storage_errors(path, "opened"):
        if not path.exists():
            if read_only:
                raise StorageError(f"There is no leaderboard at {path}; run `autoprompt search` first.")
            _create(path)
        _check_header(path)
        return connect_to_read(path) if read_only else _connect_to_write(path)


def _check_header(path: Path) -> None:
    """Check the file by its header, with plain reads only. Raises StorageError."""
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
    if application == _UNRELEASED_ID:
        raise StorageError(
            f"The leaderboard {path} was written by a version of autoprompt before its first release; move it away or "
            "choose another --leaderboard, and run the search again."
        )
    if application != APPLICATION_ID:
        raise StorageError(
            f"The SQLite file {path} is not a leaderboard of ours and was left alone; choose another --leaderboard."
        )
    refuse_newer(path, version)
    expected = (65536 if page_size == 1 else page_size) * pages
    # A process killed during a checkpoint leaves the file too short; its -wal file then completes it.
    if size < expected and not _wal(path).exists():
        raise StorageError(f"The leaderboard {path} is truncated: {size} of {expected} bytes; restore a backup.")


def refuse_newer(path: Path, version: int) -> None:
    """Raise StorageError for a version that this program does not know."""
    if version > migrations.SCHEMA_VERSION:
        raise StorageError(
            f"The leaderboard {path} has the schema version {version}, newer than this program's "
            f"{migrations.SCHEMA_VERSION}; upgrade autoprompt."
        )


def _wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _open_hardened(path: Path, query: str) -> Opened:
    uri = f"{path.absolute().as_uri()}?{query}"
    connection = sqlite3.connect(uri, uri=True, timeout=sqlite_errors.LOCK_SECONDS, isolation_level=None)
    try:
        return Opened(connection, harden(connection, path))
    except BaseException:
        connection.close()
        raise


def _connect_to_write(path: Path) -> Opened:
    opened = _open_hardened(path, "mode=rw")
    connection = opened.connection
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        # An unwritable file fails here, before anything is trained.
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            _upgrade(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
    except (sqlite3.Error, StorageError):
        connection.close()
        raise
    return opened


class _OpenMode(NamedTuple):
    """One way to open a file for reading.

    ``alone``: hold the index of the -wal file in memory, under a lock on the whole file, because no -shm file can be
    created.
    """

    query: str
    alone: bool = False


def connect_to_read(path: Path) -> Opened:
    """Open for reading. Of an older file, open a migrated copy, which does not see later writes to the file."""
    opened = connect_unmigrated(path)
    try:
        older = version_of(opened.connection) < migrations.SCHEMA_VERSION
        return _migrated_copy(opened.connection, path) if older else opened
    except (sqlite3.Error, StorageError):
        opened.connection.close()
        raise


def _migrated_copy(older: sqlite3.Connection, path: Path) -> Opened:
    """A migrated copy of an older file, which is closed. SQLite deletes the copy when its connection is closed."""
    connection = sqlite3.connect("", isolation_level=None)
    try:
        meter = harden(connection, path)
        with closing(older):
            older.backup(connection)
        with connection:
            connection.execute("BEGIN")
            _migrate_all(connection, path)
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return Opened(connection, meter)


def connect_unmigrated(path: Path) -> Opened:
    """Open a file of this or an older version for reading, even on a full disk or in a read-only folder.

    In a writable folder, an ordinary connection that refuses changes is best: unlike ``mode=ro`` it removes its -wal
    and -shm files on closing. ``immutable`` ignores a -wal file, so it is only used where that is missing or empty.
    """
    writable = can_access(path, os.W_OK) and can_access(path.absolute().parent, os.W_OK)
    modes = ([_OpenMode("mode=rw")] if writable else []) + [_OpenMode("mode=ro")]
    if not _wal(path).exists() or _wal(path).stat().st_size == 0:
        modes.append(_OpenMode("mode=ro&immutable=1"))
    elif writable:
        modes.append(_OpenMode("mode=rw", alone=True))
    first: sqlite3.OperationalError | None = None
    for mode in modes:
        try:
            return _open_to_read(path, mode)
        except sqlite3.OperationalError as error:  # for example, no -shm file can be created
            first = first or error
    raise first or StorageError(f"The leaderboard {path} cannot be opened; choose another --leaderboard.")


def _open_to_read(path: Path, mode: _OpenMode) -> Opened:
    opened = _open_hardened(path, mode.query)
    connection = opened.connection
    try:
        if mode.alone:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA query_only = ON")
        with connection:  # one snapshot: another process may be migrating the file
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            version = version_of(connection)
            refuse_newer(path, version)
            _check_objects(connection, path, version)
    except (sqlite3.Error, StorageError):
        connection.close()
        raise
    return opened


def version_of(connection: sqlite3.Connection) -> int:
    """Schema version of the file: the number of migrations applied."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _check_objects(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """Raise StorageError if the schema differs from what this program creates for this version."""
    check_objects(connection, path, _expected_objects(version, migrations.MIGRATIONS))


@cache
def _expected_objects(version: int, _migrations: tuple[Any, ...]) -> Objects:
    """Schema objects of a new file of this version."""
    with closing(sqlite3.connect(":memory:")) as fresh:
        _migrate(fresh, version)
        return objects(fresh)


def _create(path: Path) -> None:
    """Build an empty leaderboard in a temporary folder and link it to ``path``, unless another process was faster."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(path.parent) as folder:
        new = folder / "new.sqlite"
        new.touch()
        with closing(_open_hardened(new, "mode=rw").connection) as connection:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                _migrate(connection, migrations.SCHEMA_VERSION)
            connection.execute("PRAGMA journal_mode = WAL")
        with suppress(FileExistsError):  # another process was faster
            publish(new, path)


def publish(new: Path, path: Path) -> None:
    """Link or move a complete file to ``path``. Raises FileExistsError if that exists."""
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
    """Flush a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _upgrade(connection: sqlite3.Connection, path: Path) -> None:
    """Back up an older file, then migrate it inside the caller's transaction.

    Raises StorageError for a newer file, a backup that cannot be written, and a table whose row count changed.
    """
    version = version_of(connection)
    refuse_newer(path, version)
    _check_objects(connection, path, version)
    if version < migrations.SCHEMA_VERSION:
        _back_up(path, version)
        _migrate_all(connection, path)


def _migrate_all(connection: sqlite3.Connection, path: Path) -> None:
    """Migrate to this program's version inside the caller's transaction.

    Raises StorageError for a table whose row count changed.
    """
    before = _row_counts(connection)
    _migrate(connection, migrations.SCHEMA_VERSION)
    after = _row_counts(connection)
    for table, rows in before.items():
        if after.get(table) != rows:
            raise StorageError(
                f"The leaderboard {path} was not migrated and is as it was: table {table} would have come out with "
                f"{after.get(table, 0)} of {rows} rows; restore a backup."
            )


def _row_counts(connection: sqlite3.Connection) -> dict[str, int]:
    """Number of rows in every table except ``migrations``, which grows."""
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name != 'migrations'")
    names = [name for (name,) in tables.fetchall()]
    return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}  # noqa: S608


def _back_up(path: Path, version: int) -> None:
    """Copy the committed data to a backup file, which replaces an earlier backup of the same version."""
    place = path.with_name(f"{path.name}.v{version}.backup")
    try:
        with temporary_copy(_open_hardened(path, "mode=rw").connection, path, place) as new:
            new.replace(place)
            _sync(place.parent)
    except (sqlite3.Error, OSError) as error:
        raise StorageError(
            f"The leaderboard {path} has the old schema version {version}, and its backup {place}, which migrating "
            f"it needs, cannot be written: {explain(place, error)}."
        ) from error


@contextmanager
def temporary_copy(source: sqlite3.Connection, path: Path, place: Path) -> Iterator[Path]:
    """A complete copy in a temporary folder beside ``place``, flushed to the disk.

    ``source``: a separate connection, closed at the end, since the caller's own may hold the write lock.
    """
    with closing(source), temporary_folder(place.parent) as folder:
        new = folder / "new.sqlite"
        with closing(sqlite3.connect(new)) as copy:
            source.backup(copy)
        shutil.copymode(path, new)
        _sync(new)
        yield new


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    """Apply the missing migrations inside the caller's transaction, and record each by name."""
    done = version_of(connection)
    if done == version:
        return
    connection.create_function("row_checksum", -1, lambda *values: records.checksum(values), deterministic=True)
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied TEXT)"
    )
    for number, (name, statements) in enumerate(migrations.MIGRATIONS[done:version], done + 1):
        for statement in statements:
            connection.execute(statement)
        applied = datetime.now(UTC).isoformat(timespec="seconds")
        connection.execute("INSERT INTO migrations VALUES (?, ?, ?)", (number, name, applied))
    connection.execute(f"PRAGMA user_version = {version}")
    connection.create_function("row_checksum", -1, None)
