"""Full check of a leaderboard file: its pages, its rows, their counts, and the weights beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from autoprompt.errors import AutopromptError
from autoprompt.leaderboard import checks, queries, weights
from autoprompt.leaderboard.rows import Rows
from autoprompt.leaderboard.run_tables import DataRow, EntryEstimate, Origin, Step
from autoprompt.short_repr import ShortRepr

_MOST_PROBLEMS = 100
_MOST_LINES = 10
"""Lines of SQLite's integrity check, which can report the same problem for every row."""
_BATCH = 500
_KINDS: dict[Any, str] = {Step: "steps", Origin: "origins", EntryEstimate: "estimates", DataRow: "data_rows"}


@dataclass(repr=False)
class Inspection(ShortRepr):
    """Counts of what was checked, and ``problems``: one sentence each, at most 100."""

    runs: int = 0
    evaluations: int = 0
    steps: int = 0
    origins: int = 0
    estimates: int = 0
    data_rows: int = 0
    weights: int = 0
    problems: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def note(self, problem: object) -> None:
        """Add a problem that is not listed yet."""
        if len(self.problems) < _MOST_PROBLEMS and str(problem) not in self.problems:
            self.problems.append(str(problem))


def inspect(rows: Rows) -> Inspection:
    """Check everything, in the caller's transaction. The schema was already checked when the file was opened."""
    found = Inspection()
    for (line,) in rows.connection.execute(f"PRAGMA integrity_check({_MOST_LINES})"):
        if line != "ok":
            found.note(f"SQLite's integrity check says: {' '.join(str(line).split())[:200]}.")
    for row in rows.connection.execute("PRAGMA foreign_key_check").fetchmany(_MOST_PROBLEMS):
        found.note(f"Row {row[1]} of table {row[0]} belongs to nothing in table {row[2]}.")
    counted = _evaluations(rows, found)
    for row in _table_rows(rows, found, "runs", queries.RUNS, "number"):
        _run(rows, found, counted, row)
    return found


def _run(rows: Rows, found: Inspection, counted: Counter[str], row: Any) -> None:
    found.runs += 1
    try:
        known = rows.run(row)
    except AutopromptError as error:
        found.note(error)
        return
    run = known.record.id
    try:
        checks.check_count(rows.path, "evaluations", run, counted[run], known.evaluations)
    except AutopromptError as error:
        found.note(error)
    for kind, name in _KINDS.items():
        try:
            setattr(found, name, getattr(found, name) + len(rows.attached(kind, run)))
        except AutopromptError as error:
            found.note(error)
    for name in weights.weights_of(known.record):
        try:
            weights.kept_weights(rows.path, name)
            found.weights += 1
        except AutopromptError as error:
            found.note(error)


def _evaluations(rows: Rows, found: Inspection) -> Counter[str]:
    """Read every evaluation in full. Returns their number for each run."""
    counted: Counter[str] = Counter()
    for row in _table_rows(rows, found, "evaluations", queries.FULL, "e.number"):
        found.evaluations += 1
        try:
            counted[rows.evaluation(row).run] += 1
        except AutopromptError as error:
            found.note(error)
    return counted


def _table_rows(rows: Rows, found: Inspection, table: str, query: str, number: str) -> Iterator[Any]:
    """Yield all rows of a table in the order of their numbers, read ``_BATCH`` at a time."""
    last = -(2**63)
    while True:
        batch = rows.all(f"{query} WHERE {number} > ? ORDER BY {number} LIMIT {_BATCH}", (last,))
        yield from batch
        if len(batch) < _BATCH:
            return
        if batch[-1][0] <= last:
            found.note(f"Table {table} lists the same rows repeatedly.")
            return
        last = batch[-1][0]
