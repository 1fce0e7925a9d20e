"""Refining: continue a fine-tune on earlier and new rows, and score it on rows that it has not seen."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

from autoprompt.candidate import Candidate, derived_seed
from autoprompt.corpus import Example
from autoprompt.errors import InputError, WorkerLostError
from autoprompt.evaluator.evaluation import Evaluation, Rung
from autoprompt.evaluator.proxy import stratified_folds
from autoprompt.evaluator.scoring import content_free_prompts, score_rows
from autoprompt.evaluator.tasks import weights_name
from autoprompt.evaluator.worker import Worker
from autoprompt.models import CandidateFailedError, Delta, EncodedPrompt, load_delta, save

REFINING_VERSION = 2  # raise whenever the same refine would give other weights or scores

EPOCHS = 4
"""Most epochs over earlier and new rows: a continued fine-tune has little left to learn."""
RATE = 0.5
"""Factor on the entry's learning rate: the full rate, chosen for the pretrained model, would undo what was learnt."""
REPLAYED = 32
"""Most earlier training rows that are shown again, so that what they taught is not forgotten (experience replay,
Robins 1995) and the time does not grow with the number of earlier rows."""
VALIDATION = 0
"""The fold that trains on all new rows and scores the validation rows; 1 and 2 hold out one half of the new rows, and
score that."""


@dataclass(frozen=True)
class Refined:
    """Evaluations by fold, on the same rows with the new weights (``after``) and the old ones (``before``), and the
    ``weights`` of the fine-tune on all rows."""

    after: list[Evaluation]
    before: list[Evaluation]
    weights: Delta


@dataclass(frozen=True)
class RefineResult:
    """``Refined`` for the driver. ``weights``: the file that they were written to; None after a failed fine-tune."""

    after: list[Evaluation]
    before: list[Evaluation]
    weights: Path | None

    def on(self, *, new: bool) -> RefineResult:
        """What the new rows judge, or what the validation rows do."""
        after, before = ([e for e in side if (e.fold != VALIDATION) == new] for side in (self.after, self.before))
        return RefineResult(after, before, self.weights)


@dataclass(frozen=True)
class RefineTask:
    """Refine a candidate from its stored weights. ``new``: ids of the training rows that these were not trained on.
    ``validation_learnt``: whether they were trained on the validation rows."""

    candidate: Candidate
    weights: PathLike[str]
    new: tuple[str, ...]
    validation_learnt: bool = False

    def __call__(self, worker: Worker) -> RefineResult:
        start = load_delta(Path(self.weights))
        done = refined(worker, self.candidate, start, self.new, validation_learnt=self.validation_learnt)
        if not all(evaluation.complete for evaluation in (*done.after, *done.before)):
            return RefineResult(done.after, done.before, None)
        path = worker.spec.weights / weights_name(self.candidate)
        save(done.weights, path, "The refined weights")
        return RefineResult(done.after, done.before, path)

    def lost(self, reason: str) -> RefineResult:
        """Raises WorkerLostError: there is nothing else to do."""
        raise WorkerLostError(f"The fine-tune was lost with its worker process ({reason}); refine again.")


def refined(
    worker: Worker, candidate: Candidate, weights: Delta, new: Collection[str], *, validation_learnt: bool = False
) -> Refined:
    """Continue the fine-tune ``weights``; ``new``: ids of the worker's training rows that it was not trained on.

    New rows are scored in two halves, each by a fine-tune on the other half, since a score on a row that was trained
    on says nothing; a single new row is only trained on. Validation rows that the weights have learnt
    (``validation_learnt``) are not scored for the same reason, and count among the earlier rows. A failed fine-tune
    gives a failed evaluation. Raises InputError where the demonstrations leave no rows to train on or to score.
    """
    rows, validation = (worker.without_demos(candidate, split) for split in worker.splits)
    if not rows or not validation:
        raise InputError("The solved examples leave no rows to train on or to validate on.")
    known = [row for row in rows if row.row_id not in new] + (list(validation) if validation_learnt else [])
    replayed = _replayed(known, worker)
    train = (*replayed, *(row for row in rows if row.row_id in new))
    # All folds share the prompted rows, since computing their prefixes is most of the work.
    train_prompts = worker.model.prompt(candidate, train)
    empty = content_free_prompts(candidate, worker, validation)
    halves = _halves(range(len(replayed), len(train)), train)
    after, before, final = [], [], weights
    for fold, held_out in enumerate([[], *halves], VALIDATION):
        task = Evaluation(candidate, Rung.REPEATED if fold else Rung.TUNED, fold)
        places = [place for place in range(len(train)) if place not in held_out]
        taught = [train[place] for place in places]
        delta, reason = _continued(worker, task, weights, train_prompts.select(places), taught)
        final = delta if fold == VALIDATION else final
        if reason:
            after.append(task.failed(reason))
            continue
        if fold != VALIDATION:
            judges, prompted = [train[place] for place in held_out], train_prompts.select(held_out)
        elif not validation_learnt:
            judges, prompted = list(validation), worker.model.prompt(candidate, validation)
        else:
            continue
        after.append(_scored(worker, task, delta, judges, (prompted, empty)))
        before.append(_scored(worker, task, weights, judges, (prompted, empty)))
    return Refined(after, before, final)


def _replayed(known: Sequence[Example], worker: Worker) -> list[Example]:
    """Return at most ``REPLAYED`` known rows, balanced over the labels; another draw for another number of rows."""
    drawn = random.Random(derived_seed(worker.spec.seed, "replay", len(known))).sample(known, len(known))  # noqa: S311
    turns = stratified_folds(worker.gold(drawn), len(drawn))
    return [drawn[place] for place in turns.argsort(kind="stable")[:REPLAYED]]


def _halves(places: Sequence[int], rows: Sequence[Example]) -> list[list[int]]:
    """Return two halves of the places, balanced over the labels; none for a single place."""
    by_label = sorted(places, key=lambda place: rows[place].label)
    return [by_label[half::2] for half in (0, 1)] if len(places) > 1 else []


def _continued(
    worker: Worker, task: Evaluation, weights: Delta, prompts: EncodedPrompt, rows: Sequence[Example]
) -> tuple[Delta, str]:
    """Return the continued fine-tune's weights and "", or the old weights and why it failed."""
    settings = task.candidate.settings
    settings = settings.change(epochs=min(EPOCHS, settings.epochs), learning_rate=settings.learning_rate * RATE)
    seed = derived_seed(worker.spec.seed, "refine", task.fold)
    try:
        return worker.model.tune(prompts, worker.gold(rows), settings, seed, start=weights), ""
    except CandidateFailedError as error:
        return weights, str(error)


def _scored(
    worker: Worker,
    task: Evaluation,
    delta: Delta,
    rows: Sequence[Example],
    prompts: tuple[EncodedPrompt, EncodedPrompt | None],
) -> Evaluation:
    try:
        return replace(score_rows(task, worker, rows, delta, write=False, prompts=prompts), reason=None)
    except (CandidateFailedError, InputError) as error:
        return task.failed(str(error))
