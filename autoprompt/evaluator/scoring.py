"""Scoring rows: from a model's scores, calibrated where asked, to an evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from autoprompt import metrics
from autoprompt.candidate import Candidate
from autoprompt.corpus import Example
from autoprompt.evaluator.evaluation import VOTE_DIGITS, Evaluation
from autoprompt.evaluator.worker import Worker
from autoprompt.models import EncodedPrompt

CONSTANT = "constant predictions"
"""An evaluation's ``reason`` where every row got the same label or text."""
CONTENT_FREE = ("N/A", "", "[MASK]")
"""Content-free inputs for calibration (Zhao et al. 2021)."""


def to_evaluation(
    task: Evaluation, worker: Worker, rows: Sequence[Example], scores: Tensor, outputs: Sequence[str] = ()
) -> Evaluation:
    """Return the evaluation of some rows.

    ``scores``: normalised log-probabilities of labels [rows, labels], or mean log-probabilities of target texts
    [rows, 1]. ``outputs``: generated texts; each row's loss is then 1 - the metric's value instead of minus its score.
    """
    gold = worker.gold(rows)
    values = as_rows(scores)
    result = replace(
        task,
        labels=worker.labels,
        row_ids=tuple(row.row_id for row in rows),
        gold=tuple(gold),
        log_probs=values,
        losses=tuple(-row[label] for row, label in zip(values, gold, strict=True)),
    )
    if not worker.labels:
        result = replace(result, references=tuple(row.label for row in rows))
    if outputs:
        values_of_texts = metrics.example_values(worker.spec.metric, outputs, result.references)
        result = replace(result, outputs=tuple(outputs), losses=tuple(1.0 - value for value in values_of_texts))
    return failed_unless_finite(flag_constant(result))


def flag_constant(evaluation: Evaluation) -> Evaluation:
    """Return the evaluation, with a reason where its predictions are constant."""
    predictions = evaluation.predictions
    return replace(evaluation, reason=CONSTANT) if len(predictions) > 1 and len(set(predictions)) == 1 else evaluation


def failed_unless_finite(evaluation: Evaluation) -> Evaluation:
    """Return the evaluation, or its failure where a score is NaN or infinite."""
    if all(math.isfinite(value) for row in evaluation.log_probs for value in row) and all(
        map(math.isfinite, evaluation.losses)
    ):
        return evaluation
    return evaluation.failed("a score is not finite")


def as_rows(values: Tensor) -> tuple[tuple[float, ...], ...]:
    """Return a matrix as tuples."""
    return tuple(tuple(row) for row in values.tolist())


def score_rows(
    task: Evaluation,
    worker: Worker,
    rows: Sequence[Example],
    delta: Mapping[str, Tensor],
    *,
    write: bool,
    prompts: tuple[EncodedPrompt, EncodedPrompt | None] | None = None,
) -> Evaluation:
    """Score rows with fine-tuned weights in place. ``write``: generate texts, too. ``prompts``: the prompts of the rows
    and of ``content_free_prompts``, if the caller has made them."""
    candidate, model = task.candidate, worker.model
    prompted, empty = prompts or (model.prompt(candidate, rows), content_free_prompts(candidate, worker, rows))
    answers = model.answer_prompt(candidate, rows) if write else None
    with model.adapted(candidate.settings, delta):
        scores = label_scores(worker, prompted, empty)
        outputs = model.generate(answers, worker.target_length) if answers is not None else ()
    return to_evaluation(task, worker, rows, scores, outputs)


def votes_on_unlabelled(task: Evaluation, worker: Worker) -> bool:
    """Whether a fine-tune is to predict the unlabelled rows: only that of the data's own split, of classes."""
    return bool(worker.labels and worker.spec.corpus.unlabeled) and task.fold == task.repeat == 0


def predict_unlabelled(
    candidate: Candidate, worker: Worker, delta: Mapping[str, Tensor]
) -> tuple[tuple[float, ...], ...]:
    """Return the probabilities of the labels for the unlabelled rows [rows][labels], with fine-tuned weights in place.

    A row that is one of the candidate's demonstrations cannot be among them: demonstrations have labels.
    """
    rows = worker.spec.corpus.unlabeled
    prompted, empty = worker.model.prompt(candidate, rows), content_free_prompts(candidate, worker, rows)
    with worker.model.adapted(candidate.settings, delta):
        scores = label_scores(worker, prompted, empty)
    return tuple(tuple(round(p, VOTE_DIGITS) for p in row) for row in scores.exp().tolist())


def label_scores(worker: Worker, prompted: EncodedPrompt, empty: EncodedPrompt | None) -> Tensor:
    """Return the scores of rows with the model's current weights, calibrated where ``empty`` is given."""
    scores = worker.model.score(prompted)
    return calibrated(scores, worker.model.score(empty)) if empty is not None else scores


def content_free_prompts(candidate: Candidate, worker: Worker, rows: Sequence[Example]) -> EncodedPrompt | None:
    """Return the content-free prompts that calibrate a candidate's scores; None where it has no calibration."""
    calibration = candidate.settings.calibration and candidate.label_words.pairs
    return worker.model.prompt(candidate, content_free(rows[0])) if calibration else None


def content_free(row: Example) -> list[Example]:
    """Return content-free rows with the fields of this row."""
    return [
        Example(f"content-free-{number}", dict.fromkeys(row.fields, text), row.label)
        for number, text in enumerate(CONTENT_FREE)
    ]


def calibrated(scores: Tensor, without_content: Tensor) -> Tensor:
    """Contextual calibration (Zhao et al. 2021): divide probabilities by those of content-free inputs and normalise.

    ``scores`` [rows, labels] and ``without_content`` [inputs, labels] are log-probabilities, and so is the result.
    """
    prior = without_content.exp().mean(0).log()
    return (scores - prior).log_softmax(-1)
