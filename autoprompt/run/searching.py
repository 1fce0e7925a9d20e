"""A search from options to stored result: data, model, workers, search, test rows, leaderboard; and ``resume``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoprompt.errors import StorageError
from autoprompt.evaluator import Evaluator, Readiness
from autoprompt.execution import remove_leftovers
from autoprompt.leaderboard import REFINE, DataRow, Leaderboard, RunRecord, StoredTransfer, holding
from autoprompt.manifest import Manifest
from autoprompt.optimizer import Budget, Forecast, Need, Outcome, Search, check_budget, needed
from autoprompt.results import RunResult, Transferred, verdict
from autoprompt.run.backends import open_backend
from autoprompt.run.ending import Ending, end_search
from autoprompt.run.inputs import Task, prepare_search
from autoprompt.run.options import PlaceOptions, Progress, SearchOptions, budget_of, config_of
from autoprompt.run.recording import Recorder, data_rows, new_run, paired_difference, scored_prompt, spread
from autoprompt.run.request import stored_options
from autoprompt.run.resuming import StoredJournal, check_unchanged
from autoprompt.run.transfer import adapted_prompt, score_transfer
from autoprompt.run.warm_start import adapt_warm_start, read_warm_start, with_warm_start
from autoprompt.run.worker_pool import WorkerPool, check_model, start_workers
from autoprompt.terminal import command_line
from autoprompt.transfer import Source

BASELINES = ("manual", "manual_tuned", "null", "random")


def search(options: SearchOptions, progress: Progress) -> RunResult:
    """Run a search and store it.

    Raises UsageError, InputError, StorageError, NothingSucceededError.
    """
    return _Run(options, progress).search()


def resume(
    reference: str,
    leaderboard: Path,
    progress: Progress,
    *,
    rows: Mapping[str, Any] | None = None,
    started: float | None = None,
    place: PlaceOptions = PlaceOptions(),  # noqa: B008 - frozen
) -> RunResult:
    """Resume a run that was stopped or killed. Returns its result, also for a run that is finished.

    ``rows``: splits in memory, for a run whose data were in memory. ``started``: when the command began (monotonic
    seconds). ``place``: where the workers are now; options that it leaves open are those of the run if this user began
    it, else those of a new search.
    Raises NotFoundError, and StorageError while the run's driver lives, where data, model or settings have changed.
    """
    run = _stored(leaderboard, reference)
    remove_leftovers()  # removes the folder of a driver that was killed when its run had finished
    if run.status != "finished":
        with holding(leaderboard, run.id):
            run = _stored(leaderboard, run.id)
            if run.strategy == REFINE:
                raise StorageError(f"The run {run.id} was stored in part while an entry was refined; refine it again.")
            if run.status != "finished":  # another driver may have finished it meanwhile
                began = time.monotonic() if started is None else started
                options = stored_options(run, leaderboard, rows, began, place, progress.note)
                return _Run(options, progress, run).search()
    if run.result is None or run.winner is None:
        raise StorageError(f"The run {run.id} is finished and was stored without a winner; start a new search.")
    return run.result


def _stored(leaderboard: Path, reference: str) -> RunRecord:
    with Leaderboard.open(leaderboard, read_only=True) as board:
        return board.run(reference)


class _Run:
    """One search, from its options to its result. ``known``: the stored run that it resumes."""

    def __init__(self, options: SearchOptions, progress: Progress, known: RunRecord | None = None) -> None:
        self.options = options
        self.progress = progress
        self.known = known
        self.budget = budget_of(options)
        self.need: Need | None = None
        self.restart = 0.0
        """Seconds until a new worker is ready."""

    def search(self) -> RunResult:
        config = config_of(self.options)
        sources = self._warm_start_sources()
        task = self._with_warm_start(prepare_search(self.options, config, self.progress), sources)
        options = self.options
        if options.transfer is not None:  # a prompt that does not fit is reported before a model is loaded
            adapted_prompt(options.transfer, task, options.seed)
        with open_backend(options.model, self.progress) as backend, Leaderboard.open(options.leaderboard) as board:
            if self.known is None:
                board.check_name(options.name)
            manifest = Manifest.of(task.corpus, task.source.folder, task.source.revision, backend.device)
            if self.known is not None:
                check_unchanged(self.known, manifest, self.progress)
            with start_workers(task, options, backend) as pool:
                started = time.monotonic()
                ready = check_model(pool, task, options.model, self.progress)
                self.restart = time.monotonic() - started
                self._check_budget(task, pool)
                run = self.known or new_run(options, task, backend.workers, ready, manifest)
                held = holding(board.path, run.id) if self.known is None else nullcontext()
                rows = data_rows(run, task.corpus) if self.known is None else None
                with held, _recorded(board, run, rows, self.progress) as finish:
                    result = self._recorded_result(board, run, task, pool, ready)
                    result = replace(result, warnings=(*result.warnings, *backend.warnings))
                    finish(result)
        return result

    def _check_budget(self, task: Task, pool: WorkerPool) -> None:
        """Measure what a search costs here. Raises UsageError for a budget that is too short.

        The budget of a resumed run was checked when the run began.
        """
        options = self.options
        if self.budget.seconds is None or options.transfer is not None:
            return
        self.progress.stage("measuring")
        pool.model_check.measure(task.space.manual_tuned)
        rounds = options.repeats * (options.folds or 2)
        self.need = needed(pool.costs, task.space, options.strategy, len(task.corpus.test), rounds)
        if self.known is None:
            left_out = check_budget(self.budget, self.need, default=options.budget is None)
            if left_out:
                self.progress.note(left_out)

    def _warm_start_sources(self) -> list[Source]:
        """What a warm start's files contain; empty where the run has stored what it took from them."""
        if not self.options.warm_start or self.options.warm_start_data is not None:
            return []
        return read_warm_start(self.options.warm_start)

    def _with_warm_start(self, task: Task, sources: list[Source]) -> Task:
        """The task with the prompts and operator statistics of a warm start, which are also stored in the options."""
        if sources:
            found = adapt_warm_start(sources, task, self.progress)
            self.options = replace(self.options, warm_start_data=found)
        data = self.options.warm_start_data
        return task if data is None else replace(task, space=with_warm_start(task.space, data))

    def _recorded_result(
        self, board: Leaderboard, run: RunRecord, task: Task, pool: WorkerPool, ready: Readiness
    ) -> RunResult:
        """The result, with all evaluations recorded, also those before an interruption."""
        journal = StoredJournal(board, run.id, self.budget)
        recorder = Recorder(board, run, task.metric, {e.key: e for e in board.evaluations(run.id)}, journal.flush)
        forecast = Forecast(self.need, self.progress.expect)
        evaluator = pool.evaluator(
            self.progress, journal=journal, observers=[forecast.worked], on_idle=recorder.store_some
        )
        try:
            result = self._result(task, evaluator, ready, recorder, forecast)
        except (KeyboardInterrupt, SystemExit):
            recorder.store_after_interruption()
            raise
        recorder.store_all()
        return result

    def _result(
        self, task: Task, evaluator: Evaluator, ready: Readiness, recorder: Recorder, forecast: Forecast
    ) -> RunResult:
        """The result of the search (or the transfer) and the test."""
        options, progress, board = self.options, self.progress, recorder.board
        if options.transfer is None:
            outcome = self._search(task, evaluator, ready, recorder, forecast)
        else:
            progress.stage("fine-tune")
            outcome = score_transfer(evaluator, task, options.transfer, options.seed, recorder)
        test = options.transfer is None or options.transfer.split == "test"
        ending = end_search(task, evaluator, outcome, recorder, progress, forecast, test=test)
        recorder.store_estimates(outcome.judged)
        kept = ending.keep_winner(board.path)
        return _result(options, recorder, outcome, ending, self.budget, kept)

    def _search(
        self, task: Task, evaluator: Evaluator, ready: Readiness, recorder: Recorder, forecast: Forecast
    ) -> Outcome:
        options = self.options
        return Search(
            evaluator=evaluator,
            space=replace(task.space, vocabulary=ready.vocabulary, label_anywhere=ready.label_anywhere),
            strategy_name=options.strategy,
            seed=options.seed,
            budget=self.budget,
            test_rows=len(task.corpus.test),
            record=recorder,
            describe=self.progress.stage,
            folds=options.folds,
            repeats=options.repeats,
            refit=options.refit,
            restart=self.restart,
            forecast=forecast,
        ).run()


