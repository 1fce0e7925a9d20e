"""Listings of a leaderboard, one item at a time so that memory does not grow with the rows; the listing of runs.

A run or entry that cannot be read is skipped and reported; all others are listed. A listing of entries checks the
checksums of all rows in a leaderboard of up to ``rows.SMALL_LEADERBOARD`` evaluations and runs, and in a larger one
those of the listed rows.
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
    """An iterator over a list. ``total``: length of the whole list, known from the first item on.

    ``problems``: the errors of items that cannot be read, at most 20; complete once the iteration has ended.
    """

    def __init__(self, items: Callable[[Listing[T]], Iterator[T]]) -> None:
        self.total = 0
        self.problems: list[StorageError] = []
        self._items = items(self)

    def __iter__(self) -> Iterator[T]:
        return self._items

    def problem(self, error: StorageError) -> None:
        """Note the error of an item that cannot be read."""
        if len(self.problems) < _MOST_PROBLEMS and str(error) not in map(str, self.problems):
            self.problems.append(error)


def list_runs(rows: Rows, guard: Guard, limit: int | None) -> Listing[RunRecord]:
    """At most ``limit`` runs, newest first."""

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
    """A read transaction, so that the whole iteration sees one state of the file."""
    with guard("read"):
        rows.connection.execute("BEGIN")
        rows.meter.begin()
        try:
            yield
        finally:
            with suppress(sqlite3.ProgrammingError):  # the connection was closed before the end of the list
                rows.connection.rollback()
