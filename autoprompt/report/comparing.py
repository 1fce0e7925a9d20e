"""Several runs beside each other: what each found, and whether winners of the same rows differ by more than noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from autoprompt.leaderboard import DataRow, Leaderboard, RunRecord
from autoprompt.metrics import compare
from autoprompt.report import outcome


class Compared(NamedTuple):
    """A run with its winner and its tuned manual template; None where it has not come to one."""

    run: RunRecord
    winner: outcome.Judged | None
    manual: outcome.Judged | None

    @property
    def name(self) -> str:
        """What people call it."""
        return self.run.name or self.run.id


class Pair(NamedTuple):
    """Accuracy of the first winner minus that of the second on ``n`` test rows of the same data. ``ends``: its 95 %
    interval, None where the rows are too few for one."""

    first: str
    second: str
    n: int
    value: float
    ends: tuple[float, float] | None

    @property
    def verdict(self) -> str:
        """Which is better, if any."""
        if self.ends is None:
            return "too few rows to tell"
        if self.ends[0] > 0:
            return "the first is better"
        return "the second is better" if self.ends[1] < 0 else "no more than noise"


class Gain(NamedTuple):
    """A prompt minus the tuned manual one of the same place, with its 95 % interval if there is one, and the rows'
    split."""

    metric: str
    value: float
    ends: tuple[float, float] | None
    split: str


class Traveller(NamedTuple):
    """A prompt with where it is from and its gain in each of the matrix's places; None where it was not scored."""

    entry: str
    template: str
    home: str
    gains: Sequence[Gain | None]


@dataclass(frozen=True)
class Comparison:
    """``pairs``: only of runs whose test rows are the same, labelled and kept. ``travellers``: prompts that were scored
    on other data or with another model, each a line over the ``places``."""

    runs: Sequence[Compared]
    pairs: Sequence[Pair]
    places: Sequence[str]
    travellers: Sequence[Traveller]


def comparison_of(board: Leaderboard, references: Sequence[str]) -> Comparison:
    """Read the runs (ids or names), each once, in the order given. Raises NotFoundError for an unknown one."""
    records = {run.id: run for run in (board.run(reference) for reference in references)}
    runs = [_compared(run) for run in records.values()]
    right = {run.run.id: _right(board, run.run) for run in runs}
    pairs = [
        _pair(one, other, right[one.run.id], right[other.run.id])
        for one, other in combinations(runs, 2)
        if one.run.fingerprint == other.run.fingerprint
        and len(right[one.run.id].keys() & right[other.run.id].keys()) > 1
    ]
    return Comparison(runs, pairs, *_travels(list(records.values())))


def _compared(run: RunRecord) -> Compared:
    found = {row.name: row for row in outcome.judged(run.result)} if run.result else {}
    return Compared(run, found.get("winner"), found.get("manual_tuned"))


def _travels(runs: Sequence[RunRecord]) -> tuple[list[str], list[Traveller]]:
    """Places in the order of the runs, and a line for each prompt that one of the runs scored away from its home."""
    gains: dict[tuple[str, str], Gain] = {}
    homes: dict[str, tuple[str, str]] = {}
    for run in runs:
        source = (run.result or {}).get("transfer")
        entry: str | None = source["entry"] if source else run.winner
        result = run.result or {}
        found = result.get("difference")
        if source and entry:
            homes[entry] = (run.config["transfer"]["candidate"]["template"], _place(source["corpus"], source["model"]))
        if entry and found:
            split = source["split"] if source else "test"
            gains[entry, _place(run.corpus, run.model)] = Gain(
                found["metric"], found["value"], outcome.interval_of(result), split
            )
    gains = {place: gain for place, gain in gains.items() if place[0] in homes}
    places = list(dict.fromkeys(place for _, place in gains))
    return places, [
        Traveller(entry, template, home, [gains.get((entry, place)) for place in places])
        for entry, (template, home) in homes.items()
    ]


def _place(corpus: str, model: str) -> str:
    return f"{corpus} with {model}"


def _right(board: Leaderboard, run: RunRecord) -> dict[str, float]:
    """Whether the winner got each test row right; empty for written texts, and where rows were not kept."""
    test = outcome.tested(board, run)
    rows = {row.row_id: row for row in board.attached(DataRow, run.id) if row.split == "test"}
    gold = outcome.gold_of(test, rows) if test is not None else None
    if test is None or gold is None:
        return {}
    pairs = zip(test.row_ids, test.predictions, gold, strict=True)
    return {row: float(predicted == label) for row, predicted, label in pairs}


def _pair(one: Compared, other: Compared, first: dict[str, float], second: dict[str, float]) -> Pair:
    found = compare(list(first.values()), list(second.values()), list(first), list(second))
    return Pair(one.name, other.name, found.n, found.mean, found.ends)
