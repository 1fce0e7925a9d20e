"""Reading of a leaderboard: every row is checked, and every transaction sees one snapshot of the file."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from autoprompt.hashing import canonical_json, digest
from autoprompt.leaderboard import (
    entry_listing,
    inspecting,
    listings,
    queries,
    schema,
    sqlite_errors,
)
from autoprompt.leaderboard.ranking import rank
from autoprompt.leaderboard.records import EntryRow, EvaluationRecord, RunRecord
from autoprompt.leaderboard.rows import Rows, RunRow
from autoprompt.leaderboard.run_tables import A, EntryEstimate
from autoprompt.leaderboard.summary import Summary
from autoprompt.short_repr import short_repr

T = TypeVar("T", bound="Reader")


class Reader:
    """Read access to a leaderboard. Every row is checked; a damaged one raises StorageError."""

    def __init__(self, path: Path, opened: schema.Opened, *, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self._connection = opened.connection
        self._rows = Rows(opened.connection, opened.meter, path)

    @classmethod
    def open(cls: type[T], path: str | os.PathLike[str], *, read_only: bool = False) -> T:
        """Open a leaderboard, or the file that a symbolic link points to; create a missing one unless ``read_only``.

        Raises StorageError.
        """
        place = Path(os.path.realpath(path))
        return cls(place, schema.connect(place, read_only=read_only), read_only=read_only)

    def __repr__(self) -> str:
        return short_repr(self, str(self.path), read_only=self.read_only)

    def __enter__(self: T) -> T:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write the -wal file back into the database and close it. Raises StorageError when the disk refuses."""
        with sqlite_errors.storage_errors(self.path, "closed"):
            try:
                if not self.read_only:
                    # Other processes may still be reading: then the last one to close completes this.
                    self._connection.execute("PRAGMA busy_timeout = 1000")
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.ProgrammingError:
                return  # already closed
            finally:
                self._connection.close()

    def runs(self) -> list[RunRecord]:
        """All runs, newest first (by the order in which they were stored, not by their clock times)."""
        with self._guard("read"), self._connection:
            self._begin_reading()
            return [row.record for row in reversed(self._rows.runs())]

    def run(self, reference: str) -> RunRecord:
        """The run with this id, name, or unique id prefix of at least 8 characters. Raises NotFoundError."""
        with self._guard("read"), self._connection:
            self._begin_reading()
            return self._rows.run_named(reference).record

    def find(self, run: str) -> RunRecord | None:
        """The run with this exact id; None if there is none."""
        with self._guard("read"), self._connection:
            self._begin_reading()
            if self._rows.value(queries.NUMBER_OF_ID, (run,)) is None:
                return None
            return self._rows.run_of_id(run).record

    def run_id_of_name(self, name: str | None) -> str | None:
        """The id of the run with this name; None if there is none."""
        with self._guard("read"), self._connection:
            self._begin_reading()
            found = self._rows.value(queries.ID_OF_NAME, (name,))
            return None if found is None else str(found)

    def number_of(self, reference: str) -> int:
        """Row number of the run with this id, name, id prefix or ``@NUMBER``; its content is not checked.

        Raises NotFoundError.
        """
        with self._guard("read"), self._connection:
            self._begin_reading()
            if reference.startswith("@") and reference[1:].isdecimal() and len(reference) < 20:
                found = self._rows.value(queries.NUMBER_OF_NUMBER, (int(reference[1:]),))
                if found is not None:
                    return int(found)
            return self._rows.number_of(reference)

    def raw_run(self, number: int) -> tuple[Any, Any, Any]:
        """Id, config and result of the run with this row number, unchecked. Raises NotFoundError."""
        with self._guard("read"), self._connection:
            self._begin_reading()
            found = self._connection.execute(queries.RAW_RUN, (number,)).fetchone()
            if found is None:
                raise self._rows.unknown_run(f"@{number}", 0)
            return found[0], found[1], found[2]

    def names_weights(self, name: str) -> bool:
        """Whether any run refers to these weights; the runs are not checked."""
        with self._guard("read"), self._connection:
            self._begin_reading()
            return self._rows.value(queries.NAMING, (name, name)) is not None

    def inspect(self) -> inspecting.Inspection:
        """Check every row, count, index and weight file."""
        with self._guard("read"), self._connection:
            self._begin_reading()
            return inspecting.inspect(self._rows)

    def listed_runs(self, limit: int | None = None) -> listings.Listing[RunRecord]:
        """At most ``limit`` runs one by one, newest first, and an error for each run that cannot be read."""
        return listings.list_runs(self._rows, self._guard, limit)

    def listed_entries(self, run: str | None = None, limit: int | None = None) -> listings.Listing[entry_listing.Entry]:
        """At most ``limit`` lines of ``entries`` one by one, and an error for each entry that cannot be read.

        Of entries that are not listed, only the columns used for ranking are needed. Raises NotFoundError for an
        unknown run (its exact id).
        """
        return entry_listing.list_entries(self._rows, self._guard, run, limit)

    def evaluations(self, run: str | None = None) -> list[EvaluationRecord]:
        """All evaluations of a run (its exact id) or of all runs, in the order of insertion.

        Raises NotFoundError for an unknown run.
        """
        with self._guard("read"), self._connection:
            self._begin_reading()
            found = [self._rows.evaluation(row) for row in self._rows_of_run(queries.FULL, run)]
            self._check_counts(Counter(record.run for record in found), run)
        return found

    def summaries(self, run: str | None = None) -> list[Summary]:
        """Evaluations of a run (its exact id) or of all runs, without per-example data, in the order of insertion.

        Raises NotFoundError for an unknown run.
        """
        with self._guard("read"), self._connection:
            self._begin_reading()
            found = [self._rows.summary(row[0], row[1], row[2:]) for row in self._rows_of_run(queries.SUMMARIES, run)]
            self._check_counts(Counter(summary.run for summary in found), run)
        return found

    def entries(self, run: str | None = None) -> list[EntryRow]:
        """The leaderboard: one line for each candidate of a run (its exact id) or of all runs.

        Best first within each group of entries that were evaluated on the same rows (see ``ranking``).

        Raises NotFoundError for an unknown run.
        """
        runs = self.runs() if run is None else [self.run(run)]
        estimates = [estimate for each in runs for estimate in self.attached(EntryEstimate, each.id)]
        return rank(self.summaries(run), runs, estimates)

    def entry(self, prefix: str) -> list[EvaluationRecord]:
        """All evaluations of the entry with this unique prefix of at least 8 characters. Raises NotFoundError."""
        with self._guard("read"), self._connection:
            self._begin_reading()
            return self._rows.of_entry(prefix)

    def outcome_of(self, key: str) -> EvaluationRecord | None:
        """The first complete evaluation with this key in any run; None if there is none."""
        with self._guard("read"), self._connection:
            self._begin_reading()
            rows = self._rows.all(queries.FULL + queries.OF_KEY, (key,))
            return self._rows.evaluation(rows[0]) if rows else None

    def attached(self, kind: type[A], run: str) -> list[A]:
        """Steps, origins, estimates or data rows of a run (its exact id), in order.

        Raises NotFoundError for an unknown run.
        """
        with self._guard("read"), self._connection:
            self._begin_reading()
            self._rows.run_of_id(run)
            return self._rows.attached(kind, run)

    def digest(self, run: str) -> str:
        """Hash of what a run (its exact id) measured, independent of its id, clock, speed and row order.

        Raises NotFoundError for an unknown run.
        """
        with self._guard("read"), self._connection:
            self._begin_reading()
            found = [self._rows.parts(row) for row in self._rows_of_run(queries.FULL, run)]
            self._check_counts(Counter(summary.run for summary, *_ in found), run)
        lines = [
            canonical_json(
                [s.entry, s.rung, s.fold, s.repeat, s.split, s.status, repr(s.loss), digest(examples[0] + examples[3])]
            )
            for s, examples, _ in found
        ]
        return digest("\n".join(sorted(lines)))

    def count_test_evaluations(self, fingerprint: str) -> int:
        """Number of evaluations on the test split of this data, over all runs."""
        with self._guard("read"), self._connection:
            self._begin_reading()
            return self._rows.tested(fingerprint)

    # Transactions. Each is a ``with`` block of the connection itself, which commits at its end and rolls back on any
    # exception. A context manager written in Python would not be safe: a signal can interrupt it between its own
    # steps, and leave the transaction open.

    def _guard(self, doing: str) -> AbstractContextManager[None]:
        return sqlite_errors.storage_errors(self.path, doing)

    def _begin_reading(self) -> None:
        """Begin a transaction: one snapshot, without later writes of others."""
        self._connection.execute("BEGIN")
        self._rows.meter.begin()

    def _rows_of_run(self, query: str, run: str | None) -> list[Any]:
        if run is None:
            return self._rows.all(query + queries.IN_ORDER)
        self._rows.run_of_id(run)
        return self._rows.all(query + queries.OF_RUN, (run,))

    def _check_counts(self, found: Counter[str], run: str | None) -> None:
        known: list[RunRow] = self._rows.runs() if run is None else [self._rows.run_of_id(run)]
        for row in known:
            self._rows.count(row.record.id, found[row.record.id], row.evaluations)
        for name in found:
            self._rows.check_known(name)
