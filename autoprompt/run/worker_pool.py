"""Set-up of a run: checked input, worker pool, and the check of the loaded model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from autoprompt.corpus import Corpus
from autoprompt.errors import UsageError
from autoprompt.evaluator import Evaluation, Evaluator, Readiness, WorkerSpec, start_worker
from autoprompt.execution import scratch_folder
from autoprompt.run.backends import Place
from autoprompt.run.inputs import Task, prepare
from autoprompt.run.options import ModelOptions, Progress, SearchOptions, config_of


def prepared(options: SearchOptions, progress: Progress) -> Task:
    """The checked input of a search. Raises UsageError, InputError."""
    config = config_of(options)
    progress.stage("data")
    task = prepare(options.corpus, options.data, options.model, options.templates, options.label_words,
                   options.metric, options.seed, config, options.fix, pulling(progress))  # fmt: skip
    show_data(task.corpus, progress)
    return task


def show_data(corpus: Corpus, progress: Progress) -> None:
    """Report in one line what was read of the data and what was left out."""
    if corpus.summary is not None:
        progress.note(f"data: {corpus.summary}")


@contextmanager
def workplace(task: Task, options: SearchOptions, place: Place, progress: Progress) -> Iterator[Evaluator]:
    """An evaluator whose workers have the model and the search's rows; the test rows stay in this process."""
    corpus = task.corpus.without_test()
    with scratch_folder() as scratch:
        spec = WorkerSpec(
            place.model(task.source.folder),
            corpus,
            options.seed,
            place.device,
            options.data.max_length,
            place.shared(scratch),
            scratch,
            metric=task.metric,
            folds=options.folds,
            family=task.source.family,
            chat=options.model.chat,
        )
        executor = place.executor(start_worker, (spec,))
        try:
            crowd = Crowd(progress)

            def watch(evaluation: Evaluation | None) -> None:
                crowd.look(evaluator)
                progress.evaluated(evaluation, evaluator)

            evaluator = Evaluator(executor, corpus, watch, weights=scratch)
            evaluator.time_limit = task.space.config.search.time_limit
            yield evaluator
        finally:
            executor.close()


class Crowd:
    """Reports once if other programs slow the workers down."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._told = False

    def look(self, evaluator: Evaluator) -> None:
        if evaluator.costs.crowded and not self._told:
            share = evaluator.costs.computing
            self._told = True
            self._progress.note(
                f"The machine looks busy: the workers computed in {100 * share:.0f} % of their time so far, so all "
                "takes longer than it would on a free machine; times are estimated from what is measured now."
            )


def pulling(progress: Progress) -> Callable[[str, float | None], None]:
    """A callback that reports downloads on first use as stages of the run."""
    told: list[str] = []

    def tell(stage: str, _fraction: float | None) -> None:
        if told[-1:] != [stage]:
            told.append(stage)
            progress.stage(f"first use: {stage}")

    return tell


def check_model(evaluator: Evaluator, task: Task, model: ModelOptions, progress: Progress) -> Readiness:
    """Load the model and check against it: cut rows, label words, tuning mode. Raises UsageError, InputError."""
    progress.stage("model")
    ready = evaluator.check(task.space.start)
    tuning = task.manual.settings.tuning
    if tuning not in ready.tuning_modes:
        raise UsageError(
            f"The {ready.family} model {model.model!r} cannot be tuned with {tuning!r}; use --tuning "
            f"{' or '.join(ready.tuning_modes)}."
        )
    for warning in warnings_of(task, ready):
        progress.note(warning)
    return ready


def warnings_of(task: Task, ready: Readiness) -> list[str]:
    """Warnings about the data, for readers of the results."""
    found = list(task.corpus.warnings)
    if ready.cut_rows:
        rows = len(task.corpus.train) + len(task.corpus.validation)
        found.append(f"{ready.cut_rows} of {rows} training and validation rows have a field that was cut.")
    return found
