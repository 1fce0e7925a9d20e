"""A run's workers: started with the model and the search's rows, and the check of the loaded model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from autoprompt.corpus import Corpus
from autoprompt.errors import UsageError, parameter
from autoprompt.evaluator import (
    CostModel,
    Evaluation,
    Evaluator,
    Journal,
    ModelCheck,
    Observer,
    Readiness,
    WorkerSpec,
    start_worker,
)
from autoprompt.execution import scratch_folder
from autoprompt.run.backends import Backend, Pool
from autoprompt.run.inputs import Task
from autoprompt.run.options import ModelOptions, Progress, SearchOptions


@dataclass(frozen=True)
class WorkerPool:
    """Started workers, which have the model and the search's rows; the test rows stay in this process.

    ``weights``: the folder for fine-tuned weights. ``time_limit``: seconds that one task may take, where it is set.
    """

    executor: Pool
    corpus: Corpus
    costs: CostModel
    weights: Path
    time_limit: float | None

    @property
    def model_check(self) -> ModelCheck:
        """What can be asked of the loaded model before there is an evaluator."""
        return ModelCheck(self.executor, self.costs, self.time_limit)

    def evaluator(
        self,
        progress: Progress,
        *,
        journal: Journal | None = None,
        observers: Sequence[Observer] = (),
        on_idle: Callable[[], None] = lambda: None,
    ) -> Evaluator:
        """An evaluator that works with these workers. ``observers`` are called before ``progress``."""
        return Evaluator(
            self.executor,
            self.corpus,
            self.costs,
            weights=self.weights,
            journal=journal,
            observers=(*observers, BusyMachineNote(progress), progress.evaluated),
            on_idle=on_idle,
            time_limit=self.time_limit,
        )


@contextmanager
def start_workers(task: Task, options: SearchOptions, backend: Backend) -> Iterator[WorkerPool]:
    """The workers of a search, or of another run with its options."""
    corpus = task.corpus.without_test()
    with scratch_folder() as scratch:
        spec = WorkerSpec(
            backend.model(task.source.folder),
            corpus,
            options.seed,
            backend.device,
            options.data.max_length,
            backend.shared(scratch),
            scratch,
            metric=task.metric,
            folds=options.folds,
            family=task.source.family,
            chat=options.model.chat,
        )
        with open_executor(backend, spec) as executor:
            costs = CostModel(corpus, executor.workers)
            yield WorkerPool(executor, corpus, costs, scratch, task.space.config.search.time_limit)


@contextmanager
def open_executor(backend: Backend, spec: WorkerSpec) -> Iterator[Pool]:
    """The backend's workers, which are ended at the end."""
    executor = backend.executor(start_worker, (spec,))
    try:
        yield executor
    finally:
        executor.close()


class BusyMachineNote:
    """An observer that reports once if other programs slow the workers down."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._reported = False

    def __call__(self, _evaluation: Evaluation | None, evaluator: Evaluator) -> None:
        costs = evaluator.costs
        if costs.crowded and not self._reported:
            self._reported = True
            self._progress.note(
                f"The machine looks busy: the workers computed in {100 * costs.computing:.0f} % of their time so far, "
                "so everything takes longer than on a free machine; the estimated times allow for it."
            )


def check_model(pool: WorkerPool, task: Task, model: ModelOptions, progress: Progress) -> Readiness:
    """Load the model and check against it: cut rows, label words, tuning mode. Raises UsageError, InputError."""
    progress.stage("model")
    ready = pool.model_check.check(task.space.start)
    tuning = task.manual.settings.tuning
    if tuning not in ready.tuning_modes:
        raise UsageError(
            f"The {ready.family} model {model.model!r} cannot be tuned with {tuning!r}; use {parameter('tuning')} "
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
