"""From evaluations to the ordered lines of the leaderboard."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from autoprompt.leaderboard.records import BASELINES, STATUSES, EntryRow, Summary, candidate_dict
from autoprompt.metrics import Score


def rank(summaries: Iterable[Summary]) -> list[EntryRow]:
    """One row a run and entry at its highest rung, best first. The test split counts for nothing here.

    Order: complete before pruned before failed, highest rung, lowest validation loss, shortest literal text,
    lowest perplexity, entry id, run id.
    """
    groups: dict[tuple[str, str], list[Summary]] = {}
    for summary in summaries:
        if summary.split != "test":
            groups.setdefault((summary.run, summary.entry), []).append(summary)
    lines = [_line(group) for group in groups.values()]
    lines.sort(key=lambda line: line[0])
    return [row for _, row in lines]


def _line(group: Sequence[Summary]) -> tuple[tuple[Any, ...], EntryRow]:
    rung = max(summary.rung for summary in group)
    top = [summary for summary in group if summary.rung == rung]
    # The worst one: a mean over fewer folds than the others had is no fair comparison.
    worst = max(top, key=lambda summary: STATUSES.index(summary.status))
    validation = _mean([summary.score for summary in top])
    readability = next((s.readability for s in reversed(group) if s.readability is not None), None)
    baseline = next((summary.role for summary in group if summary.role in BASELINES), None)
    values = candidate_dict(top[0].candidate)
    row = EntryRow(
        entry=worst.entry,
        run=worst.run,
        rung=rung,
        status=worst.status,
        reason=worst.reason,
        role=baseline or top[0].role,
        template=values["template"],
        label_words=values["label_words"],
        settings=values["settings"],
        demos=values.get("demos", []),
        validation=validation,
        readability=readability,
        evaluations=len(group),
        seconds=math.fsum(summary.seconds for summary in group),
        tokens=sum(summary.tokens for summary in group),
    )
    loss = math.inf if validation is None else validation.loss
    perplexity = math.inf if readability is None else readability
    order = (STATUSES.index(row.status), -rung, loss, top[0].length, perplexity, row.entry, row.run)
    return order, row


def _mean(scores: Sequence[Score | None]) -> Score | None:
    """Folds and repeats as one score, weighted by their rows."""
    found = [score for score in scores if score is not None]
    if len(found) < 2:
        return found[0] if found else None
    n = sum(score.n for score in found)
    weights = [score.n / n if n else 1 / len(found) for score in found]

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
