"""Tables for a run's steps, origins, estimates and data rows, each row with a checksum."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from autoprompt.errors import InputError
from autoprompt.leaderboard import checks
from autoprompt.leaderboard.limits import Meter
from autoprompt.leaderboard.records import checksum, ordered_json
from autoprompt.leaderboard.stored_json import parsed
from autoprompt.short_repr import short_repr


class Step(NamedTuple):
    """A completed step from which a run can be resumed: the result of a task, or a decision that the clock made.

    ``value``: plain JSON. ``spent``: seconds that the run had taken by then. Deleted once the run has finished.
    """

    run: str
    kind: str
    key: str
    value: Any
    spent: float

    def __repr__(self) -> str:
        return short_repr(self, run=self.run, kind=self.kind, key=self.key, spent=self.spent)


class Origin(NamedTuple):
    """Origin of an entry in a run: the operator that made it, and its parent entries."""

    run: str
    entry: str
    operator: str
    parents: list[str]


class EntryEstimate(NamedTuple):
    """What a run came to think of an entry: the share of rows that it gets wrong (see ``results.ErrorEstimate``).

    Stored when the search has ended, for each fine-tuned entry of data with labels.
    """

    run: str
    entry: str
    error: float
    deviation: float
    unlabeled_weight: float


class DataRow(NamedTuple):
    """A row of the data that a run works on. ``label``: the class, or the target text."""

    run: str
    split: str
    row_id: str
    fields: Mapping[str, object]
    label: str

    def __repr__(self) -> str:
        return short_repr(self, self.fields, label=self.label, run=self.run, split=self.split)


Attached = Step | Origin | EntryEstimate | DataRow
A = TypeVar("A", Step, Origin, EntryEstimate, DataRow)


@dataclass(frozen=True)
class _Table:
    """``json``: the column that holds JSON, where one does."""

    name: str
    json: str | None = None


_TABLES: dict[type[Any], _Table] = {
    Step: _Table("steps", "value"),
    Origin: _Table("origins", "parents"),
    EntryEstimate: _Table("estimates"),
    DataRow: _Table("data_rows", "fields"),
}


def add(connection: sqlite3.Connection, path: Path, items: Iterable[Attached]) -> None:
    """Store rows, and update each run's row counts.

    An entry's origin or estimate and a data row that is already stored are not changed. Raises InputError for a value
    that JSON cannot hold or the schema refuses.
    """
    added: Counter[tuple[str, str]] = Counter()
    for item in items:
        table = _TABLES[type(item)]
        values = [ordered_json(value) if name == table.json else value for name, value in item._asdict().items()]
        _read(type(item), values)
        names = ", ".join((*item._fields, "checksum"))
        marks = ", ".join("?" * (len(values) + 1))
        cursor = connection.execute(
            f"INSERT OR IGNORE INTO {table.name} ({names}) VALUES ({marks})",  # noqa: S608
            (*values, checksum(values)),
        )
        added[item.run, table.name] += cursor.rowcount
    for (run, kind), count in added.items():
        n = count_of(connection, path, kind, run) + count
        connection.execute(
            "INSERT OR REPLACE INTO counts VALUES (?, ?, ?, ?)", (run, kind, n, checksum((run, kind, n)))
        )


def count_of(connection: sqlite3.Connection, path: Path, kind: str, run: str) -> int:
    """The stored count of a run's rows in one table. Raises DamagedError."""
    found = connection.execute("SELECT n, checksum FROM counts WHERE run = ? AND kind = ?", (run, kind)).fetchone()
    if found is None:
        return 0
    checks.check_row(path, "counts", f"{run}, {kind}", (run, kind, found[0]), found[1])
    return int(found[0])


def rows_of_run(connection: sqlite3.Connection, meter: Meter, path: Path, kind: type[A], run: str) -> list[A]:
    """A run's rows of one kind, in the order of insertion.

    Raises DamagedError for a row that is damaged or missing, RefusedError for one that this program does not write.
    """
    table = _TABLES[kind]
    names = ", ".join(kind._fields)
    query = f"SELECT number, checksum, {names} FROM {table.name} WHERE run = ? ORDER BY number"  # noqa: S608
    found: list[A] = []
    for number, check, *values in list(meter.counted(connection.execute(query, (run,)))):
        checks.check_row(path, table.name, number, values, check)
        try:
            found.append(kind._make(_read(kind, values)))
        except InputError as error:
            raise checks.refusal(path, table.name, number, error) from error
    expected = count_of(connection, path, table.name, run)
    if len(found) != expected:
        why = checks.integrity_problem(connection)
        checks.check_count(path, table.name, run, len(found), expected, why)
    return found


def delete_steps(connection: sqlite3.Connection, run: str) -> None:
    """Delete a run's steps and their count."""
    connection.execute("DELETE FROM steps WHERE run = ?", (run,))
    connection.execute("DELETE FROM counts WHERE run = ? AND kind = 'steps'", (run,))


def delete_all(connection: sqlite3.Connection, run: Any) -> None:
    """Delete all steps, origins, estimates, data rows and counts of a run."""
    for name in (*(table.name for table in _TABLES.values()), "counts"):
        connection.execute(f"DELETE FROM {name} WHERE run = ?", (run,))  # noqa: S608


def _read(kind: type[Attached], values: Sequence[Any]) -> list[Any]:
    """A row's values with the JSON parsed. Raises InputError for values that this program never stores."""
    from autoprompt.leaderboard import row_schema

    where, table = f"The {kind.__name__} of a run", _TABLES[kind]
    read = [
        parsed(value, where) if name == table.json else value for name, value in zip(kind._fields, values, strict=True)
    ]
    row_schema.check(getattr(row_schema, kind.__name__), dict(zip(kind._fields, read, strict=True)), where)
    return read
