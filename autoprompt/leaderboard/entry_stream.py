"""The entries of a leaderboard one by one: best first within each group, refined ones under their parents.

Light rows are sorted, and only what is listed is read whole (see ``streaming`` for what is left out and checked).
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from autoprompt.candidate import Candidate
from autoprompt.errors import InputError, StorageError
from autoprompt.leaderboard import checks, queries
from autoprompt.leaderboard.ranking import UNKNOWN, RunData, data_of, line, place
from autoprompt.leaderboard.records import EntryRow, RunRecord, Summary, candidate_dict
from autoprompt.leaderboard.refined import parent_of, refinement_verdict
from autoprompt.leaderboard.rows import WHOLE, Rows
from autoprompt.leaderboard.streaming import Guard, Listing, snapshot

T = TypeVar("T")
_SPARE = 1_000
"""Entries beyond a limit that may take the places of those which cannot be read."""
_PIECE = 200
"""Entries whose rows are read in one go."""
_KEPT = 500
"""Runs that are kept in memory, since the next entry may be of one of them."""


class Entry(NamedTuple):
    """A line of the leaderboard with the run that it belongs to, under ``depth`` others.

    ``parent``: the entry that a refined one goes back to; ``verdict``: what refining did to it.
    """

    row: EntryRow
    run: RunRecord
    depth: int = 0
    parent: str | None = None
    verdict: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: those of the row, with ``parent``, ``verdict``, and whether its run's winner it is."""
        winner = self.run.winner == self.row.entry
        return self.row.to_dict() | {"parent": self.parent, "verdict": self.verdict, "winner": winner}


class _Ranked(NamedTuple):
    """A row of ``queries.RANKED``: not checked, since checksums cover whole rows."""

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
    """Whether it can be sorted; one that cannot is read whole, for what is wrong with it."""


def of_entries(rows: Rows, guard: Guard, run: str | None, limit: int | None) -> Listing[Entry]:
    """Entries of a run (its exact id) or of all, best first within each group, each refined one under its parent."""

    def items(listing: Listing[Entry]) -> Iterator[Entry]:
        with snapshot(rows, guard):
            if run is not None:
                rows.run_of_id(run)
            _check_all(rows, listing, run)
            yield from _Entries(rows, listing).ranked(run, limit)

    return Listing(items)


Name = tuple[str, str]
"""Of an entry: its run's id and its own."""


class _Placed(NamedTuple):
    """An entry's place, which ends with its own and its run's id, and the numbers of its evaluations."""

    place: tuple[Any, ...]
    numbers: list[int]

    @property
    def name(self) -> Name:
        return self.place[-1], self.place[-2]