@contextmanager
def _recorded(
    board: Leaderboard, run: RunRecord, rows: Sequence[DataRow] | None, progress: Progress
) -> Iterator[Callable[[RunResult], None]]:
    """Record a run's start and end in the leaderboard, also where it is stopped or fails.

    Yields a function that stores the result. ``rows``: the run's data rows; None for a run that is resumed.
    """
    finished = False

    def finish(result: RunResult) -> None:
        nonlocal finished
        board.finish_run(run.id, "finished", result)
        finished = True

    if rows is not None:
        board.start_run(run, rows)
    else:
        board.finish_run(run.id, "running")
    status = "failed"
    try:
        yield finish
    except (KeyboardInterrupt, SystemExit):
        status = "stopped"
        progress.note(f"Stopped; go on with: {command_line('resume', run.id, leaderboard=board.path)}")
        raise
    finally:
        if not finished:
            board.finish_run(run.id, status, None)


def _result(
    options: SearchOptions,
    recorder: Recorder,
    outcome: Outcome,
    ending: Ending,
    budget: Budget,
    weights: str | None,
) -> RunResult:
    run = recorder.run
    reading = run.config.manifest.reading
    tests = ending.tests
    manual = outcome.baselines.get("manual_tuned")
    ours, theirs = ending.test, tests.get(manual.candidate.id) if manual else None
    if options.transfer is not None and not tests:
        ours, theirs = outcome.best, manual
    result = RunResult(
        run=run.id,
        corpus=options.corpus,
        data=reading.to_dict() if reading else None,
        model=run.model,
        evaluations=outcome.fitted,
        frozen=outcome.frozen,
        generations=outcome.generations,
        finalists=outcome.finalists,
        seconds=round(budget.spent, 3),
        best=scored_prompt(recorder, outcome.best, ending.test),
        weights=weights,
        versions=ending.compared(recorder),
        spread=spread(recorder, outcome),
        baselines={
            name: scored_prompt(recorder, own, tests.get(own.candidate.id)) if own else None
            for name, own in ((name, outcome.baselines.get(name)) for name in BASELINES)
        },
        difference=paired_difference(recorder, ours, theirs) if ours and theirs else None,
        transfer=_origin(options.transfer),
        warm_start=options.warm_start_data.runs if options.warm_start_data else [],
        warnings=run.config.warnings or (),
        history=[generation.to_dict() for generation in outcome.history],
        left_out=_left_out(options, outcome),
    )
    return replace(result, verdict=verdict(result))


def _left_out(options: SearchOptions, outcome: Outcome) -> list[str]:
    """Sentences on what was left out at the end, mostly for lack of time."""
    if options.transfer is not None:
        return []
    asked = options.repeats * (options.folds or 2)
    said = []
    if not outcome.finalists and options.max_evaluations is not None:
        said.append("The winner was not scored a second time: there was no other finalist.")
    elif not outcome.finalists:
        said.append("The winner was not scored a second time: no time was left for finalists.")
    elif outcome.rounds < asked:
        said.append(
            f"The finalists were scored on {outcome.rounds} of {asked} folds and repeats: no time was left for more."
        )
    if outcome.no_time_to_refit:
        said.append("The winner was not trained once more: no time was left for that.")
    return said


def _origin(transfer: StoredTransfer | None) -> Transferred | None:
    """Where a transferred prompt came from, and the split that it was scored on; None for a search."""
    if transfer is None:
        return None
    return Transferred(transfer.entry, transfer.run, transfer.corpus, transfer.model, transfer.split)
