"""Ranking of the leaderboard: from evaluations and estimates to groups of comparable entries, best first in each.

Entries are comparable, and form a group, when they were evaluated on the same rows of the same data at the same rung,
whatever the model. Losses of different groups cannot be compared. The data, the rung, and the folds with their numbers
of rows identify the rows. Entries with equally many demonstrations (solved examples) therefore count as evaluated on
the same rows, although no entry is evaluated on its own demonstrations.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from autoprompt.hashing import digest
from autoprompt.leaderboard.records import (
    BASELINES,
    REFINE,
    STATUSES,
    EntryRow,
    RunRecord,
    ordered_json,
)
from autoprompt.leaderboard.run_tables import EntryEstimate
from autoprompt.leaderboard.summary import Summary
from autoprompt.metrics import Score
from autoprompt.registry import CLASSIFICATION_METRICS
from autoprompt.results import ErrorEstimate

ONE_FOLD = 1
"""The rung that evaluates all candidates on the validation rows alone."""
FAILED = STATUSES.index("failed")


class RunData(NamedTuple):
    """Facts about an entry's run that affect the order.

    ``newness``: 0 for the data of the newest run, then 1, 2 and so on. ``refined``: whether the run refined an entry.
    """

    newness: int = -1
    fingerprint: str = ""
    refined: bool = False


UNKNOWN = RunData()


class Rankable(Protocol):
    """Fields of an evaluation that affect the order."""

    @property
    def entry(self) -> str: ...
    @property
    def run(self) -> str: ...
    @property
    def rung(self) -> int: ...
    @property
    def fold(self) -> int: ...
    @property
    def status(self) -> str: ...
    @property
    def loss(self) -> float | None: ...
    @property
    def metric(self) -> str | None: ...
    @property
    def n(self) -> int | None: ...
    @property
    def length(self) -> int: ...
    @property
    def readability(self) -> float | None: ...


P = TypeVar("P", bound=Rankable)


def data_of(runs: Iterable[tuple[str, str, str]]) -> dict[str, RunData]:
    """Map each run id to its ``RunData``. ``runs``: id, data fingerprint and strategy of each run, newest first."""
    newest: dict[str, int] = {}
    found = {}
    for run, fingerprint, strategy in runs:
        found[run] = RunData(newest.setdefault(fingerprint, len(newest)), fingerprint, strategy == REFINE)
    return found


def rank(
    summaries: Iterable[Summary], runs: Iterable[RunRecord] = (), estimates: Iterable[EntryEstimate] = ()
) -> list[EntryRow]:
    """One row for each run and entry at its highest rung, by group, best first. Test evaluations are ignored.

    ``runs``: the runs of the summaries, newest first; they identify the data. ``estimates``: those of the entries.
    Order of groups: complete before pruned before failed, highest rung, newest data, most rows. Within a group: lowest
    estimated error, then, for entries without an estimate, lowest validation loss; shortest literal text, lowest
    perplexity, entry id, run id.
    """
    found: dict[tuple[str, str], list[Summary]] = {}
    for summary in summaries:
        if summary.split != "test":
            found.setdefault((summary.run, summary.entry), []).append(summary)
    data = data_of((run.id, run.fingerprint, run.strategy) for run in runs)
    known = {(each.run, each.entry): each for each in estimates}
    groups = [(group, data.get(group[0].run, UNKNOWN), known.get(name)) for name, group in found.items()]
    return [
        leaderboard_line(group, of_run, estimate)
        for group, of_run, estimate in sorted(
            groups, key=lambda each: sort_key(each[0], each[1], each[2].error if each[2] else None)
        )
    ]


def sort_key(group: Sequence[Rankable], data: RunData, error: float | None = None) -> tuple[Any, ...]:
    """Sort key of one entry of one run. ``group``: its evaluations in the order of insertion; ``error``: its estimated
    error, if it has one."""
    if len(group) == 1:  # a fast path: true for most of many thousands of entries
        return _sort_key_of_one(group[0], data, error)
    top = _ranking_evaluations(group, data)
    scored = [each for each in top if each.loss is not None]
    weights = _weights([each.n or 0 for each in scored])
    loss = math.fsum(w * (each.loss or 0.0) for w, each in zip(weights, scored, strict=True)) if scored else math.inf
    perplexity = next((each.readability for each in reversed(group) if each.readability is not None), math.inf)
    status = max(STATUSES.index(each.status) for each in top)
    judged = sum(each.n or 0 for each in scored)
    first = top[0]
    return (
        *(status, -first.rung, data.newness, -judged, _rows_key(top, status, data)),
        *(error is None, loss if error is None else error),
        *(first.length, perplexity, first.entry, first.run),
    )


def _sort_key_of_one(only: Rankable, data: RunData, error: float | None) -> tuple[Any, ...]:
    status = STATUSES.index(only.status)
    scored = only.loss is not None
    return (
        status,
        -only.rung,
        data.newness,
        -(only.n or 0) if scored else 0,
        _rows_key((only,), status, data),
        error is None,
        (only.loss if scored else math.inf) if error is None else error,
        only.length,
        math.inf if only.readability is None else only.readability,
        only.entry,
        only.run,
    )


def leaderboard_line(group: Sequence[Summary], data: RunData, estimate: EntryEstimate | None = None) -> EntryRow:
    """Leaderboard line of one entry of one run. ``group``: its evaluations in the order of insertion; ``estimate``: its
    own, if it has one."""
    top = _ranking_evaluations(group, data)
    # The worst status counts: a mean over fewer folds than other entries have is no fair comparison.
    worst = max(top, key=lambda summary: STATUSES.index(summary.status))
    baseline = next((summary.role for summary in group if summary.role in BASELINES), None)
    prompt = top[0].plain
    rows = _rows_key(top, STATUSES.index(worst.status), data)
    return EntryRow(
        entry=worst.entry,
        run=worst.run,
        rung=worst.rung,
        status=worst.status,
        reason=worst.reason,
        role=baseline or top[0].role,
        template=prompt.template,
        label_words=prompt.label_words,
        settings=prompt.settings,
        demos=prompt.demos,
        validation=_mean([summary.score for summary in top]),
        estimate=ErrorEstimate(*estimate[2:]) if estimate else None,
        readability=next((s.readability for s in reversed(group) if s.readability is not None), None),
        evaluations=len(group),
        seconds=math.fsum(summary.seconds for summary in group),
        tokens=sum(summary.tokens for summary in group),
        group=digest(ordered_json([worst.status, worst.rung, *rows]))[:12],
    )


def _ranking_evaluations(group: Sequence[P], data: RunData) -> Sequence[P]:
    """The evaluations that rank an entry: those at its highest rung.

    A refined entry is ranked by fold 0, its validation rows: its other folds are a few new rows, on which no other
    entry was evaluated.
    """
    if data.refined:
        return [each for each in group if each.fold == 0] or group
    rung = max(each.rung for each in group)
    return [each for each in group if each.rung == rung]


def _rows_key(top: Sequence[Rankable], status: int, data: RunData) -> tuple[Any, ...]:
    """Key of the rows behind an entry's loss: data fingerprint, folds with their numbers of rows, generation metrics.

    The metric of generated texts belongs to it because it defines their loss. Repeats use the same rows again.
    """
    if status == FAILED:
        return data.fingerprint, (), ()
    if len(top) == 1:
        (only,) = top
        return data.fingerprint, ((only.fold, only.n or 0),), (_generation_metric(only),)
    folds = tuple(sorted({(each.fold, each.n or 0) for each in top}))
    return data.fingerprint, folds, tuple(sorted(set(map(_generation_metric, top))))


def _generation_metric(each: Rankable) -> str:
    return "" if each.metric in CLASSIFICATION_METRICS else each.metric or ""


def _weights(counts: Sequence[int]) -> list[float]:
    """Weights of folds and repeats, in proportion to their numbers of rows."""
    n = sum(counts)
    return [1.0] if len(counts) == 1 else [count / n if n else 1 / len(counts) for count in counts]


def _mean(scores: Sequence[Score | None]) -> Score | None:
    """Mean score of folds and repeats, weighted by their numbers of rows."""
    found = [score for score in scores if score is not None]
    if len(found) < 2:
        return found[0] if found else None
    n = sum(score.n for score in found)
    weights = _weights([score.n for score in found])

    def mean(values: Iterable[float]) -> float:
        return math.fsum(w * value for w, value in zip(weights, values, strict=True))

    accuracies = [score.accuracy for score in found if score.accuracy is not None]
    return Score(
        loss=mean(score.loss for score in found),
        accuracy=mean(accuracies) if len(accuracies) == len(found) else None,
        metric=found[0].metric,
        value=mean(score.value for score in found),
        n=n,
    )
