"""A fine-tune that goes on: on its own rows and new ones, judged by rows that it has not seen."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from autoprompt.candidate import Candidate, derived_seed
from autoprompt.corpus import Example
from autoprompt.errors import InputError
from autoprompt.evaluator.evaluation import Evaluation, Rung
from autoprompt.evaluator.proxy import deal
from autoprompt.evaluator.scoring import scored_with, without_content
from autoprompt.evaluator.worker import Worker
from autoprompt.models import FitFailedError
from autoprompt.models.types import Delta, Prompted

REFINING_VERSION = 2  # raised whenever the same refine would come to other weights or scores

EPOCHS = 4
"""Most passes over old and new rows: a fine-tune that goes on has little to learn."""
RATE = 0.5
"""Of the entry's learning rate: as high a one as the pretrained model takes undoes what was learnt."""
REPLAYED = 32
"""Most of the rows that it was trained on before that it is shown again, so that it keeps what it learnt (experience
replay, Robins 1995) and takes no longer for all that came before."""
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
    says nothing about it; a single new row is only trained on. A failed fine-tune is a failed evaluation. Raises
    InputError where the solved examples leave nothing to train or to judge on.
    """
    rows, validation = (worker.unshown(candidate, split) for split in worker.splits)
    if not rows or not validation:
        raise InputError("The solved examples leave no rows to train or to judge on.")
    replayed = _replayed([row for row in rows if row.row_id not in new], worker)
    train = (*replayed, *(row for row in rows if row.row_id in new))
    # Each row is read once, whatever it is used for: their kept prefixes are most of the work.
    teaching, judging = worker.model.prompt(candidate, train), worker.model.prompt(candidate, validation)
    empty = without_content(candidate, worker, validation)
    cases = [(list(range(len(train))), validation, judging)]
    for half in _halves(range(len(replayed), len(train)), train):
        rest = [place for place in range(len(train)) if place not in half]
        cases.append((rest, tuple(train[place] for place in half), teaching.part(half)))
    after, before, final = [], [], weights
    for fold, (taught, rows, judged) in enumerate(cases):
        task = Evaluation(candidate, Rung.REPEATED if fold else Rung.TUNED, fold)
        delta, reason = _continued(worker, task, weights, teaching.part(taught), [train[place] for place in taught])
        prompts = (judged, empty)
        after.append(task.failed(reason) if reason else _scored(worker, task, delta, rows, prompts))
        before.append(_scored(worker, task, weights, rows, prompts))
        final = final if fold else delta
    return Refined(after, before, final)


def _replayed(known: Sequence[Example], worker: Worker) -> list[Example]:
    """Others each time that rows have come in, with as many of each label as can be."""
    drawn = random.Random(derived_seed(worker.spec.seed, "replay", len(known))).sample(known, len(known))  # noqa: S311
    turns = deal(worker.gold(drawn), len(drawn))
    return [drawn[place] for place in turns.argsort(kind="stable")[:REPLAYED]]


def _halves(places: Sequence[int], rows: Sequence[Example]) -> list[list[int]]:
    """Two halves with as many of each label as can be; none of a single row."""
    by_label = sorted(places, key=lambda place: rows[place].label)
    return [by_label[half::2] for half in (0, 1)] if len(places) > 1 else []


def _continued(
    worker: Worker, task: Evaluation, weights: Delta, taught: Prompted, rows: Sequence[Example]
) -> tuple[Delta, str]:
    """What the fine-tune came to, or why it failed."""
    settings = task.candidate.settings
    settings = settings.change(epochs=min(EPOCHS, settings.epochs), learning_rate=settings.learning_rate * RATE)
    seed = derived_seed(worker.spec.seed, "refine", task.fold)
    try:
        return worker.model.tune(taught, worker.gold(rows), settings, seed, start=weights), ""
    except FitFailedError as error:
        return weights, str(error)


def _scored(
    worker: Worker,
    task: Evaluation,
    delta: Delta,
    rows: Sequence[Example],
    prompts: tuple[Prompted, Prompted | None],
) -> Evaluation:
    try:
        return replace(scored_with(task, worker, rows, delta, write=False, prompts=prompts), reason=None)
    except (FitFailedError, InputError) as error:
        return task.failed(str(error))
