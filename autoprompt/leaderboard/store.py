"""The class ``Leaderboard``: starts, finishes and removes runs, adds evaluations, and reads as ``Reader`` does."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autoprompt.errors import StorageError, UsageError
from autoprompt.leaderboard import backups, checks, queries, records, run_tables, schema
from autoprompt.leaderboard.reader import Reader
from autoprompt.leaderboard.records import EvaluationRecord, RunRecord
from autoprompt.leaderboard.rows import ids_and_names
from autoprompt.leaderboard.run_tables import Attached
from autoprompt.results import RunResult


class Leaderboard(Reader):
    """Runs and evaluations in one file. Every row read is checked; a damaged one raises StorageError."""

    def start_run(self, record: RunRecord, attached: Sequence[Attached] = ()) -> None:
        """Store a new run, and its first steps, origins, estimates and data rows (``attached``).

        Raises UsageError for a name that is invalid or in use, StorageError for an id in use.
        """
        checks.check_name(record.name)
        checks.check_run_status(record.status)
        if not -(2**63) <= record.seed < 2**63:
            raise UsageError(f"The seed {record.seed} does not fit in 64 bits; use a smaller one.")
        values = records.run_values(record, 0)
        with self._guard("written"), self._connection:
            self._begin_writing()
            self._check_unused(record.id, record.name)
            self._connection.execute(queries.ADD_RUN, (*values, records.checksum(values)))
            run_tables.add(self._connection, self.path, attached)

    def check_name(self, name: str | None) -> None:
        """Raise UsageError for a run name that is invalid or in use."""
        checks.check_name(name)
        with self._guard("read"), self._connection:
            self._begin_reading()
            self._check_unused(None, name)

    def finish_run(self, run_id: str, status: str, result: RunResult | None = None) -> None:
        """Set a run's status and result; the status ``running`` resumes a stopped run, ``finished`` deletes the steps.

        Raises NotFoundError for an unknown id, InputError for a result that the schema refuses.
        """
        checks.check_run_status(status)
        finished = None if status == "running" else datetime.now(UTC).isoformat(timespec="seconds")
        with self._guard("written"), self._connection:
            self._begin_writing()
            known = self._rows.run_of_id(run_id)
            changed = replace(known.record, status=status, finished=finished, result=result)
            self._change_run(changed, known.evaluations)
            if status == "finished":
                run_tables.delete_steps(self._connection, run_id)

    def attach(self, items: Sequence[Attached]) -> None:
        """Store steps, origins, estimates or data rows of runs. When this returns, they survive a power cut.

        Raises StorageError for an unknown run.
        """
        with self._guard("written"), self._connection:
            self._begin_writing()
            run_tables.add(self._connection, self.path, items)

    def add(self, evaluations: Sequence[EvaluationRecord], attached: Sequence[Attached] = ()) -> None:
        """Store evaluations, and steps, origins, estimates or data rows (``attached``), all or none.

        When this returns, they survive a power cut. Raises StorageError for a key that the run already has,
        NotFoundError for an unknown run, InputError for a record that must not be stored (a score that is not finite, a
        failure without a reason).
        """
        rows = [_row(evaluation) for evaluation in evaluations]
        if not rows and not attached:
            return
        with self._guard("written"), self._connection:
            self._begin_writing()
            for run_id, added in sorted(Counter(e.run for e in evaluations).items()):
                known = self._rows.run_of_id(run_id)
                self._change_run(known.record, known.evaluations + added)
            for row in rows:
                self._add_row(*row)
            run_tables.add(self._connection, self.path, attached)

    def import_run(self, run: RunRecord, evaluations: Sequence[EvaluationRecord], attached: Sequence[Attached]) -> None:
        """Store a run of another leaderboard with its evaluations and other rows, all or none.

        If a run with its id is already here, ``evaluations`` are added to it, and its steps are replaced. Raises as
        ``start_run`` and ``add`` do.
        """
        rows = [_row(evaluation) for evaluation in evaluations]
        with self._guard("written"), self._connection:
            self._begin_writing()
            known = self._rows.value(queries.NUMBER_OF_ID, (run.id,))
            if known is not None:
                self._change_run(run, self._rows.run_of_id(run.id).evaluations + len(rows))
                run_tables.delete_steps(self._connection, run.id)
            else:
                values = records.run_values(run, len(rows))
                self._connection.execute(queries.ADD_RUN, (*values, records.checksum(values)))
            for row in rows:
                self._add_row(*row)
            run_tables.add(self._connection, self.path, attached)

    def remove(self, number: int) -> None:
        """Remove the run with this row number and everything stored for it, even if its rows are damaged.

        ``removing.remove`` also checks that no driver is alive, and deletes weights. Raises StorageError.
        """
        with self._guard("written"), self._connection:
            self._begin_writing()
            (run,) = self._connection.execute(queries.ID_OF_NUMBER, (number,)).fetchone() or (None,)
            run_tables.delete_all(self._connection, run)
            for query in queries.REMOVE_EVALUATIONS:
                self._connection.execute(query, (run,))
            self._connection.execute(queries.REMOVE_RUN, (number,))

    def back_up(self, to: Path) -> backups.BackedUp:
        """Copy the committed data to a new file, whole or not at all, and the weights that its runs name.

        Raises StorageError, also if the file exists.
        """
        return backups.back_up(self.path, to)

    def _add_row(self, values: tuple[Any, ...], examples: tuple[str, str, str, str], losses: str) -> None:
        run, key = values[:2]
        try:
            cursor = self._connection.execute(queries.ADD_EVALUATION, (*values, records.checksum(values)))
        except sqlite3.IntegrityError as error:
            raise StorageError(
                f"The evaluation {key!r} of run {run} cannot be added to {self.path} ({error}); "
                f"within a run each key is stored once."
            ) from error
        # Run and key in these checksums bind examples and losses to their evaluation.
        number = cursor.lastrowid
        self._connection.execute(queries.ADD_LOSSES, (number, losses, records.checksum((run, key, losses))))
        self._connection.execute(queries.ADD_EXAMPLES, (number, *examples, records.checksum((run, key, *examples))))

    def _change_run(self, record: RunRecord, count: int) -> None:
        values = records.run_values(record, count)
        row = dict(zip(records.RUN_COLUMNS, values, strict=True))
        changed = (row["status"], row["finished"], row["result"], count, records.checksum(values), record.id)
        self._connection.execute(queries.CHANGE_RUN, changed)

    def _check_unused(self, run_id: str | None, name: str | None) -> None:
        found = self._rows.all(queries.USED, (run_id, name))
        checks.check_unused(self.path, run_id, name, ids_and_names(found))

    def _begin_writing(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._rows.meter.begin()
        # Another program may have migrated the file since it was opened.
        schema.refuse_newer(self.path, self._rows.version)


def _row(evaluation: EvaluationRecord) -> tuple[tuple[Any, ...], tuple[str, str, str, str], str]:
    return (
        records.evaluation_values(evaluation),
        records.example_values(evaluation),
        records.losses_value(evaluation),
    )
