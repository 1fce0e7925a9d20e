"""Listing of leaderboard entries one by one: best first within each group, refined entries under their parents.

All entries are sorted by a few columns, and only listed entries are read in full. ``listings`` says which rows are
skipped and which are checked.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from autoprompt.errors import InputError, StorageError
from autoprompt.leaderboard import checks, queries
from autoprompt.leaderboard.listings import Guard, Listing, snapshot
from autoprompt.leaderboard.ranking import UNKNOWN, RunData, data_of, leaderboard_line, sort_key
from autoprompt.leaderboard.records import EntryRow, RunRecord, parent_of
from autoprompt.leaderboard.rows import SMALL_LEADERBOARD, Rows
from autoprompt.leaderboard.run_tables import EntryEstimate
from autoprompt.leaderboard.summary import Summary
from autoprompt.results import refinement_verdict
from autoprompt.short_repr import short_repr

T = TypeVar("T")
_SPARE_ENTRIES = 1_000
"""Entries beyond the limit that are sorted as well, to replace entries that cannot be read."""
_BATCH = 200
"""Entries, or evaluations, that are read at a time."""
_CACHED_RUNS = 500
"""Runs cached in memory, since the next entry may belong to one of them."""


class Entry(NamedTuple):
    """A line of the leaderboard with the run that it belongs to.

    ``depth``: number of listed entries that it descends from. ``parent``: the entry that a refined one was trained
    from. ``verdict``: how refining changed it, in words.
    """

    row: EntryRow
    run: RunRecord
    depth: int = 0
    parent: str | None = None
    verdict: str | None = None

    def __repr__(self) -> str:
        row = self.row
        loss = row.validation and row.validation.loss
        return short_repr(self, row.entry[:12], run=row.run, template=row.template, loss=loss, winner=self.wins)

    @property
    def wins(self) -> bool:
        """Whether it is the best of its run."""
        return self.run.winner == self.row.entry

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values of the row, with ``parent``, ``verdict`` and ``winner``: whether it is the run's best."""
        return self.row.to_dict() | {"parent": self.parent, "verdict": self.verdict, "winner": self.wins}


class _Ranked(NamedTuple):
    """A row of ``queries.RANKED``; not checked, since a checksum covers all columns of a row."""

    number: int
    entry: str
    run: str
    split: str
    rung: int
    fold: int
    status: str
    loss: float | None
    metric: str | None
    n: int | None
    length: int
    readability: float | None
    plausible: int
    """Whether the row can be sorted; if not, it is read in full to find out what is wrong with it."""


def list_entries(rows: Rows, guard: Guard, run: str | None, limit: int | None) -> Listing[Entry]:
    """Entries of a run (its exact id) or of all: best first within each group, refined ones under their parents."""

    def items(listing: Listing[Entry]) -> Iterator[Entry]:
        with snapshot(rows, guard):
            if run is not None:
                rows.run_of_id(run)
            _check_all(rows, listing, run)
            yield from _Entries(rows, listing).ranked(run, limit)

    return Listing(items)


Name = tuple[str, str]
"""Run id and entry id."""


class _SortedEntry(NamedTuple):
    """An entry's sort key (``ranking.sort_key``), which ends with entry and run id, and its evaluations' numbers."""

    sort_key: tuple[Any, ...]
    numbers: list[int]

    @property
    def name(self) -> Name:
        return self.sort_key[-1], self.sort_key[-2]


