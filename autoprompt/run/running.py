"""The composition root: data, model, workers, search, leaderboard, and the one look at the test rows."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoprompt.errors import NothingSucceededError, UsageError
from autoprompt.evaluator import Evaluation, Evaluator, Readiness, Rung, WorkerSpec, start_worker
from autoprompt.execution import LocalExecutor
from autoprompt.leaderboard import Leaderboard, RunRecord
from autoprompt.metrics import classification_metrics, generation_metrics
from autoprompt.models import check_device
from autoprompt.run.options import (
    DataOptions,
    ModelOptions,
    Progress,
    SearchOptions,
    budget_of,
    config_of,
    workers_of,
)
from autoprompt.run.preparing import Task, check_folds, prepare
from autoprompt.run.recording import Recorder, described, difference, new_run, spread
from autoprompt.search import Budget, Outcome, Search

BASELINES = ("manual", "manual_tuned", "null", "random")


def search(options: SearchOptions, progress: Progress) -> dict[str, Any]:
    """Run a search and store it. Returns the JSON of ``autoprompt search --json``.

    Raises UsageError, InputError, StorageError, NothingSucceededError.
    """
    config = config_of(options)
    budget = budget_of(options)
    workers = workers_of(options.model)
    progress.stage("data")
    task = prepare(options.corpus, options.data, options.model, options.templates, options.label_words,
                   options.metric, options.seed, config, options.fix, _pulling(progress))  # fmt: skip
    check_folds(options.folds, task.corpus)
    device = check_device(options.model.device)
    with Leaderboard.open(options.leaderboard) as board:
        board.check_name(options.name)
        with _evaluator(task, options, device, workers, progress) as evaluator:
            ready = _check(evaluator, task, options.model, progress)
            run = new_run(options, task, device, workers, _warnings(task, ready))
            with _recorded(board, run) as finish:
                result = _search(options, task, run, board, evaluator, ready, budget, progress)
                finish(result)
    return result


@contextmanager
def _recorded(board: Leaderboard, run: RunRecord) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A run in the leaderboard, from its start to its end, whatever that is. Yields what finishes it."""
    finished = False

    def finish(result: dict[str, Any]) -> None:
        nonlocal finished
        board.finish_run(run.id, "finished", result)
        finished = True

    board.start_run(run)
    status = "failed"
    try:
        yield finish
    except (KeyboardInterrupt, SystemExit):
        status = "stopped"
        raise
    finally:
        if not finished:
            board.finish_run(run.id, status, None)


