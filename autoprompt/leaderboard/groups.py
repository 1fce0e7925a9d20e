"""Groups of a list: entries that were judged on the same rows, and so compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from autoprompt.leaderboard.entry_stream import Entry
from autoprompt.leaderboard.records import REFINE


@dataclass
class Group:
    """Entries that were judged on the same ``n`` rows of the same data at one rung: their losses compare.

    ``corpora``: what their runs call the data, best first. ``entries``: how many of them were listed.
    ``test_evaluations``: how often the data's test rows were looked at, over all runs of the leaderboard. ``refined``:
    whether they are refined entries, judged on the validation rows of their parents.
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
    """The groups of entries that go through ``counting``, in the order in which they come."""

    def __init__(self) -> None:
        self._known: dict[str, Group] = {}

    def counting(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """The same entries."""
        for entry in entries:
            group = self._known.setdefault(entry.row.group, _empty(entry))
            group.entries += 1
            if entry.run.corpus not in group.corpora:
                group.corpora.append(entry.run.corpus)
            yield entry

    def all(self, tests: Callable[[str], int]) -> list[Group]:
        """What came so far. ``tests``: of a fingerprint, how often its test rows were looked at."""
        counts = {fingerprint: tests(fingerprint) for fingerprint in {g.fingerprint for g in self._known.values()}}
        for group in self._known.values():
            group.test_evaluations = counts[group.fingerprint]
        return list(self._known.values())


def _empty(entry: Entry) -> Group:
    row, run = entry.row, entry.run
    n = row.validation.n if row.validation else 0
    return Group(row.group, run.fingerprint, row.status, row.rung, n, run.strategy == REFINE)
