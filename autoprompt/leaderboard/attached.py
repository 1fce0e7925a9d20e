"""What belongs to a run beside its evaluations: rows of plain tables, each with its checksum."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from autoprompt.leaderboard import checking
from autoprompt.leaderboard.records import checksum, ordered_json


class Step(NamedTuple):
    """One thing that a run has done, from which it can go on: the result of a task, or a decision of the clock's.

    ``value``: plain JSON. ``spent``: seconds of the run until then. Gone once the run has finished.
    """

    run: str
    kind: str
    key: str
    value: Any
    spent: float


class Origin(NamedTuple):
    """Where an entry of a run came from: the operator that made it, and the entries it was made of."""

    run: str
    entry: str
    operator: str
    parents: list[str]


class DataRow(NamedTuple):
    """A row of the data that a run works on. ``label``: the class, or the target text."""

    run: str
    split: str
    row_id: str
    fields: dict[str, Any]
    label: str


Attached = Step | Origin | DataRow
A = TypeVar("A", Step, Origin, DataRow)


@dataclass(frozen=True)
class _Table:
    """``json``: the column that holds JSON. ``since``: the version whose files have the table."""

    name: str
    json: str
    since: int


_TABLES: dict[type[Attached], _Table] = {
    Step: _Table("steps", "value", 3),
    Origin: _Table("origins", "parents", 4),
    DataRow: _Table("data_rows", "fields", 4),
}


def add(connection: sqlite3.Connection, items: Iterable[Attached]) -> None:
    """Store rows; one whose place is taken (an entry's origin, a row of a split) stays as it was.

    Raises InputError for a value that JSON cannot hold.
    """
    for item in items:
        table = _TABLES[type(item)]
        values = [ordered_json(value) if name == table.json else value for name, value in item._asdict().items()]
        names = ", ".join((*item._fields, "checksum"))
        marks = ", ".join("?" * (len(values) + 1))
        connection.execute(
            f"INSERT OR IGNORE INTO {table.name} ({names}) VALUES ({marks})",  # noqa: S608
            (*values, checksum(values)),
        )


def of_run(connection: sqlite3.Connection, path: Path, version: int, kind: type[A], run: str) -> list[A]:
    """A run's rows of one kind, in the order they were stored; none where the file's version has none.

    Raises StorageError for a row that is damaged.
    """
    table = _TABLES[kind]
    if version < table.since:
        return []
    names = ", ".join(kind._fields)
    query = f"SELECT number, checksum, {names} FROM {table.name} WHERE run = ? ORDER BY number"  # noqa: S608
    found: list[A] = []
    for number, check, *values in connection.execute(query, (run,)).fetchall():
        checking.check_row(path, table.name, number, values, check)
        found.append(kind._make(_read(kind._fields, table.json, values)))
    return found


def forget_steps(connection: sqlite3.Connection, run: str) -> None:
    """A finished run has nothing left to go on from."""
    connection.execute("DELETE FROM steps WHERE run = ?", (run,))


def _read(names: Sequence[str], json_column: str, values: Sequence[Any]) -> list[Any]:
    return [json.loads(value) if name == json_column else value for name, value in zip(names, values, strict=True)]