class _Entries:
    """The entries of one listing."""

    def __init__(self, rows: Rows, listing: Listing[Entry]) -> None:
        self.rows = rows
        self.listing = listing
        self._runs: dict[str, RunRecord | None] = {}
        self._data: dict[str, RunData] = {}
        self._parents: dict[str, Name] = {}

    def ranked(self, run: str | None, limit: int | None) -> Iterator[Entry]:
        """Best first within each group; refined entries right under their parents, if these are listed."""
        self._data = self._data_of_runs()
        self._parents = self._parents_of(run)
        wanted = set(self._parents.values())
        there: set[Name] = set()
        children: dict[Name, list[_Placed]] = {}

        def tops() -> Iterator[_Placed]:
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
        for piece in _pieces(_first([*best, *orphans], limit)):
            for entry in self._read(piece, children):
                if shown == limit:
                    return
                shown += 1
                yield entry
        while children:  # only a file that was tampered with has parents that descend from their children
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
        """Refined run → the run and the entry that it went on from."""
        refined = [name for name, data in self._data.items() if data.refined and run in (None, name)]
        runs = ((name, self._run(name)) for name in refined)
        return {name: parent for name, record in runs if record is not None and (parent := parent_of(record))}

    def _groups(self, run: str | None) -> Iterator[_Placed]:
        """Of each entry and run what it is sorted by, and the numbers of its evaluations."""
        query = queries.RANKED_OF_ALL if run is None else queries.RANKED_OF_RUN
        members: list[_Ranked] = []
        for row in map(_Ranked._make, self.rows.connection.execute(query, () if run is None else (run,))):
            if members and (row.entry != members[0].entry or row.run != members[0].run):
                yield from self._group(members)
                members = []
            members.append(row)
        yield from self._group(members)

    def _group(self, members: list[_Ranked]) -> Iterator[_Placed]:
        bad = next((row for row in members if not row.plausible), None)
        if bad is not None:
            self.listing.problem(self._fault(bad.number))
        elif members:
            if len(members) > 1:
                members.sort()
            self.listing.total += 1
            data = self._data.get(members[0].run, UNKNOWN)
            yield _Placed(place(members, data), [row.number for row in members])

    def _fault(self, number: int) -> StorageError:
        """What is wrong with an evaluation whose order cannot be told."""
        try:
            for row in self.rows.all(queries.summaries_of([number]), (number,)):
                self.rows.summary(row[0], row[1], row[2:])
        except StorageError as error:
            return error
        return checks.DamagedError(
            f"The leaderboard {self.rows.path} is damaged: its index of ranks does not fit row {number} of table "
            "evaluations; restore a backup."
        )

    def _read(self, tops: Sequence[_Placed], children: dict[Name, list[_Placed]]) -> Iterator[Entry]:
        """The entries of these places, each followed by those that were refined from it."""
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
            for piece in _pieces(numbers)
            for row in self.rows.all(queries.summaries_of(piece), piece)
        }

    def _entry(self, placed: _Placed, found: dict[int, Summary | StorageError], depth: int) -> Entry | None:
        """None where it cannot be read."""
        summaries = [found[number] for number in placed.numbers if number in found]
        good = [summary for summary in summaries if isinstance(summary, Summary)]
        if len(good) < len(placed.numbers):
            errors = [error for error in summaries if isinstance(error, StorageError)]
            self.listing.problem(errors[0] if errors else self._fault(placed.numbers[0]))
            return None
        run = self._run(good[0].run)
        if run is None:
            return None
        row = line(good, self._data.get(run.id, UNKNOWN))
        parent = self._parents.get(run.id)
        verdict = refinement_verdict((run.result or {}).get("refine")) if parent else None
        return Entry(row, run, depth, parent[1] if parent else None, verdict)

    def _summary(self, row: Any) -> Summary | StorageError:
        try:
            summary = self.rows.summary(row[0], row[1], row[2:])
            Candidate.from_dict(candidate_dict(summary.candidate))
        except (checks.DamagedError, checks.RefusedError) as error:
            return error
        except InputError as error:
            return checks.refused(self.rows.path, "evaluations", row[0], error)
        return summary

    def _run(self, run: str) -> RunRecord | None:
        """None for one that cannot be read."""
        if run not in self._runs:
            if len(self._runs) >= _KEPT:
                self._runs.clear()
            try:
                row = self.rows.run_of_id(run)
                self._runs[run] = row.record
                self.rows.count(run, int(self.rows.value(queries.COUNT_OF_RUN, (run,))), row.evaluations)
            except (StorageError, InputError) as error:
                self._runs.setdefault(run, None)
                self.listing.problem(error if isinstance(error, StorageError) else checks.DamagedError(str(error)))
        return self._runs[run]


def _first(placed: Iterable[_Placed], limit: int | None) -> list[_Placed]:
    return sorted(placed) if limit is None else heapq.nsmallest(limit + _SPARE, placed)


def _check_all(rows: Rows, listing: Listing[Entry], run: str | None) -> None:
    """Of a small leaderboard, every run and evaluation: one that damage ranks too low is missed otherwise."""
    if not rows.is_small() or int(rows.value(queries.COUNT_RUNS)) > WHOLE:
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


def _pieces(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + _PIECE] for start in range(0, len(items), _PIECE))
