"""Reading a leaderboard: opened, every row checked, in transactions of one snapshot each."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from autoprompt.candidate import canonical_json, digest
from autoprompt.leaderboard import (
    entry_stream,
    failures,
    inspecting,
    migrations,
    queries,
    schema,
    streaming,
)
from autoprompt.leaderboard.ranking import rank
from autoprompt.leaderboard.records import EntryRow, EvaluationRecord, RunRecord, Summary
from autoprompt.leaderboard.rows import A, Rows, RunRow

T = TypeVar("T", bound="Reader")


class Reader:
    """What is read from a leaderboard. Every row is checked; a damaged one raises StorageError."""

    def __init__(self, path: Path, opened: schema.Opened, *, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self._connection = opened.connection
        self._rows = Rows(opened.connection, opened.meter, path)

    @classmethod
    def open(cls: type[T], path: str | os.PathLike[str], *, read_only: bool = False) -> T:
        """Open a leaderboard, creating a missing one unless ``read_only``; of a link, the file that it points to.

        Raises StorageError.
        """
        place = Path(os.path.realpath(path))
        return cls(place, schema.connect(place, read_only=read_only), read_only=read_only)

    def __enter__(self: T) -> T:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Bring everything into the one file and close it. Raises StorageError when the disk refuses."""
        with failures.guard(self.path, "closed"):
            try:
                if not self.read_only:
                    # Others may be reading: then the last to close does this.
                    self._connection.execute("PRAGMA busy_timeout = 1000")
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.ProgrammingError:
                return  # closed before
            finally:
                self._connection.close()

    def runs(self) -> list[RunRecord]:
        """All runs, newest first (in the order of their start, whatever the clock said)."""
        with self._guard("read"), self._connection:
            self._begin_reading()
            return [row.record for row in reversed(self._rows.runs())]

    def run(self, reference: str) -> RunRecord:
        """The run of this id, name, or unique prefix of an id of 8 characters or more; else NotFoundError."""
        with self._guard("read"), self._connection:
            self._begin_reading()
            return self._rows.run_named(reference).record

    def find(self, run: str) -> RunRecord | None:
        """The run of this exact id, if there is one."""
        with self._guard("read"), self._connection:
            self._begin_reading()
            if self._rows.value(queries.NUMBER_OF_ID, (run,)) is None:
                return None
            return self._rows.run_of_id(run).record

    def user_of(self, name: str | None) -> str | None:
        """The id of the run that has this name."""
        with self._guard("read"), self._connection:
            self._begin_reading()
            found = self._rows.value(queries.ID_OF_NAME, (name,))
            return None if found is None else str(found)

    def number_of(self, reference: str) -> int:
        """The number in the file of the run of this id, name or prefix, or of ``@NUMBER``, whatever it holds.

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
        """The id, config and result of the run of this number in the file, unchecked. Raises NotFoundError."""
        with self._guard("read"), self._connection:
            self._begin_reading()
            found = self._connection.execute(queries.RAW_RUN, (number,)).fetchone()
            if found is None:
                raise self._rows.unknown_run(f"@{number}", 0)
            return found[0], found[1], found[2]

    def names_weights(self, name: str) -> bool:
        """Whether any run names weights, whatever else it holds."""
        with self._guard("read"), self._connection:
            self._begin_reading()
            return self._rows.value(queries.NAMING, (name, name)) is not None

    def inspect(self) -> inspecting.Inspection:
        """Check every row, count, index and file of weights."""
        with self._guard("read"), self._connection:
            self._begin_reading()
            return inspecting.inspect(self._rows)

    def listed_runs(self, limit: int | None = None) -> streaming.Listing[RunRecord]:
        """Runs one by one, newest first, at most so many, and a sentence for each that cannot be shown."""
        return streaming.of_runs(self._rows, self._guard, limit)

    def listed_entries(self, run: str | None = None, limit: int | None = None) -> streaming.Listing[entry_stream.Entry]:
        """The lines of ``entries`` one by one, at most so many, and a sentence for each that cannot be shown.

        What is read of the others is what ranks them. Raises NotFoundError for an unknown run (its exact id).
        """
        return entry_stream.of_entries(self._rows, self._guard, run, limit)

    def evaluations(self, run: str | None = None) -> list[EvaluationRecord]:
        """Everything stored for a run (its exact id) or for all, in the order of insertion.

        Raises NotFoundError for an unknown run.
        """
        with self._guard("read"), self._connection:
            kept = self._begin_reading()
            found = [self._rows.full(row, kept) for row in self._of(queries.FULL[kept], run)]
            self._count(Counter(record.run for record in found), run)
        return found

    def summaries(self, run: str | None = None) -> list[Summary]:
        """The rows of a run (its exact id) or of all without what belongs to single examples, in order.

        Raises NotFoundError for an unknown run.
        """
        with self._guard("read"), self._connection:
            self._begin_reading()
            found = [self._rows.summary(row[0], row[1], row[2:]) for row in self._of(queries.SUMMARIES, run)]
            self._count(Counter(summary.run for summary in found), run)
        return found

    def entries(self, run: str | None = None) -> list[EntryRow]:
        """The leaderboard: one row a run (its exact id) and candidate, best first within each group of entries that
        were judged on the same rows (see ``ranking``).

        Raises NotFoundError for an unknown run.
        """
        return rank(self.summaries(run), self.runs() if run is None else [self.run(run)])

    def entry(self, prefix: str) -> list[EvaluationRecord]:
        """All evaluations of the entry with this unique prefix of 8 characters or more; else NotFoundError."""
        with self._guard("read"), self._connection:
            return self._rows.of_entry(prefix, self._begin_reading())

    def outcome_of(self, key: str) -> EvaluationRecord | None:
        """The first complete evaluation of this key, of any run."""
        with self._guard("read"), self._connection:
            kept = self._begin_reading()
            rows = self._rows.all(queries.FULL[kept] + queries.OF_KEY, (key,))
            return self._rows.full(rows[0], kept) if rows else None

    def attached(self, kind: type[A], run: str) -> list[A]:
        """What of one kind belongs to a run (its exact id), in order; nothing where the file's version kept none.

        Raises NotFoundError for an unknown run.
        """
        with self._guard("read"), self._connection:
            self._begin_reading()
            self._rows.run_of_id(run)
            return self._rows.attached(kind, run)

    def digest(self, run: str) -> str:
        """What a run (its exact id) measured, as one hash: the same whatever its id, clock, speed and row order.

        Raises NotFoundError for an unknown run.
        """
        with self._guard("read"), self._connection:
            kept = self._begin_reading()
            found = [self._rows.checked(row, kept) for row in self._of(queries.FULL[kept], run)]
            self._count(Counter(summary.run for summary, *_ in found), run)
        lines = [
            canonical_json([s.entry, s.rung, s.fold, s.repeat, s.split, s.status, repr(s.loss), digest(examples[0])])
            for s, examples, _ in found
        ]
        return digest("\n".join(sorted(lines)))

    def count_test_evaluations(self, fingerprint: str) -> int:
        """How often the test split of this data was opened, over all runs."""
        with self._guard("read"), self._connection:
            self._begin_reading()
            return int(self._rows.value(queries.TESTED, (fingerprint,)))

    # Transactions. Each is one block of the connection itself, which commits at its end and rolls back on any
    # exception: a signal may interrupt a context manager written in Python between its own steps, and leave a
    # transaction open.

    def _guard(self, doing: str) -> AbstractContextManager[None]:
        return failures.guard(self.path, doing)

    def _begin_reading(self) -> bool:
        """One snapshot: what another process adds meanwhile is not half seen. Whether losses are kept."""
        self._connection.execute("BEGIN")
        self._rows.meter.begin()
        return self._rows.version >= migrations.LOSSES_SINCE

    def _of(self, query: str, run: str | None) -> list[Any]:
        if run is None:
            return self._rows.all(query + queries.IN_ORDER)
        self._rows.run_of_id(run)
        return self._rows.all(query + queries.OF_RUN, (run,))

    def _count(self, found: Counter[str], run: str | None) -> None:
        known: list[RunRow] = self._rows.runs() if run is None else [self._rows.run_of_id(run)]
        for row in known:
            self._rows.count(row.record.id, found[row.record.id], row.evaluations)
        for name in found:
            self._rows.check_known(name)
