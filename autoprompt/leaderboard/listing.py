"""The leaderboard's lines in the order of a list: groups of entries that compare, refined ones under their parents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from autoprompt.leaderboard.records import REFINE, EntryRow, RunRecord
from autoprompt.leaderboard.refined import refinement_verdict


@dataclass(frozen=True)
class Group:
    """Entries that were judged on the same ``n`` rows of the same data at one rung: their losses compare.

    ``corpora``: what their runs call the data, newest first. ``test_evaluations``: how often the data's test rows were
    looked at, over all runs of the leaderboard. ``refined``: whether they are refined entries, judged on the validation
    rows of their parents.
    """

    group: str
    corpora: tuple[str, ...]
    fingerprint: str
    status: str
    rung: int
    n: int
    entries: int
    refined: bool
    test_evaluations: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"corpora": list(self.corpora)}


@dataclass(frozen=True)
class Line:
    """An entry in its place, under ``depth`` others. ``parent``: the entry that a refined one goes back to.
    ``verdict``: what refining did to it."""

    row: EntryRow
    depth: int = 0
    parent: str | None = None
    verdict: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: those of the entry, with ``parent`` and ``verdict``."""
        return self.row.to_dict() | {"parent": self.parent, "verdict": self.verdict}


def listed(entries: Sequence[EntryRow], runs: Sequence[RunRecord]) -> list[Line]:
    """Ranked entries with each refined one right under its parent; one whose parent is not among them stands where its
    own rows put it. ``runs``: those of the entries."""
    refined = {run.id: run for run in runs if run.strategy == REFINE}
    above = {run.id: _parent(run) for run in refined.values()}
    known = {(row.run, row.entry) for row in entries}
    children: dict[tuple[str, str], list[EntryRow]] = {}
    tops: list[EntryRow] = []
    for row in entries:
        parent = above.get(row.run)
        if parent in known:
            children.setdefault(parent, []).append(row)
        else:
            tops.append(row)
    lines: list[Line] = []
    waiting = [(row, 0) for row in reversed(tops)]
    while waiting or children:
        if not waiting:  # only a file that was tampered with has parents that descend from their children
            waiting = [(row, 0) for row in reversed(children.pop(next(iter(children))))]
        row, depth = waiting.pop()
        parent = above.get(row.run)
        found = refinement_verdict((refined[row.run].result or {}).get("refine")) if parent else None
        lines.append(Line(row, depth, parent[1] if parent else None, found))
        waiting += [(child, depth + 1) for child in reversed(children.pop((row.run, row.entry), []))]
    return lines


def groups_of(entries: Iterable[EntryRow], runs: Iterable[RunRecord], tests: Mapping[str, int]) -> list[Group]:
    """The groups of ranked entries, in their order. ``tests``: by fingerprint, how often test rows were looked at."""
    known = {run.id: run for run in runs}
    members: dict[str, list[EntryRow]] = {}
    for row in entries:
        members.setdefault(row.group, []).append(row)
    return [_group(rows, known, tests) for rows in members.values()]


def _group(rows: Sequence[EntryRow], runs: Mapping[str, RunRecord], tests: Mapping[str, int]) -> Group:
    first, having = rows[0], {row.run for row in rows}
    own = [run for name, run in runs.items() if name in having]
    return Group(
        group=first.group,
        corpora=tuple(dict.fromkeys(run.corpus for run in own)),
        fingerprint=own[0].fingerprint,
        status=first.status,
        rung=first.rung,
        n=first.validation.n if first.validation else 0,
        entries=len(rows),
        refined=own[0].strategy == REFINE,
        test_evaluations=tests.get(own[0].fingerprint, 0),
    )


def _parent(run: RunRecord) -> tuple[str, str] | None:
    """Run and entry that a refined one went on from."""
    told = run.config.get("refine") or {}
    return (str(told["run"]), str(told["entry"])) if {"run", "entry"} <= told.keys() else None