def evaluate(
    source_name: str,
    data: DataOptions,
    model: ModelOptions,
    template: str,
    label_words: dict[str, str] | None,
    changes: dict[str, Any],
    split: str,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Train one candidate on the training rows and score one split. Returns the JSON of ``evaluate --json``.

    ``changes``: settings other than the default. Raises UsageError, InputError, NothingSucceededError.
    """
    started = time.monotonic()
    task = prepare(source_name, data, model, (template,), label_words, None, seed, pulling=_pulling(progress))
    if split == "test" and not task.corpus.test:
        raise UsageError(f"The corpus {source_name!r} has no test rows; use --split validation.")
    candidate = replace(task.space.start, settings=task.space.start.settings.change(**changes))
    device = check_device(model.device)
    options = SearchOptions(source_name, data, model, seed=seed)
    with _evaluator(task, options, device, workers_of(model), progress) as evaluator:
        _check(evaluator, task, model, progress)
        progress.stage("fine-tune")
        # Target texts are written on the last rung alone.
        rung = Rung.TUNED if task.corpus.labels or split == "test" else Rung.REPEATED
        (evaluation,) = evaluator.fit([candidate], rung=rung, counted=False)
        if split == "test" and evaluation.complete:
            progress.stage("test")
            (evaluation,) = evaluator.test([evaluation], task.corpus.test)
    if not evaluation.complete:
        raise NothingSucceededError(f"The candidate failed: {evaluation.reason}; change its settings.")
    return {
        "template": candidate.template.format(),
        "label_words": candidate.label_words.mapping(),
        "tuning": candidate.settings.tuning,
        "settings": candidate.settings.to_dict(),
        "split": split,
        "metrics": _metrics(evaluation),
        "n": len(evaluation.gold),
        "seconds": round(time.monotonic() - started, 3),
    }


def _metrics(evaluation: Evaluation) -> dict[str, float]:
    if evaluation.labels:
        return classification_metrics(evaluation.log_probs, evaluation.gold, len(evaluation.labels))
    likelihood = [row[0] for row in evaluation.log_probs]
    loss = -sum(likelihood) / len(likelihood)
    return generation_metrics(evaluation.outputs, evaluation.references) | {"loss": loss}


@contextmanager
def _evaluator(
    task: Task, options: SearchOptions, device: str, workers: int, progress: Progress
) -> Iterator[Evaluator]:
    """Workers with the model and the search's rows; the test rows stay here."""
    corpus = task.corpus.without_test()
    with tempfile.TemporaryDirectory(prefix="autoprompt-", ignore_cleanup_errors=True) as scratch:
        spec = WorkerSpec(
            task.source.folder,
            corpus,
            options.seed,
            device,
            options.data.max_length,
            Path(scratch),
            metric=task.metric,
            folds=options.folds,
            family=task.source.family,
            chat=options.model.chat,
        )
        executor = LocalExecutor(workers, start_worker, (spec,))
        try:
            evaluator = Evaluator(executor, corpus, lambda e: progress.evaluated(e, evaluator))
            yield evaluator
        finally:
            executor.close()


def _pulling(progress: Progress) -> Callable[[str, float | None], None]:
    """What is pulled on first use, as stages of the run."""
    told: list[str] = []

    def tell(stage: str, _fraction: float | None) -> None:
        if told[-1:] != [stage]:
            told.append(stage)
            progress.stage(f"first use: {stage}")

    return tell


def _check(evaluator: Evaluator, task: Task, model: ModelOptions, progress: Progress) -> Readiness:
    """What only the model knows: cut rows, words, modes."""
    progress.stage("model")
    ready = evaluator.check(task.space.start)
    tuning = task.manual.settings.tuning
    if tuning not in ready.tuning_modes:
        raise UsageError(
            f"The {ready.family} model {model.model!r} cannot be tuned with {tuning!r}; use --tuning "
            f"{' or '.join(ready.tuning_modes)}."
        )
    for warning in _warnings(task, ready):
        progress.note(warning)
    return ready


def _warnings(task: Task, ready: Readiness) -> list[str]:
    """What a reader of the results has to know of the data."""
    found = list(task.corpus.warnings)
    if ready.cut_rows:
        rows = len(task.corpus.train) + len(task.corpus.validation)
        found.append(f"{ready.cut_rows} of {rows} training and validation rows have a field that was cut.")
    return found


def _search(
    options: SearchOptions,
    task: Task,
    run: RunRecord,
    board: Leaderboard,
    evaluator: Evaluator,
    ready: Readiness,
    budget: Budget,
    progress: Progress,
) -> dict[str, Any]:
    recorder = Recorder(board, run, task)
    outcome = Search(
        evaluator=evaluator,
        space=replace(task.space, vocabulary=ready.vocabulary, label_anywhere=ready.label_anywhere),
        strategy_name=options.strategy,
        seed=options.seed,
        budget=budget,
        test_rows=len(task.corpus.test),
        record=recorder,
        describe=progress.stage,
        folds=options.folds,
        repeats=options.repeats,
    ).run()
    tests = _open_test(task, evaluator, outcome, recorder, progress)
    return {
        "run": run.id,
        "corpus": options.corpus,
        "model": run.model,
        "evaluations": outcome.fitted,
        "frozen": outcome.frozen,
        "generations": outcome.generations,
        "finalists": outcome.finalists,
        "seconds": round(budget.spent, 3),
        "best": described(recorder, outcome.best, tests),
        "spread": spread(recorder, outcome),
        "baselines": {
            name: described(recorder, outcome.baselines[name], tests) if name in outcome.baselines else None
            for name in BASELINES
        },
        "difference": difference(recorder, outcome, tests),
        "warnings": run.config["warnings"],
        "history": outcome.history,
    }


def _open_test(
    task: Task, evaluator: Evaluator, outcome: Outcome, recorder: Recorder, progress: Progress
) -> dict[str, Evaluation]:
    """Score the test rows once, with the winner and the manual baselines, all trained on the training rows."""
    if not task.corpus.test:
        return {}
    progress.stage("test")
    tested = evaluator.test(outcome.trained, task.corpus.test)
    recorder(tested, "finalist")
    return {e.candidate.id: e for e in tested if e.complete}
