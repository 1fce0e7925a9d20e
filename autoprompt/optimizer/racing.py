"""Comparison of evaluations by paired per-example losses, and the choice of the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from autoprompt.evaluator import Evaluation
from autoprompt.metrics import chances_better

DROP_CONFIDENCE = 0.95
"""A candidate leaves the race when a paired bootstrap says at this level that the leader is better."""
TIE_CONFIDENCE = 0.6
"""Finalists closer than this to the leader tie with it. It is low on purpose: 2 x 32 rows separate little at 95 %, and
a tie is broken by length, which would hand most searches to the shortest template. On two samples of rotten-tomatoes
(random draws, 300 test rows) it gave a mean test accuracy of .750, a level of .75 one of .732."""


def chances_of_winning(one: Evaluation, others: Sequence[Evaluation]) -> list[float]:
    """The probability that ``one`` has a lower loss than each other evaluation, by a seeded paired bootstrap.

    It is over the rows that both were scored on (solved examples of a prompt are not scored); 0.5 where there are none.
    Where there are estimates, it is that of a lower error, by the normal approximation of the paired difference.
    """
    if one.estimate is not None:
        return [_chance(one, other) for other in others]
    own = dict(zip(one.row_ids, one.losses, strict=True))
    out = [0.5] * len(others)
    places: dict[tuple[str, ...], list[int]] = {}
    for place, other in enumerate(others):
        places.setdefault(other.row_ids, []).append(place)
    for row_ids, alike in places.items():
        order = sorted((row, n) for n, row in enumerate(row_ids) if row in own)
        if order:
            losses = [[others[place].losses[n] for _, n in order] for place in alike]
            found = chances_better([own[row] for row, _ in order], losses, samples=2000, seed=0)
            for place, chance in zip(alike, found, strict=True):
                out[place] = chance
    return out


def ranked(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Complete evaluations by fitness; those of the same by length, readability and id."""
    return sorted((e for e in evaluations if e.complete), key=lambda e: (e.fitness, *_tie_break(e)))


def finalists(evaluations: Sequence[Evaluation], count: int, *, drop: bool = True) -> list[Evaluation]:
    """The leaders, at most ``count``, one for each template and words; ``drop``: without those that a paired test
    says are worse than the first."""
    order = ranked(evaluations)
    texts: dict[str, Evaluation] = {}
    for evaluation in _not_clearly_worse(order, DROP_CONFIDENCE) if drop else order:
        texts.setdefault(evaluation.candidate.text_id, evaluation)
    return list(texts.values())[:count]


def in_race(evaluations: Sequence[Evaluation], look: int) -> list[Evaluation]:
    """The evaluations that stay in a race at its look number ``look`` (from 1), all on the same rows.

    Over all looks a rival as good as the leader is dropped with a chance of at most 1 - ``DROP_CONFIDENCE``: look k
    spends 1 / (k (k + 1)) of it (alpha spending, Lan and DeMets 1983).
    """
    return _not_clearly_worse(ranked(evaluations), 1 - (1 - DROP_CONFIDENCE) / (look * (look + 1)))


def join_parts(parts: Sequence[Evaluation]) -> Evaluation:
    """One evaluation with the rows of all folds and repeats of a candidate."""
    return replace(
        parts[0],
        row_ids=tuple(f"{part.fold}.{part.repeat}.{row}" for part in parts for row in part.row_ids),
        gold=tuple(gold for part in parts for gold in part.gold),
        log_probs=tuple(row for part in parts for row in part.log_probs),
        losses=tuple(loss for part in parts for loss in part.losses),
        references=tuple(text for part in parts for text in part.references),
        outputs=tuple(text for part in parts for text in part.outputs),
    )


def best(evaluations: Sequence[Evaluation]) -> Evaluation:
    """The lowest fitness; among those that a paired test cannot tell from it the shortest template, then the most
    readable, then the id."""
    return min(_not_clearly_worse(ranked(evaluations), TIE_CONFIDENCE), key=_tie_break)


def _not_clearly_worse(order: Sequence[Evaluation], level: float) -> list[Evaluation]:
    """The first, and those that it does not beat with a probability of ``level``."""
    leader, rest = order[:1], order[1:]
    chances = chances_of_winning(leader[0], rest) if rest else []
    return [*leader, *(e for e, chance in zip(rest, chances, strict=True) if chance < level)]


def _chance(one: Evaluation, other: Evaluation) -> float:
    """The probability that the error of ``one`` is lower, from the rows of each kind that both were judged by."""
    if one.estimate is None or other.estimate is None:
        return 0.5
    theirs = dict(zip(other.row_ids, other.estimate.labelled, strict=True))
    rows = zip(one.row_ids, one.estimate.labelled, strict=True)
    labelled = [theirs[row] - error for row, error in rows if row in theirs]
    votes = zip(one.estimate.unlabelled, other.estimate.unlabelled, strict=False)
    kinds = [np.asarray(kind) for kind in (labelled, [b - a for a, b in votes]) if len(kind) > 1]
    lead = sum(float(kind.mean()) for kind in kinds)
    noise = math.sqrt(sum(float(kind.var(ddof=1)) / len(kind) for kind in kinds))
    return NormalDist().cdf(lead / noise) if noise else 0.5 + 0.5 * ((lead > 0) - (lead < 0))


def _tie_break(evaluation: Evaluation) -> tuple[int, float, str]:
    readability = evaluation.readability if evaluation.readability is not None else float("inf")
    return evaluation.candidate.template.length, readability, evaluation.candidate.id
