"""A fine-tune that goes on: on its own rows and new ones, judged by rows that it has not seen."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from autoprompt.candidate import Candidate, derived_seed
from autoprompt.corpus import Example
from autoprompt.errors import InputError
from autoprompt.evaluator.evaluation import Evaluation, Rung
from autoprompt.evaluator.scoring import scored_with
from autoprompt.evaluator.worker import Worker
from autoprompt.models import FitFailedError
from autoprompt.models.base import Delta

EPOCHS = 4
"""Most passes over old and new rows: a fine-tune that goes on has little to learn."""
VALIDATION, FIRST_HALF, SECOND_HALF = 0, 1, 2
"""Folds: all new rows are trained on and the validation rows judge; or one half judges what the other one taught."""


@dataclass(frozen=True)
class Refined:
    """``after`` and ``before``: by fold, each on the same rows; ``before`` with the weights as they were. ``weights``:
    of the validation fold, trained on all rows."""

    after: list[Evaluation]
    before: list[Evaluation]
    weights: Delta


def refined(worker: Worker, candidate: Candidate, weights: Delta, new: Collection[str]) -> Refined:
    """Go on from ``weights``; ``new``: ids of those of the worker's training rows that they were not trained on.

    New rows are judged in two halves, each by a fine-tune that was taught the other, since one that has seen a row
    says nothing about it; a single new row is only trained on. A failed fine-tune is a failed evaluation.
    """
    train, validation = worker.splits
    fresh = [row for row in train if row.row_id in new]
    after, before, final = [], [], weights
    for fold, judged in enumerate((validation, *_halves(fresh))):
        rows = worker.unshown(candidate, judged)
        if rows:
            unseen = {row.row_id for row in judged}
            taught = [row for row in worker.unshown(candidate, train) if row.row_id not in unseen]
            task = Evaluation(candidate, Rung.REPEATED if fold else Rung.TUNED, fold)
            evaluation, delta = _continued(worker, task, weights, taught, rows)
            after.append(evaluation)
            before.append(_scored(worker, task, weights, rows))
            final = final if fold else delta
    return Refined(after, before, final)


def _halves(rows: Sequence[Example]) -> list[tuple[Example, ...]]:
    """Two halves with as many of each label as can be; none of a single row."""
    if len(rows) < 2:
        return []
    by_label = sorted(rows, key=lambda row: row.label)
    return [tuple(by_label[half::2]) for half in (0, 1)]


def _continued(
    worker: Worker, task: Evaluation, weights: Delta, taught: Sequence[Example], rows: Sequence[Example]
) -> tuple[Evaluation, Delta]:
    settings = task.candidate.settings
    settings = settings.change(epochs=min(EPOCHS, settings.epochs))
    try:
        prompted = worker.model.prompt(task.candidate, taught)
        seed = derived_seed(worker.spec.seed, "refine", task.fold)
        delta = worker.model.tune(prompted, worker.gold(taught), settings, seed, start=weights)
    except (FitFailedError, InputError) as error:
        return task.failed(str(error)), weights
    return _scored(worker, task, delta, rows), delta


def _scored(worker: Worker, task: Evaluation, delta: Delta, rows: Sequence[Example]) -> Evaluation:
    try:
        return replace(scored_with(task, worker, rows, delta, write=False), reason=None)
    except (FitFailedError, InputError) as error:
        return task.failed(str(error))
