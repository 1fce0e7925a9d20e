"""Comparison of several runs: their winners, paired tests on the same test rows, and prompts that were transferred."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from autoprompt.leaderboard import DataRow, Leaderboard, RunRecord
from autoprompt.metrics import compare
from autoprompt.report import outcome


class ComparedRun(NamedTuple):
    """A run with its winner and its tuned manual template; None where it has none yet."""

    run: RunRecord
    winner: outcome.TestedPrompt | None
    manual: outcome.TestedPrompt | None

    @property
    def name(self) -> str:
        """The run's name, or its id where it has no name."""
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
    """A prompt's metric minus that of the tuned manual prompt on the same corpus and model, on rows of ``split``.

    ``ends``: its 95 % interval, if there is one.
    """

    metric: str
    value: float
    ends: tuple[float, float] | None
    split: str


class TransferredPrompt(NamedTuple):
    """A prompt that was transferred, with the place (corpus and model) where it was found.

    ``gains``: for each of the comparison's places; None where it was not scored there.
    """

    entry: str
    template: str
    origin: str
    gains: Sequence[Gain | None]


@dataclass(frozen=True)
class Comparison:
    """``pairs``: of runs with the same test rows, if these are labelled and stored. ``transferred``: prompts that were
    scored on other data or with another model, one row each, with a column for each of ``places``."""

    runs: Sequence[ComparedRun]
    pairs: Sequence[Pair]
    places: Sequence[str]
    transferred: Sequence[TransferredPrompt]


def comparison_of(board: Leaderboard, references: Sequence[str]) -> Comparison:
    """Read the runs (ids or names), each once, in the order given. Raises NotFoundError for an unknown one."""
    records = {run.id: run for run in (board.run(reference) for reference in references)}
    runs = [_compared(run) for run in records.values()]
    correct = {run.run.id: _correct_rows(board, run.run) for run in runs}
    pairs = [
        _pair(one, other, correct[one.run.id], correct[other.run.id])
        for one, other in combinations(runs, 2)
        if one.run.fingerprint == other.run.fingerprint
        and len(correct[one.run.id].keys() & correct[other.run.id].keys()) > 1
    ]
    return Comparison(runs, pairs, *_transferred(list(records.values())))


def _compared(run: RunRecord) -> ComparedRun:
    found = {row.name: row for row in outcome.tested_prompts(run.result)}
    return ComparedRun(run, found.get("winner"), found.get("manual_tuned"))


def _transferred(runs: Sequence[RunRecord]) -> tuple[list[str], list[TransferredPrompt]]:
    """Places in the order of the runs, and a row for each prompt that was scored away from where it was found."""
    gains: dict[tuple[str, str], Gain] = {}
    origins: dict[str, tuple[str, str]] = {}
    for run in runs:
        source, found = (run.result.transfer, run.result.difference) if run.result else (None, None)
        entry = source.entry if source else run.winner
        if source and entry and run.config.transfer:
            origins[entry] = (run.config.transfer.candidate["template"], _place(source.corpus, source.model))
        if entry and found:
            split = source.split if source else "test"
            gains[entry, _place(run.corpus, run.model)] = Gain(found.metric, found.value, found.ends, split)
    gains = {place: gain for place, gain in gains.items() if place[0] in origins}
    places = list(dict.fromkeys(place for _, place in gains))
    return places, [
        TransferredPrompt(entry, template, origin, [gains.get((entry, place)) for place in places])
        for entry, (template, origin) in origins.items()
    ]


def _place(corpus: str, model: str) -> str:
    return f"{corpus} with {model}"


def _correct_rows(board: Leaderboard, run: RunRecord) -> dict[str, float]:
    """1.0 or 0.0 by id of test row: whether the winner is right. Empty for generated texts or without stored rows."""
    test = outcome.test_evaluation(board, run)
    rows = {row.row_id: row for row in board.attached(DataRow, run.id) if row.split == "test"}
    gold = outcome.gold_labels(test, rows) if test is not None else None
    if test is None or gold is None:
        return {}
    pairs = zip(test.row_ids, test.predictions, gold, strict=True)
    return {row: float(predicted == label) for row, predicted, label in pairs}


def _pair(one: ComparedRun, other: ComparedRun, first: dict[str, float], second: dict[str, float]) -> Pair:
    found = compare(list(first.values()), list(second.values()), list(first), list(second))
    return Pair(one.name, other.name, found.n, found.mean, found.ends)