class _Entries:
    """The entries of one listing."""

    def __init__(self, rows: Rows, listing: Listing[Entry]) -> None:
        self.rows = rows
        self.listing = listing
        self._runs: dict[str, RunRecord | None] = {}
        self._data: dict[str, RunData] = {}
        self._errors: dict[Name, float] = {}
        self._estimates: dict[str, dict[str, EntryEstimate]] = {}
        self._parents: dict[str, Name] = {}

    def ranked(self, run: str | None, limit: int | None) -> Iterator[Entry]:
        """Yield entries, best first within each group; a refined entry follows its parent if that is listed."""
        self._data = self._data_of_runs()
        found = self.rows.connection.execute(*((queries.ERRORS,) if run is None else (queries.ERRORS_OF_RUN, (run,))))
        self._errors = {(of_run, entry): error for of_run, entry, error in found}
        self._parents = self._parents_of(run)
        wanted = set(self._parents.values())
        there: set[Name] = set()
        children: dict[Name, list[_SortedEntry]] = {}

        def tops() -> Iterator[_SortedEntry]:
            for found in self._groups(run):
                if found.name in wanted:
                    there.add(found.name)
                if found.name[0] in self._parents:
                    children.setdefault(self._parents[found.name[0]], []).append(found)
                else:
                    yield found

        best = _first(tops(), limit)
        orphans = [child for parent in list(children) if parent not in there for child in children.pop(parent)]
        shown = 0
        for batch in _batches(_first([*best, *orphans], limit)):
            for entry in self._read(batch, children):
                if shown == limit:
                    return
                shown += 1
                yield entry
        while children:  # only in a manipulated file does a parent descend from its child
            _, circle = children.popitem()
            for entry in self._read(sorted(circle), children):
                if shown == limit:
                    return
                shown += 1
                yield entry

    def _data_of_runs(self) -> dict[str, RunData]:
        found = sorted(self.rows.fetch(queries.DATA_OF_RUNS), key=lambda row: -row[0])
        return data_of((str(run), str(fingerprint), str(strategy)) for _, run, fingerprint, strategy in found)

    def _parents_of(self, run: str | None) -> dict[str, Name]:
        """Map each run that refined an entry to the run and the entry that it started from."""
        refined = [name for name, data in self._data.items() if data.refined and run in (None, name)]
        runs = ((name, self._run(name)) for name in refined)
        return {name: parent for name, record in runs if record is not None and (parent := parent_of(record))}

    def _groups(self, run: str | None) -> Iterator[_SortedEntry]:
        """Yield the sort key and the evaluations' row numbers of each entry of each run."""
        query = queries.RANKED_OF_ALL if run is None else queries.RANKED_OF_RUN
        members: list[_Ranked] = []
        for row in map(_Ranked._make, self.rows.connection.execute(query, () if run is None else (run,))):
            if members and (row.entry != members[0].entry or row.run != members[0].run):
                yield from self._group(members)
                members = []
            members.append(row)
        yield from self._group(members)

    def _group(self, members: list[_Ranked]) -> Iterator[_SortedEntry]:
        bad = next((row for row in members if not row.plausible), None)
        if bad is not None:
            self.listing.problem(self._fault(bad.number))
        elif members:
            if len(members) > 1:
                members.sort()
            self.listing.total += 1
            data = self._data.get(members[0].run, UNKNOWN)
            error = self._errors.get((members[0].run, members[0].entry))
            yield _SortedEntry(sort_key(members, data, error), [row.number for row in members])

    def _fault(self, number: int) -> StorageError:
        """The error in an evaluation that cannot be sorted or found."""
        try:
            for row in self.rows.all(queries.summaries_of([number]), (number,)):
                self.rows.summary(row[0], row[1], row[2:])
        except StorageError as error:
            return error
        return checks.DamagedError(
            f"The leaderboard {self.rows.path} is damaged: its index of ranks does not fit row {number} of table "
            "evaluations; restore a backup."
        )

    def _read(self, tops: Sequence[_SortedEntry], children: dict[Name, list[_SortedEntry]]) -> Iterator[Entry]:
        """Yield the entries at these places, each followed by the entries refined from it."""
        found = self._summaries([number for top in tops for number in top.numbers])
        for top in tops:
            entry = self._entry(top, found, 0)
            if entry is not None:
                yield entry
            waiting = [(child, 1) for child in sorted(children.pop(top.name, []), reverse=True)]
            while waiting:
                child, depth = waiting.pop()
                entry = self._entry(child, self._summaries(child.numbers), depth)
                if entry is not None:
                    yield entry
                waiting += [(each, depth + 1) for each in sorted(children.pop(child.name, []), reverse=True)]

    def _summaries(self, numbers: Sequence[int]) -> dict[int, Summary | StorageError]:
        return {
            row[0]: self._summary(row)
            for batch in _batches(numbers)
            for row in self.rows.all(queries.summaries_of(batch), batch)
        }

    def _entry(self, item: _SortedEntry, found: dict[int, Summary | StorageError], depth: int) -> Entry | None:
        """The entry at this place; None where it cannot be read."""
        summaries = [found[number] for number in item.numbers if number in found]
        good = [summary for summary in summaries if isinstance(summary, Summary)]
        if len(good) < len(item.numbers):
            errors = [error for error in summaries if isinstance(error, StorageError)]
            self.listing.problem(errors[0] if errors else self._fault(item.numbers[0]))
            return None
        run = self._run(good[0].run)
        if run is None:
            return None
        row = leaderboard_line(good, self._data.get(run.id, UNKNOWN), self._estimates_of(run.id).get(good[0].entry))
        parent = self._parents.get(run.id)
        verdict = refinement_verdict(run.result.refine) if parent and run.result else None
        return Entry(row, run, depth, parent[1] if parent else None, verdict)

    def _summary(self, row: Any) -> Summary | StorageError:
        try:
            summary = self.rows.summary(row[0], row[1], row[2:])
            summary.parsed()
        except (checks.DamagedError, checks.RefusedError) as error:
            return error
        except InputError as error:
            return checks.refusal(self.rows.path, "evaluations", row[0], error)
        return summary

    def _estimates_of(self, run: str) -> dict[str, EntryEstimate]:
        """The run's estimates by entry, cached; none where they cannot be read."""
        if run not in self._estimates:
            if len(self._estimates) >= _CACHED_RUNS:
                self._estimates.clear()
            try:
                self._estimates[run] = {each.entry: each for each in self.rows.attached(EntryEstimate, run)}
            except StorageError as error:
                self._estimates[run] = {}
                self.listing.problem(error)
        return self._estimates[run]

    def _run(self, run: str) -> RunRecord | None:
        """The run with this id, cached; None where it cannot be read."""
        if run not in self._runs:
            if len(self._runs) >= _CACHED_RUNS:
                self._runs.clear()
            try:
                row = self.rows.run_of_id(run)
                self._runs[run] = row.record
                self.rows.count(run, int(self.rows.value(queries.COUNT_OF_RUN, (run,))), row.evaluations)
            except (StorageError, InputError) as error:
                self._runs.setdefault(run, None)
                self.listing.problem(error if isinstance(error, StorageError) else checks.DamagedError(str(error)))
        return self._runs[run]


def _first(entries: Iterable[_SortedEntry], limit: int | None) -> list[_SortedEntry]:
    return sorted(entries) if limit is None else heapq.nsmallest(limit + _SPARE_ENTRIES, entries)


def _check_all(rows: Rows, listing: Listing[Entry], run: str | None) -> None:
    """Check all runs and evaluations of a small leaderboard: otherwise, one that damage ranks too low is missed."""
    if not rows.is_small() or int(rows.value(queries.COUNT_RUNS)) > SMALL_LEADERBOARD:
        return
    found: Counter[str] = Counter()
    query = queries.SUMMARIES + (queries.IN_ORDER if run is None else queries.OF_RUN)
    for row in rows.all(query, () if run is None else (run,)):
        found[str(row[2])] += 1
        try:
            rows.summary(row[0], row[1], row[2:])
        except (checks.DamagedError, checks.RefusedError) as error:
            listing.problem(error)
    query = queries.RUNS + (queries.OLDEST_FIRST if run is None else queries.OF_ID)
    for row in rows.all(query, () if run is None else (run,)):
        try:
            known = rows.run(row)
            rows.count(known.record.id, found[known.record.id], known.evaluations)
        except (checks.DamagedError, checks.RefusedError) as error:
            listing.problem(error)


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))
