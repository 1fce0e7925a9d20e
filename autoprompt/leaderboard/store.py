"""The leaderboard's public face: start and finish runs, add evaluations, read them back checked."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from autoprompt.candidate import canonical_json, digest
from autoprompt.errors import InputError, StorageError, UsageError
from autoprompt.leaderboard import attached, checking, migrations, queries, records, schema
from autoprompt.leaderboard.attached import A, Attached
from autoprompt.leaderboard.ranking import rank
from autoprompt.leaderboard.records import EntryRow, EvaluationRecord, RunRecord, Summary


class Leaderboard:
    """Runs and evaluations in one file. Every row read is checked; a damaged one raises StorageError."""

    def __init__(self, path: Path, connection: sqlite3.Connection, *, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self._connection = connection

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, read_only: bool = False) -> Leaderboard:
        """Open a leaderboard, creating a missing one unless ``read_only``. Raises StorageError."""
        place = Path(path)
        return cls(place, schema.connect(place, read_only=read_only), read_only=read_only)

    def __enter__(self) -> Leaderboard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Bring everything into the one file and close it. Raises StorageError when the disk refuses."""
        with schema.guard(self.path, "closed"):
            try:
                if not self.read_only:
                    # Others may be reading: then the last to close does this.
                    self._connection.execute("PRAGMA busy_timeout = 1000")
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.ProgrammingError:
                return  # closed before
            finally:
                self._connection.close()

    # Writing

    def start_run(self, record: RunRecord, beside: Sequence[Attached] = ()) -> None:
        """Store a new run, and what belongs to it, such as the rows of its data.

        Raises UsageError for a name that is used or no name, StorageError for a used id.
        """
        checking.check_name(record.name)
        checking.check_run_status(record.status)
        values = records.run_values(record, 0)
        with self._guard("written"), self._connection:
            self._begin_writing()
            checking.check_unused(self.path, record.id, record.name, [run for run, _ in self._runs()])
            try:
                self._connection.execute(queries.ADD_RUN, (*values, records.checksum(values)))
            except OverflowError as error:
                raise UsageError(f"The seed {record.seed} does not fit in 64 bits; use a smaller one.") from error
            attached.add(self._connection, beside)

    def check_name(self, name: str | None) -> None:
        """Whether a new run may have this name. Raises UsageError."""
        checking.check_name(name)
        checking.check_unused(self.path, None, name, self.runs())

    def finish_run(self, run_id: str, status: str, result: dict[str, Any] | None = None) -> None:
        """Set a run's status and result; the status ``running`` takes a stopped run up again.

        The steps of a finished run are done with. Raises NotFoundError for an unknown id, InputError for a result that
        is not plain JSON.
        """
        checking.check_run_status(status)
        finished = None if status == "running" else datetime.now(UTC).isoformat(timespec="seconds")
        with self._guard("written"), self._connection:
            self._begin_writing()
            record, count = self._run_of_id(run_id)
            self._change_run(replace(record, status=status, finished=finished, result=result), count)
            if status == "finished":
                attached.forget_steps(self._connection, run_id)

    def attach(self, items: Sequence[Attached]) -> None:
        """Store what belongs to a run; on return it survives a power cut. Raises StorageError for an unknown run."""
        with self._guard("written"), self._connection:
            self._begin_writing()
            attached.add(self._connection, items)

    def add(self, evaluations: Sequence[EvaluationRecord], beside: Sequence[Attached] = ()) -> None:
        """Store evaluations, and what belongs to their runs, all or none; on return they survive a power cut.

        Raises StorageError for a key that the run already has, NotFoundError for an unknown run, InputError
        for a record that must not be stored (a score that is not finite, a failure without a reason).
        """
        rows = [_row(evaluation) for evaluation in evaluations]
        if not rows and not beside:
            return
        with self._guard("written"), self._connection:
            self._begin_writing()
            for run_id, added in sorted(Counter(e.run for e in evaluations).items()):
                record, count = self._run_of_id(run_id)
                self._change_run(record, count + added)
            for row in rows:
                self._add_row(*row)
            attached.add(self._connection, beside)

    def take_in(self, run: RunRecord, evaluations: Sequence[EvaluationRecord], beside: Sequence[Attached]) -> None:
        """Store another leaderboard's run with evaluations, all or none, in place of one of its id that has fewer.

        Raises as ``start_run`` and ``add`` do.
        """
        rows = [_row(evaluation) for evaluation in evaluations]
        with self._guard("written"), self._connection:
            self._begin_writing()
            counts = {known.id: count for known, count in self._runs()}
            if run.id in counts:
                self._change_run(run, counts[run.id] + len(rows))
                attached.forget_steps(self._connection, run.id)
            else:
                values = records.run_values(run, len(rows))
                self._connection.execute(queries.ADD_RUN, (*values, records.checksum(values)))
            for row in rows:
                self._add_row(*row)
            attached.add(self._connection, beside)

    def back_up(self, to: Path) -> None:
        """Copy what is committed into a new file, whole or not at all. Raises StorageError, also where it exists."""
        schema.copy_to(self.path, to)

    def _add_row(self, values: tuple[Any, ...], examples: tuple[str, str, str], losses: str) -> None:
        run, key = values[:2]
        try:
            cursor = self._connection.execute(queries.ADD_EVALUATION, (*values, records.checksum(values)))
        except sqlite3.IntegrityError as error:
            raise StorageError(
                f"The evaluation {key!r} of run {run} cannot be added to {self.path} ({error}); "
                f"within a run each key is stored once."
            ) from error
        # The run and key bind examples and losses to their evaluation.
        number = cursor.lastrowid
        self._connection.execute(queries.ADD_LOSSES, (number, losses, records.checksum((run, key, losses))))
        self._connection.execute(queries.ADD_EXAMPLES, (number, *examples, records.checksum((run, key, *examples))))

    def _change_run(self, record: RunRecord, count: int) -> None:
        values = records.run_values(record, count)
        row = dict(zip(records.RUN_COLUMNS, values, strict=True))
        changed = (row["status"], row["finished"], row["result"], count, records.checksum(values), record.id)
        self._connection.execute(queries.CHANGE_RUN, changed)

    # Reading

    def runs(self) -> list[RunRecord]:
        """All runs, newest first (in the order of their start, whatever the clock said)."""
        with self._guard("read"), self._connection:
            self._begin_reading()
            return [record for record, _ in reversed(self._runs())]

    def run(self, reference: str) -> RunRecord:
        """The run of this id, name, or unique prefix of an id of 8 characters or more; else NotFoundError."""
        known = self.runs()
        for record in known:
            if record.id == reference:
                return record
        for record in known:
            if record.name == reference:
                return record
        found = [record for record in known if record.id.startswith(reference)]
        if len(reference) >= checking.PREFIX_LENGTH and len(found) == 1:
            return found[0]
        names = [name for record in known for name in (record.name, record.id) if name]
        raise checking.not_found("run", reference, len(found), self.path, "leaderboard runs", names)

    def evaluations(self, run: str | None = None) -> list[EvaluationRecord]:
        """Everything stored for a run (its exact id) or for all, in the order of insertion.

        Raises NotFoundError for an unknown run.
        """
        with self._guard("read"), self._connection:
            kept = self._begin_reading()
            found = [self._full(row, kept) for row in self._rows(queries.FULL[kept], run)]
            self._count(Counter(record.run for record in found), run)
        return found

    def summaries(self, run: str | None = None) -> list[Summary]:
        """The rows of a run (its exact id) or of all without what belongs to single examples, in order.

        Raises NotFoundError for an unknown run.
        """
        with self._guard("read"), self._connection:
            self._begin_reading()
            found = [self._summary(row[0], row[1], row[2:]) for row in self._rows(queries.SUMMARIES, run)]
            self._count(Counter(summary.run for summary in found), run)
        return found

    def entries(self, run: str | None = None) -> list[EntryRow]:
        """The leaderboard: one row a run (its exact id) and candidate, best first within each group of entries that
        were judged on the same rows (see ``ranking``).

        Raises NotFoundError for an unknown run.
        """
        summaries = self.summaries(run)
        return rank(summaries, self.runs())

    def entry(self, prefix: str) -> list[EvaluationRecord]:
        """All evaluations of the entry with this unique prefix of 8 characters or more; else NotFoundError."""
        with self._guard("read"), self._connection:
            kept = self._begin_reading()
            bounds = (prefix, prefix + "\U0010ffff")
            names = [name for (name,) in self._connection.execute(queries.ENTRIES, bounds)] if prefix.isascii() else []
            names = [prefix] if prefix in names else names
            if len(prefix) < checking.PREFIX_LENGTH or len(names) != 1:
                raise checking.not_found("entry", prefix, len(names), self.path, "leaderboard list")
            rows = self._connection.execute(queries.FULL[kept] + queries.OF_ENTRY, names).fetchall()
            return [self._full(row, kept) for row in rows]

    def attached(self, kind: type[A], run: str) -> list[A]:
        """What of one kind belongs to a run (its exact id), in order; nothing where the file's version kept none.

        Raises NotFoundError for an unknown run.
        """
        with self._guard("read"), self._connection:
            self._begin_reading()
            self._run_of_id(run)
            return attached.of_run(self._connection, self.path, schema.version_of(self._connection), kind, run)

    def digest(self, run: str) -> str:
        """What a run (its exact id) measured, as one hash: the same whatever its id, clock, speed and row order.

        Raises NotFoundError for an unknown run.
        """
        with self._guard("read"), self._connection:
            kept = self._begin_reading()
            found = [self._checked(row, kept) for row in self._rows(queries.FULL[kept], run)]
            self._count(Counter(summary.run for summary, *_ in found), run)
        lines = [
            canonical_json([s.entry, s.rung, s.fold, s.repeat, s.split, s.status, repr(s.loss), digest(examples[0])])
            for s, examples, _ in found
        ]
        return digest("\n".join(sorted(lines)))

    def count_test_evaluations(self, fingerprint: str) -> int:
        """How often the test split of this data was opened, over all runs."""
        return self.test_evaluations()[fingerprint]

    def test_evaluations(self) -> Counter[str]:
        """How often the test split of each data (its fingerprint) was opened, over all runs."""
        with self._guard("read"), self._connection:
            self._begin_reading()
            counts: dict[str, int] = dict(self._connection.execute(queries.TESTS).fetchall())
            return sum((Counter({r.fingerprint: counts.get(r.id, 0)}) for r, _ in self._runs()), Counter())

    # Transactions. Each is one block of the connection itself, which commits at its end and rolls back on any
    # exception: a signal may interrupt a context manager written in Python between its own steps, and leave a
    # transaction open.

    def _guard(self, doing: str) -> AbstractContextManager[None]:
        return schema.guard(self.path, doing)

    def _begin_writing(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        # Another program may have migrated the file since it was opened.
        schema.refuse_newer(self.path, schema.version_of(self._connection))

    def _begin_reading(self) -> bool:
        """One snapshot: what another process adds meanwhile is not half seen. Whether losses are kept."""
        self._connection.execute("BEGIN")
        return schema.version_of(self._connection) >= migrations.LOSSES_SINCE

    # Rows

    def _runs(self) -> list[tuple[RunRecord, int]]:
        found = []
        for *values, check in self._connection.execute(queries.RUNS).fetchall():
            checking.check_row(self.path, "runs", values[0], values, check)
            found.append((records.run_record(values), values[-1]))
        return found

    def _run_of_id(self, run_id: str) -> tuple[RunRecord, int]:
        for record, count in self._runs():
            if record.id == run_id:
                return record, count
        raise checking.not_found("run", run_id, 0, self.path, "leaderboard runs")

    def _rows(self, query: str, run: str | None) -> list[Any]:
        # All at once: a cursor left open by a damaged row would hold its table locked.
        if run is None:
            return self._connection.execute(query + queries.IN_ORDER).fetchall()
        self._run_of_id(run)
        return self._connection.execute(query + queries.OF_RUN, (run,)).fetchall()

    def _summary(self, number: int, check: str, values: Sequence[Any]) -> Summary:
        checking.check_row(self.path, "evaluations", number, values, check)
        return Summary._make(values)

    def _checked(self, row: Sequence[Any], kept: bool) -> tuple[Summary, Sequence[str], str | None]:
        number, check, example_check, losses_check, losses, *rest = row
        width = len(records.EXAMPLE_COLUMNS)
        summary = self._summary(number, check, rest[width:])
        examples = rest[:width]
        checking.check_row(self.path, "examples", number, (summary.run, summary.key, *examples), example_check)
        if kept and (losses, losses_check) != (None, migrations.ABSENT):
            checking.check_row(self.path, "losses", number, (summary.run, summary.key, losses), losses_check)
        return summary, examples, losses

    def _full(self, row: Sequence[Any], kept: bool) -> EvaluationRecord:
        try:
            return records.evaluation_record(*self._checked(row, kept))
        except InputError as error:
            raise StorageError(
                f"Row {row[0]} of evaluations in {self.path} is unknown to this version; upgrade autoprompt."
            ) from error

    def _count(self, found: Counter[str], run: str | None) -> None:
        for record, expected in self._runs():
            if run in (None, record.id):
                checking.check_count(self.path, record.id, found[record.id], expected)


def _row(evaluation: EvaluationRecord) -> tuple[tuple[Any, ...], tuple[str, str, str], str]:
    return (
        records.evaluation_values(evaluation),
        records.example_values(evaluation),
        records.losses_value(evaluation),
    )
