"""Groups of listed entries that were evaluated on the same rows, so that their losses are comparable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from autoprompt.leaderboard.entry_listing import Entry
from autoprompt.leaderboard.records import REFINE


@dataclass
class Group:
    """Entries that were evaluated on the same ``n`` rows of the same data at one rung: their losses are comparable.

    ``corpora``: the names that their runs have for the data, best entry first. ``entries``: number of entries listed.
    ``test_evaluations``: number of evaluations on the data's test rows, over all runs of the leaderboard. ``refined``:
    whether they are refined entries, evaluated on the validation rows of their parents.
    """

    group: str
    fingerprint: str
    status: str
    rung: int
    n: int
    refined: bool
    corpora: list[str] = field(default_factory=list)
    entries: int = 0
    test_evaluations: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


class Groups:
    """Collects the groups of the entries that pass through ``counting``, in the order of their first entries."""

    def __init__(self) -> None:
        self._known: dict[str, Group] = {}

    def counting(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Yield the same entries, and count each in its group."""
        for entry in entries:
            group = self._known.setdefault(entry.row.group, _empty(entry))
            group.entries += 1
            if entry.run.corpus not in group.corpora:
                group.corpora.append(entry.run.corpus)
            yield entry

    def all(self, tests: Callable[[str], int]) -> list[Group]:
        """The groups so far. ``tests``: returns the number of test evaluations for a data fingerprint."""
        counts = {fingerprint: tests(fingerprint) for fingerprint in {g.fingerprint for g in self._known.values()}}
        for group in self._known.values():
            group.test_evaluations = counts[group.fingerprint]
        return list(self._known.values())


def _empty(entry: Entry) -> Group:
    row, run = entry.row, entry.run
    n = row.validation.n if row.validation else 0
    return Group(row.group, run.fingerprint, row.status, row.rung, n, run.strategy == REFINE)
