"""From evaluations to the ordered lines of the leaderboard.

Entries compare when they were judged on the same rows of the same data at the same rung, whatever the model: these are
a group. Within a group the best stands first; between groups losses say nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autoprompt.candidate import digest
from autoprompt.leaderboard.records import (
    BASELINES,
    REFINE,
    STATUSES,
    EntryRow,
    RunRecord,
    Summary,
    candidate_dict,
    ordered_json,
)
from autoprompt.metrics import METRICS, Score

ONE_FOLD = 1
"""The rung that judges all candidates on the validation rows alone."""


def rank(summaries: Iterable[Summary], runs: Iterable[RunRecord] = ()) -> list[EntryRow]:
    """One row a run and entry at its highest rung, group by group, best first in each. The test split counts for
    nothing here.

    ``runs``: those of the summaries, newest first, which say what data they are of. Order of groups: complete before
    pruned before failed, highest rung, newest data, most rows. Within a group: lowest validation loss, shortest literal
    text, lowest perplexity, entry id, run id.
    """
    found: dict[tuple[str, str], list[Summary]] = {}
    for summary in summaries:
        if summary.split != "test":
            found.setdefault((summary.run, summary.entry), []).append(summary)
    known = {run.id: run for run in runs}
    newest = {data: place for place, data in enumerate(dict.fromkeys(run.fingerprint for run in known.values()))}
    lines = [_line(group, known.get(group[0].run), newest) for group in found.values()]
    lines.sort(key=lambda line: line[0])
    return [row for _, row in lines]


def _line(
    group: Sequence[Summary], run: RunRecord | None, newest: Mapping[str, int]
) -> tuple[tuple[Any, ...], EntryRow]:  # fmt: skip
    top = _judging(group, run)
    # The worst one: a mean over fewer folds than the others had is no fair comparison.
    worst = max(top, key=lambda summary: STATUSES.index(summary.status))
    validation = _mean([summary.score for summary in top])
    readability = next((s.readability for s in reversed(group) if s.readability is not None), None)
    baseline = next((summary.role for summary in group if summary.role in BASELINES), None)
    values = candidate_dict(top[0].candidate)
    row = EntryRow(
        entry=worst.entry,
        run=worst.run,
        rung=worst.rung,
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
        group=_group(top, run, worst.status, values.get("demos", [])),
    )
    loss = math.inf if validation is None else validation.loss
    perplexity = math.inf if readability is None else readability
    data = newest[run.fingerprint] if run else -1
    judged = 0 if validation is None else validation.n
    place = (STATUSES.index(row.status), -row.rung, data, -judged, row.group)
    return (*place, loss, top[0].length, perplexity, row.entry, row.run), row


def _judging(group: Sequence[Summary], run: RunRecord | None) -> list[Summary]:
    """The evaluations that a row is ranked by: those of the highest rung. A refined entry's other folds are its new
    rows, a few that no other entry was judged on: the validation rows rank it."""
    if run is not None and run.strategy == REFINE:
        return [summary for summary in group if summary.fold == 0] or list(group)
    rung = max(summary.rung for summary in group)
    return [summary for summary in group if summary.rung == rung]


def _group(top: Sequence[Summary], run: RunRecord | None, status: str, demos: Sequence[Mapping[str, Any]]) -> str:
    """A short hash of the rows: data, rung, folds and how many rows in each. Repeats judge the same rows again."""
    parts = (run.config.get("folds") or 0) if run else 0
    rung = top[0].rung
    values = [
        status,
        run.fingerprint if run else "",
        rung,
        parts if rung > ONE_FOLD else 0,
        sorted({(summary.fold, summary.n or 0) for summary in top}),
        # Losses of written texts are those of their metric.
        sorted({"" if summary.metric in METRICS else summary.metric or "" for summary in top}),
        # Nobody is judged on its own solved examples, which are training rows.
        [] if rung == ONE_FOLD else sorted(demo["row_id"] for demo in demos),
    ]
    return digest(ordered_json(values if status != "failed" else values[:3]))[:12]


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
