"""Paired comparison of two entries over the rows that both were evaluated on."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from autoprompt.errors import InputError, parameter
from autoprompt.leaderboard.ranking import ONE_FOLD
from autoprompt.leaderboard.records import REFINE, EvaluationRecord, RunRecord, kept_tests
from autoprompt.leaderboard.store import Leaderboard
from autoprompt.metrics import compare, mean_and_deviation
from autoprompt.registry import CLASSIFICATION_METRICS
from autoprompt.short_repr import short_repr

ID_LENGTH = 12


class MeanMetric(NamedTuple):
    """A metric over ``folds`` evaluations: mean and standard deviation."""

    mean: float
    deviation: float
    folds: int


class RequestedMetric(NamedTuple):
    """A metric that both entries were asked for, with its values."""

    metric: str
    values: tuple[MeanMetric, MeanMetric]


@dataclass(frozen=True)
class EntryComparison:
    """Mean losses of two entries, their paired difference (first - second), and the metric over folds and repeats.

    ``interval``: 95 % interval of the difference, None where there are too few rows. ``p_first_better``: the share of
    resamples in which the first has the lower loss. ``values``: for each entry the metric's mean, its standard
    deviation and the number of evaluations. ``reported``: the metric that both runs were asked for, with its values;
    None where it is ``metric`` or where the two runs differ in it.
    """

    entries: tuple[str, str]
    split: str
    rung: int
    n: int
    loss: tuple[float, float]
    difference: float
    interval: tuple[float, float] | None
    p_first_better: float
    metric: str
    values: tuple[MeanMetric, MeanMetric]
    reported: RequestedMetric | None = None

    def __repr__(self) -> str:
        return short_repr(
            self, *(entry[:12] for entry in self.entries), split=self.split, rung=self.rung, n=self.n, loss=self.loss,
            difference=self.difference, interval=self.interval,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        low, high = self.interval or (None, None)
        return {
            "entries": list(self.entries),
            "split": self.split,
            "rung": self.rung,
            "n": self.n,
            "loss": list(self.loss),
            "difference": {"mean": self.difference, "low": low, "high": high},
            "p_first_better": self.p_first_better,
            "metric": self.metric,
            "values": _spreads(self.values),
            "reported": self.reported and {"metric": self.reported.metric, "values": _spreads(self.reported.values)},
        }


def _spreads(values: Sequence[MeanMetric]) -> list[dict[str, float]]:
    return [value._asdict() for value in values]


class _FoldKey(NamedTuple):
    """Rung, fold and repeat of evaluations that were trained on the same rows.

    ``parts``: number of cross-validation folds; 0 for the data's own split, and for that split with its training and
    validation rows swapped.
    """

    rung: int
    parts: int
    fold: int
    repeat: int


_ByFold = Mapping[_FoldKey, Sequence[EvaluationRecord]]


def compare_entries(board: Leaderboard, first: str, second: str, split: str = "validation") -> EntryComparison:
    """Compare two entries (unique prefixes of their ids) at the highest rung that they share.

    A row that both have in several folds or repeats counts once, with its mean loss. Raises NotFoundError, and
    InputError where nothing can be compared.
    """
    sides = (board.entry(first), board.entry(second))
    runs = {run.id: run for run in board.runs()}
    names = (sides[0][0].entry, sides[1][0].entry)
    _check_data(names, [runs[side[0].run] for side in sides])
    by_fold = (_by_fold(sides[0], runs, split), _by_fold(sides[1], runs, split))
    shared = by_fold[0].keys() & by_fold[1].keys()
    if not shared:
        raise InputError(
            f"{_entry_names(names)} have no complete evaluation on {split} rows of the same rung, fold and repeat; "
            f"compare others or another {parameter('split')}."
        )
    rung = max(fold_key.rung for fold_key in shared)
    fold_keys = sorted(fold_key for fold_key in shared if fold_key.rung == rung)
    pairs = [_pair(by_fold[0][fold_key], by_fold[1][fold_key]) for fold_key in fold_keys]
    metric = _metric(names, pairs)
    rows = _rows(names, pairs)
    losses = [[math.fsum(both[side] for both in seen) / len(seen) for seen in rows.values()] for side in (0, 1)]
    found = compare(losses[0], losses[1], list(rows), list(rows))
    parts = {fold_key.parts for fold_key in fold_keys}
    return EntryComparison(
        entries=names,
        split=split,
        rung=rung,
        n=found.n,
        loss=(math.fsum(losses[0]) / found.n, math.fsum(losses[1]) / found.n),
        difference=found.mean,
        interval=found.ends,
        p_first_better=found.p_better,
        metric=metric,
        values=(_mean_metric(by_fold[0], rung, parts, metric), _mean_metric(by_fold[1], rung, parts, metric)),
        reported=_requested_metric(by_fold, pairs, rung, parts, metric),
    )


def _check_data(names: tuple[str, str], runs: Sequence[RunRecord]) -> None:
    if runs[0].fingerprint != runs[1].fingerprint:
        corpora = " and ".join(f"{run.corpus!r} ({run.fingerprint[:ID_LENGTH]})" for run in runs)
        raise InputError(f"{_entry_names(names)} are of different data, {corpora}; compare entries of the same rows.")


def _by_fold(records: Iterable[EvaluationRecord], runs: Mapping[str, RunRecord], split: str) -> _ByFold:
    """The complete evaluations of one split, grouped by place, in the order of insertion.

    All evaluations of a refined entry count as one rung, so that both its old validation rows and its new rows are
    compared. Of the evaluations of test rows, a run's last counts: that of the weights that it kept.
    """
    if split == "test":
        tested = list(kept_tests(records).values())
        return {_FoldKey(ONE_FOLD, 0, 0, 0): tested} if tested else {}
    found = defaultdict(list)
    for record in records:
        if record.split == split and record.status == "complete":
            refined = runs[record.run].strategy == REFINE
            parts = (runs[record.run].config.folds or 0) if record.fold and not refined else 0
            rung = min(record.rung, ONE_FOLD) if refined else record.rung
            found[_FoldKey(rung, parts, record.fold, record.repeat)].append(record)
    return found


def _pair(
    first: Sequence[EvaluationRecord], second: Sequence[EvaluationRecord]
) -> tuple[EvaluationRecord, EvaluationRecord]:
    """One evaluation of each entry: preferably of one run, then of one metric, then the newest."""
    choices = [(a, b) for a in reversed(first) for b in reversed(second)]
    return max(choices, key=lambda pair: _pair_preference(*pair))


def _pair_preference(first: EvaluationRecord, second: EvaluationRecord) -> tuple[bool, bool]:
    return first.run == second.run, _displayed_metric(first) == _displayed_metric(second)


def _displayed_metric(record: EvaluationRecord) -> str:
    """The metric that people read: accuracy for labels, the metric itself for generated texts."""
    metric = record.score.metric if record.score else "accuracy"
    return "accuracy" if metric in CLASSIFICATION_METRICS else metric


def _metric(names: tuple[str, str], pairs: Sequence[tuple[EvaluationRecord, EvaluationRecord]]) -> str:
    """The metric of all pairs. Raises InputError for several: losses of different metrics cannot be compared."""
    found = {_displayed_metric(record) for pair in pairs for record in pair}
    if len(found) > 1:
        raise InputError(
            f"{_entry_names(names)} were judged by {' and '.join(sorted(found))}; compare entries with the same metric."
        )
    return found.pop()


def _rows(
    names: tuple[str, str], pairs: Sequence[tuple[EvaluationRecord, EvaluationRecord]]
) -> dict[str, list[tuple[float, float]]]:
    """Both losses of each shared row, one pair for every fold and repeat in which both entries have it."""
    rows = defaultdict(list)
    for pair in pairs:
        first, second = (dict(zip(record.row_ids, record.losses, strict=True)) for record in pair)
        for row in first.keys() & second.keys():
            rows[row].append((first[row], second[row]))
    if len(rows) < 2:
        count = "one row" if rows else "no rows"
        raise InputError(
            f"{_entry_names(names)} share {count} of the same fold and repeat; a comparison needs two, so "
            "compare others."
        )
    return rows


def _requested_metric(
    by_fold: tuple[_ByFold, _ByFold],
    pairs: Sequence[tuple[EvaluationRecord, EvaluationRecord]],
    rung: int,
    parts: set[int],
    judged: str,
) -> RequestedMetric | None:
    """The metric that both runs were asked for, with its values; None where they differ or it is ``judged``."""
    names = {record.score.metric for pair in pairs for record in pair if record.score}
    if len(names) != 1 or names == {judged}:
        return None
    (name,) = names
    return RequestedMetric(
        name, (_mean_metric(by_fold[0], rung, parts, name), _mean_metric(by_fold[1], rung, parts, name))
    )


def _mean_metric(by_fold: _ByFold, rung: int, parts: set[int], metric: str) -> MeanMetric:
    """Spread of one entry's metric over its folds and repeats at the rung, with the newest evaluation of each."""
    values = []
    for fold_key, records in by_fold.items():
        found = [r.score for r in records if r.score and metric in (r.score.metric, _displayed_metric(r))]
        if found and fold_key.rung == rung and fold_key.parts in parts:
            value = found[-1].accuracy if metric == "accuracy" else found[-1].value
            values += [] if value is None else [value]
    return MeanMetric(*mean_and_deviation(values), len(values))


def _entry_names(names: tuple[str, str]) -> str:
    return f"The entries {names[0][:ID_LENGTH]} and {names[1][:ID_LENGTH]}"
