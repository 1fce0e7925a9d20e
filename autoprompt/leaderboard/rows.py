"""Leaderboard rows read as records: each row is checked against its checksum, then against the schema."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from autoprompt.errors import InputError, StorageError
from autoprompt.leaderboard import checks, queries, records, run_tables, schema
from autoprompt.leaderboard.limits import Meter
from autoprompt.leaderboard.records import EvaluationRecord, RunRecord
from autoprompt.leaderboard.run_tables import A
from autoprompt.leaderboard.summary import Summary

_SUGGESTED = 1_000
"""Newest runs whose ids and names are searched for the one closest to an unknown name."""
SMALL_LEADERBOARD = 2_000
"""Maximum evaluations of a small leaderboard, in which readers also check rows and indices that they could skip."""


class RunRow(NamedTuple):
    """A run and its row number; ``evaluations``: the number stored for it."""

    number: int
    record: RunRecord
    evaluations: int


class Rows:
    """The rows of one open leaderboard. The caller must call every method within a transaction.

    Methods raise DamagedError for a row that was changed after it was stored, and RefusedError for a row that this
    program does not write.
    """

    def __init__(self, connection: sqlite3.Connection, meter: Meter, path: Path) -> None:
        self.connection = connection
        self.meter = meter
        self.path = path

    @property
    def version(self) -> int:
        return schema.version_of(self.connection)

    def fetch(self, query: str, parameters: Sequence[Any] = ()) -> Iterator[Sequence[Any]]:
        """Yield rows one by one. Raises StorageError for more text than the file can hold."""
        return self.meter.counted(self.connection.execute(query, parameters))

    def all(self, query: str, parameters: Sequence[Any] = ()) -> list[Sequence[Any]]:
        """All rows at once: a cursor left open after an error in one row would keep its table locked."""
        return list(self.fetch(query, parameters))

    def value(self, query: str, parameters: Sequence[Any] = ()) -> Any:
        """The first column of the first row; None where there is none."""
        row = self.connection.execute(query, parameters).fetchone()
        return row and row[0]

    # Runs

    def run(self, row: Sequence[Any]) -> RunRow:
        """The run in a row of ``queries.RUNS``."""
        number, check, *values = row
        checks.check_row(self.path, "runs", _named(number, values[0]), values, check)
        try:
            return RunRow(number, records.run_record(values), values[-1])
        except InputError as error:
            raise checks.refusal(self.path, "runs", _named(number, values[0]), error) from error

    def runs(self) -> list[RunRow]:
        """All runs, oldest first."""
        return [self.run(row) for row in self.all(queries.RUNS + queries.OLDEST_FIRST)]

    def run_of_id(self, run: str) -> RunRow:
        """The run with this exact id. Raises NotFoundError."""
        rows = self.all(queries.RUNS + queries.OF_ID, (run,)) if _is_text(run) else []
        if not rows:
            raise self.unknown_run(run, 0)
        return self.run(rows[0])

    def run_named(self, reference: str) -> RunRow:
        """The run with this id, name, or unique id prefix of at least 8 characters. Raises NotFoundError."""
        number = self.number_of(reference)
        return self.run(self.all(queries.RUNS + queries.OF_NUMBER, (number,))[0])

    def number_of(self, reference: str) -> int:
        """Row number of a run, whose content is not checked. Raises as ``run_named`` does."""
        if not _is_text(reference):
            raise self.unknown_run(reference, 0)
        for query in (queries.NUMBER_OF_ID, queries.NUMBER_OF_NAME):
            number = self.value(query, (reference,))
            if number is not None:
                return int(number)
        found = [number for (number,) in self.all(queries.NUMBERS_OF_PREFIX, (reference, reference + "\U0010ffff"))]
        if len(reference) < checks.PREFIX_LENGTH or len(found) != 1:
            raise self.unknown_run(reference, len(found))
        return int(found[0])

    def unknown_run(self, reference: str, matches: int) -> StorageError | InputError:
        """The error for a reference that names no run; DamagedError if the table has the run and its index does not."""
        if _is_text(reference) and self.value(queries.UNINDEXED_RUN, (reference, reference)):
            return self._index_differs(f"the run {reference!r}")
        named = self.all(queries.NAMES, (_SUGGESTED,))
        names = [text for row in named for text in row if isinstance(text, str) and text]
        return checks.not_found("run", reference, matches, self.path, "leaderboard runs", names)

    # Evaluations

    def summary(self, number: int, check: str, values: Sequence[Any]) -> Summary:
        """The summary in a row of ``queries.SUMMARIES``."""
        checks.check_row(self.path, "evaluations", number, values, check)
        try:
            records.check_summary(values)
        except InputError as error:
            raise checks.refusal(self.path, "evaluations", number, error) from error
        return Summary._make(values)

    def parts(self, row: Sequence[Any]) -> tuple[Summary, Sequence[str], str]:
        """Summary, examples, losses in a row of ``queries.FULL``."""
        number, check, example_check, losses_check, losses, *rest = row
        width = len(records.EXAMPLE_COLUMNS)
        summary = self.summary(number, check, rest[width:])
        examples = rest[:width]
        checks.check_row(self.path, "examples", number, (summary.run, summary.key, *examples), example_check)
        checks.check_row(self.path, "losses", number, (summary.run, summary.key, losses), losses_check)
        return summary, examples, losses

    def evaluation(self, row: Sequence[Any]) -> EvaluationRecord:
        """The evaluation in a row of ``queries.FULL``."""
        parts = self.parts(row)
        try:
            return records.evaluation_record(*parts)
        except InputError as error:
            raise checks.refusal(self.path, "evaluations", row[0], error) from error

    def count(self, run: str, found: int, expected: int) -> None:
        """Raise DamagedError where a run does not have the expected number of evaluations."""
        if found != expected:
            why = checks.integrity_problem(self.connection)
            checks.check_count(self.path, "evaluations", run, found, expected, why)

    def of_entry(self, prefix: str) -> list[EvaluationRecord]:
        """All evaluations of the entry with this unique prefix. Raises NotFoundError."""
        bounds = (prefix, prefix + "\U0010ffff")
        names = [name for (name,) in self.all(queries.ENTRIES, bounds)] if prefix.isascii() else []
        names = [prefix] if prefix in names else names
        if len(prefix) < checks.PREFIX_LENGTH or len(names) != 1:
            raise checks.not_found("entry", prefix, len(names), self.path, "leaderboard list")
        rows = self.all(queries.FULL + queries.OF_ENTRY, names)
        self._check_index(len(rows), queries.UNINDEXED_ENTRY, names[0], f"evaluations of the entry {names[0][:12]!r}")
        found = [self.evaluation(row) for row in rows]
        for run in {record.run for record in found}:
            self.check_known(run)
        return found

    def tested(self, fingerprint: str) -> int:
        """Number of evaluations on the test split of this data, over all runs."""
        found = int(self.value(queries.TESTED, (fingerprint,)))
        self._check_index(found, queries.UNINDEXED_TESTED, fingerprint, "evaluations on test rows")
        return found

    def check_known(self, run: str) -> None:
        """Raise DamagedError for evaluations whose run is missing."""
        if self.value(queries.NUMBER_OF_ID, (run,)) is None:
            raise checks.DamagedError(
                f"The leaderboard {self.path} is damaged: it has evaluations of the run {run}, which is gone; "
                "restore a backup."
            )

    def _check_index(self, found: int, unindexed: str, value: str, what: str) -> None:
        """Raise DamagedError where a small leaderboard's table has another number of such rows than its index."""
        if self.is_small() and self.value(unindexed, (value,)) != found:
            raise self._index_differs(what)

    def _index_differs(self, what: str) -> checks.DamagedError:
        why = checks.integrity_problem(self.connection)
        return checks.DamagedError(
            f"The leaderboard {self.path} is damaged: an index and its table differ in {what}"
            f"{f' ({why})' if why else ''}; restore a backup."
        )

    def is_small(self) -> bool:
        """Whether there are so few evaluations that any command can check all of them."""
        return bool(self.value(queries.COUNT_UP_TO, (SMALL_LEADERBOARD + 1,)) <= SMALL_LEADERBOARD)

    def attached(self, kind: type[A], run: str) -> list[A]:
        """Steps, origins, estimates or data rows of a run (its exact id), in order."""
        return run_tables.rows_of_run(self.connection, self.meter, self.path, kind, run)


def _named(number: Any, run: Any) -> str:
    return f"@{number} ({run[:40]!r})" if isinstance(run, str) else f"@{number}"


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def ids_and_names(rows: Iterable[Sequence[Any]]) -> list[tuple[str, str | None]]:
    """Ids and names of runs, as text."""
    return [(str(run), None if name is None else str(name)) for run, name in rows]
