"""Fine-tuning and scoring of a single candidate: ``evaluate``, and ``transfer`` of a leaderboard entry."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from autoprompt.errors import NothingSucceededError, UsageError, parameter
from autoprompt.evaluator import Evaluation, Rung
from autoprompt.leaderboard import Leaderboard, pinned
from autoprompt.metrics import classification_metrics, generation_metrics
from autoprompt.models import FAMILIES, locate_model
from autoprompt.results import EvaluationResult, RunResult
from autoprompt.run.backends import open_backend
from autoprompt.run.inputs import prepare, report_downloads, show_data
from autoprompt.run.options import DataOptions, ModelOptions, Progress, SearchOptions
from autoprompt.run.searching import search
from autoprompt.run.transfer import prompt_to_transfer
from autoprompt.run.worker_pool import check_model, start_workers


def evaluate(
    source_name: str,
    data: DataOptions,
    model: ModelOptions,
    template: str,
    label_words: dict[str, str] | None,
    changes: Mapping[str, float],
    split: str,
    seed: int,
    progress: Progress,
) -> EvaluationResult:
    """Fine-tune one candidate on the training rows and score one split.

    ``changes``: settings that differ from the default. Raises UsageError, InputError, NothingSucceededError.
    """
    started = time.monotonic()
    on_download = report_downloads(progress)
    task = prepare(source_name, data, model, (template,), label_words, None, seed, on_download=on_download)
    show_data(task.corpus, progress)
    task = replace(task, corpus=replace(task.corpus, unlabeled=()))  # one prompt alone is not judged by others
    if split == "test" and not task.corpus.test:
        raise UsageError(f"The corpus {source_name!r} has no test rows; use {parameter('split', 'validation')}.")
    candidate = replace(task.space.start, settings=task.space.start.settings.change(**changes))
    options = SearchOptions(source_name, data, model, seed=seed)
    with open_backend(model, progress) as backend, start_workers(task, options, backend) as pool:
        check_model(pool, task, model, progress)
        evaluator = pool.evaluator(progress)
        progress.stage("fine-tune")
        # Target texts are generated only on the last rung.
        rung = Rung.TUNED if task.corpus.labels or split == "test" else Rung.REPEATED
        (evaluation,) = evaluator.fit([candidate], rung=rung, counted=False)
        if split == "test" and evaluation.complete:
            progress.stage("test")
            (evaluation,) = evaluator.test([evaluation], task.corpus.test)
    if not evaluation.complete:
        raise NothingSucceededError(f"The candidate failed: {evaluation.reason}; change its settings.")
    return EvaluationResult(
        template=candidate.template.format(),
        label_words=candidate.label_words.mapping(),
        tuning=candidate.settings.tuning,
        settings=candidate.settings.to_dict(),
        split=split,
        metrics=_metrics(evaluation),
        n=len(evaluation.gold),
        seconds=round(time.monotonic() - started, 3),
        data=task.corpus.summary.to_dict() if task.corpus.summary else None,
    )


def transfer(
    entry: str,
    corpus: str,
    data: DataOptions,
    model: ModelOptions,
    leaderboard: Path,
    progress: Progress,
    *,
    split: str = "validation",
    seed: int = 0,
    own_model: bool = True,
) -> RunResult:
    """Fine-tune an entry's prompt and the manual one on a corpus, score both on a split, and store that as a run.
    The result's ``transfer`` says where the prompt came from.

    ``own_model``: use the entry's model instead of the one in ``model``. If ``model`` names no tuning mode, the entry's
    is used where the model supports it. Raises NotFoundError for an unknown entry, InputError for a corpus that the
    prompt does not fit, NothingSucceededError, and as ``search`` does.
    """
    with Leaderboard.open(leaderboard, read_only=True) as board:
        found = prompt_to_transfer(board, entry, split)
        run = board.run(found.run)
    if own_model:
        model = replace(model, model=pinned(run.model, run.config.model_revision), chat=run.config.chat)
    family = model.family or locate_model(model.model, report_downloads(progress)).family
    tuning = found.candidate["settings"]["tuning"]
    if model.tuning is None and tuning in FAMILIES[family].modes:
        model = replace(model, tuning=tuning)
    options = SearchOptions(corpus, data, model, max_evaluations=2, seed=seed, leaderboard=leaderboard, transfer=found)
    return search(options, progress)


def _metrics(evaluation: Evaluation) -> dict[str, float]:
    if evaluation.labels:
        return classification_metrics(evaluation.log_probs, evaluation.gold, len(evaluation.labels))
    likelihood = [row[0] for row in evaluation.log_probs]
    loss = -sum(likelihood) / len(likelihood)
    return generation_metrics(evaluation.outputs, evaluation.references) | {"loss": loss}
