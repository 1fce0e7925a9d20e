"""SQLite limits for untrusted leaderboard files: no code from the schema, no endless rows, no endless work."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from autoprompt.errors import StorageError
from autoprompt.leaderboard.sqlite_errors import MOST_BYTES

_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: MOST_BYTES,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 100,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 10,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 32,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1_000,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 2,
}
_EVERY = 10_000
"""Steps of SQLite's virtual machine between two calls of the progress handler."""
_FIRST_STEPS = 5_000_000
_STEPS_A_BYTE = 4
"""Steps allowed in one transaction for each byte of the file. Reading a row takes about one step for two bytes."""
_MOST_OBJECTS = 100


Objects = dict[tuple[str, str], str]
"""Definitions of tables, indices, triggers and views by their kind and name."""


class Meter:
    """Stops work far beyond what a file's size explains, such as a table that lists a page again and again."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._path = path
        self._left = 0
        self._bytes = 0
        self.begin()
        connection.set_progress_handler(self._step, _EVERY)

    def begin(self) -> None:
        """Allow as many steps as a transaction over the whole file takes."""
        self._bytes = sum(_size(self._path.with_name(self._path.name + kind)) for kind in ("", "-wal"))
        self._left = _FIRST_STEPS + _STEPS_A_BYTE * self._bytes

    def counted(self, rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
        """Yield the rows of one query. Raises StorageError once they hold more text than the file can."""
        left = self._bytes + _EVERY
        for row in rows:
            left -= sum(len(value) for value in row if isinstance(value, str | bytes))
            if left < 0:
                raise StorageError(
                    f"The leaderboard {self._path} is damaged: its rows hold more than the file; restore a backup."
                )
            yield row

    def _step(self) -> int:
        self._left -= _EVERY
        return self._left < 0


def harden(connection: sqlite3.Connection, path: Path) -> Meter:
    """Set all limits, before anything is read from the file."""
    for name, value in _LIMITS.items():
        connection.setlimit(name, value)
    meter = Meter(connection, path)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA mmap_size = 0")
    return meter


def check_objects(connection: sqlite3.Connection, path: Path, expected: Objects) -> None:
    """Raise StorageError where tables, indices, triggers or views differ from what this program creates."""
    found = objects(connection)
    for kind, name in sorted({*expected, *found}):
        if found.get((kind, name)) == expected.get((kind, name)):
            continue
        if (kind, name) not in found:
            raise StorageError(f"The leaderboard {path} is damaged: its {kind} {name} is gone; restore a backup.")
        how = "is defined otherwise than here" if (kind, name) in expected else "is not this program's"
        raise StorageError(
            f"The leaderboard {path} is refused: its {kind} {name[:80]!r} {how}; use one that only autoprompt wrote."
        )


def objects(connection: sqlite3.Connection) -> Objects:
    """Schema objects of a file."""
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master LIMIT ?", (_MOST_OBJECTS,))
    return {(str(kind), str(name)): _normalised(f"{table} {sql}") for kind, name, table, sql in rows.fetchall()}


def _normalised(sql: str) -> str:
    """SQL with every run of whitespace as one space."""
    return " ".join(sql.split())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
