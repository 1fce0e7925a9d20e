"""Long lists of a leaderboard one by one, in memory that does not grow with what their rows hold; and the runs.

A run or an entry that cannot be read is left out and named; the others are listed. Of a leaderboard of up to
``rows.WHOLE`` evaluations and runs every row is checked against its checksum, of a larger one those that are listed.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Generic, TypeVar

from autoprompt.errors import StorageError
from autoprompt.leaderboard import checks, queries
from autoprompt.leaderboard.records import RunRecord
from autoprompt.leaderboard.rows import Rows

T = TypeVar("T")
Guard = Callable[[str], AbstractContextManager[None]]
_MOST_PROBLEMS = 20


class Listing(Generic[T]):
    """An iterator over a list. ``total``: how long the whole list is, known from the first item on.

    ``problems``: what could not be read, as errors whose messages name it, at most some dozen; complete at the end.
    """

    def __init__(self, items: Callable[[Listing[T]], Iterator[T]]) -> None:
        self.total = 0
        self.problems: list[StorageError] = []
        self._items = items(self)

    def __iter__(self) -> Iterator[T]:
        return self._items

    def problem(self, error: StorageError) -> None:
        """Note what cannot be read."""
        if len(self.problems) < _MOST_PROBLEMS and str(error) not in map(str, self.problems):
            self.problems.append(error)


def of_runs(rows: Rows, guard: Guard, limit: int | None) -> Listing[RunRecord]:
    """Runs, newest first."""

    def items(listing: Listing[RunRecord]) -> Iterator[RunRecord]:
        with snapshot(rows, guard):
            listing.total = int(rows.value(queries.COUNT_RUNS))
            shown, last = 0, math.inf
            for row in rows.fetch(queries.RUNS + queries.NEWEST_FIRST, (-1,)):
                if limit is not None and shown >= limit:
                    break
                if row[0] >= last:
                    raise checks.DamagedError(
                        f"The leaderboard {rows.path} is damaged: table runs lists its rows again and again; restore a "
                        "backup."
                    )
                last = row[0]
                try:
                    record = rows.run(row).record
                except (checks.DamagedError, checks.RefusedError) as error:
                    listing.problem(error)
                else:
                    shown += 1
                    yield record

    return Listing(items)


@contextmanager
def snapshot(rows: Rows, guard: Guard) -> Iterator[None]:
    """One state of the file, for as long as the list is gone through."""
    with guard("read"):
        rows.connection.execute("BEGIN")
        rows.meter.begin()
        try:
            yield
        finally:
            with suppress(sqlite3.ProgrammingError):  # closed before all was listed
                rows.connection.rollback()
