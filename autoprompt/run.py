"""The composition root: data, model, workers, search, leaderboard, and the one look at the test rows."""

from __future__ import annotations

import random
import re
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from autoprompt import corpus as corpora
from autoprompt.candidate import TUNING_MODES, Candidate, Settings, derived_seed
from autoprompt.corpus import Corpus
from autoprompt.errors import NothingSucceededError, UsageError
from autoprompt.evaluator import Evaluation, Evaluator, Rung, WorkerSpec, start_worker
from autoprompt.execution import LocalExecutor, default_workers
from autoprompt.export import FORMAT, VERSION, Prompt
from autoprompt.leaderboard import EvaluationRecord, Leaderboard, RunRecord
from autoprompt.manifest import environment
from autoprompt.metrics import METRICS, Score, classification_metrics, paired_bootstrap, score
from autoprompt.models import check_device, locate_model
from autoprompt.search import (
    STRATEGIES,
    Budget,
    Outcome,
    Search,
    SearchConfig,
    Space,
    demos_of,
    draw_demos,
    make_space,
)
from autoprompt.template import LabelWords, Template

DEFAULT_MODEL = "smollm2-135m"
DEFAULT_BUDGET = 300.0
DEFAULT_LEADERBOARD = "autoprompt.sqlite"
GENERIC_NAMES = ("label", "labels", "class", "target", "y")
BASELINES = ("manual", "manual_tuned", "null", "random")


@dataclass(frozen=True)
class DataOptions:
    """How a corpus is read; the fields are the command line's data options."""

    text_column: str | None = None
    label_column: str | None = None
    target_column: str | None = None
    drop_empty: bool = False
    drop_duplicates: bool = False
    max_length: int = 128
    test_rows: int = 400
    shots: int = 16


@dataclass(frozen=True)
class ModelOptions:
    """The model and where it runs."""

    model: str = DEFAULT_MODEL
    device: str = "auto"
    workers: int | None = None
    tuning: str = "tail"


@dataclass(frozen=True)
class SearchOptions:
    """All that one search is asked for."""

    corpus: str
    data: DataOptions = DataOptions()
    model: ModelOptions = ModelOptions()
    templates: tuple[str, ...] = ()
    label_words: dict[str, str] | None = None
    strategy: str = "hybrid"
    budget: float | None = None
    max_evaluations: int | None = None
    metric: str | None = None
    seed: int = 0
    name: str | None = None
    leaderboard: Path = Path(DEFAULT_LEADERBOARD)
    config: Path | None = None
    """A TOML file of ranges and sizes."""
    fix: dict[str, Any] = field(default_factory=dict)
    """The value of each gene that is not searched."""
    started: float = field(default_factory=time.monotonic, compare=False)


class Progress(Protocol):
    """What a view is told while a run goes on."""

    def stage(self, text: str) -> None: ...
    def note(self, text: str) -> None: ...
    def evaluated(self, evaluation: Evaluation | None, evaluator: Evaluator) -> None: ...


@dataclass(frozen=True)
class Task:
    """Checked input: nothing of it can fail for a reason that the user could have been told before."""

    corpus: Corpus
    space: Space
    metric: str

    @property
    def manual(self) -> Candidate:
        """The manual prompt with the default settings."""
        return self.space.manual


def search(options: SearchOptions, progress: Progress) -> dict[str, Any]:
    """Run a search and store it. Returns the JSON of ``autoprompt search --json``.

    Raises UsageError, InputError, StorageError, NothingSucceededError.
    """
    if options.strategy not in STRATEGIES:
        raise UsageError(f"The strategy {options.strategy!r} is unknown; use one of {', '.join(STRATEGIES)}.")
    config = SearchConfig.load(options.config) if options.config else SearchConfig()
    config.fixed(options.fix)
    if options.strategy == "gradient" and "template" in options.fix:
        raise UsageError("--strategy gradient varies nothing but the template; leave out --fix template.")
    budget = _budget(options)
    workers = _workers(options.model)
    progress.stage("data")
    task = prepare(options.corpus, options.data, options.model, options.templates, options.label_words,
                   options.metric, options.seed, config, options.fix)  # fmt: skip
    device = check_device(options.model.device)
    source = locate_model(options.model.model)
    with Leaderboard.open(options.leaderboard) as board:
        run = _new_run(options, task, source.name, device, workers)
        board.start_run(run)
        status = "failed"
        try:
            with _evaluator(task.corpus, source.folder, options, device, workers, progress) as evaluator:
                result = _search(options, task, run, board, evaluator, budget, progress)
            status = "finished"
            board.finish_run(run.id, status, result)
        except (KeyboardInterrupt, SystemExit):
            status = "stopped"
            raise
        finally:
            if status != "finished":
                board.finish_run(run.id, status, None)
    return result


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
    task = prepare(source_name, data, model, (template,), label_words, None, seed)
    if split == "test" and not task.corpus.test:
        raise UsageError(f"The corpus {source_name!r} has no test rows; use --split validation.")
    candidate = replace(task.manual, settings=task.manual.settings.change(**changes))
    device = check_device(model.device)
    source = locate_model(model.model)
    options = SearchOptions(source_name, data, model, seed=seed)
    with _evaluator(task.corpus, source.folder, options, device, _workers(model), progress) as evaluator:
        _check(evaluator, task, model, progress)
        progress.stage("fine-tune")
        (evaluation,) = evaluator.fit([candidate], counted=False)
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
        "metrics": classification_metrics(evaluation.log_probs, evaluation.gold, len(task.corpus.labels)),
        "n": len(evaluation.gold),
        "seconds": round(time.monotonic() - started, 3),
    }


def prompt_of(board: Leaderboard, entry: str) -> Prompt:
    """A leaderboard entry as a prompt to export. Raises NotFoundError."""
    evaluations = board.entry(entry)
    run = board.run(evaluations[0].run)
    scored = sorted((e for e in evaluations if e.score and e.rung > 0), key=lambda e: (e.rung, -e.fold))
    return Prompt(
        format=FORMAT,
        version=VERSION,
        model=run.model,
        corpus=run.corpus,
        fingerprint=run.fingerprint,
        entry=evaluations[0].entry,
        run=run.id,
        scores={e.split: e.score.to_dict() for e in scored if e.score},
        **evaluations[0].candidate.to_dict(),
    )


def prepare(
    source: str,
    data: DataOptions,
    model: ModelOptions,
    templates: Sequence[str],
    label_words: dict[str, str] | None,
    metric: str | None,
    seed: int,
    config: SearchConfig | None = None,
    fix: Mapping[str, Any] | None = None,
) -> Task:
    """Load and check data, templates, label words, settings and ranges, all before a model is touched."""
    if model.tuning not in TUNING_MODES:
        raise UsageError(f"The tuning mode {model.tuning!r} is unknown; use one of {', '.join(TUNING_MODES)}.")
    if metric is not None and metric not in METRICS:
        raise UsageError(f"The metric {metric!r} is unknown; use one of {', '.join(METRICS)}.")
    if data.max_length < 1:
        raise UsageError(f"--max-length is {data.max_length}; give at least 1 token.")
    parsed = [Template.parse(text) for text in templates]
    corpus = corpora.load(
        source,
        shots=data.shots,
        seed=seed,
        text_column=data.text_column,
        label_column=data.label_column,
        target_column=data.target_column,
        drop_empty=data.drop_empty,
        drop_duplicates=data.drop_duplicates,
        test_rows=data.test_rows,
    )
    if corpus.task == "generation":
        raise UsageError(f"The corpus {source!r} is for generation, which is not searched yet; use one with labels.")
    bound = [t.bind(corpus.fields, corpus.label_column) for t in parsed]
    manual = bound[0] if bound else Template.parse(corpus.manual_template).bind(corpus.fields, corpus.label_column)
    words = LabelWords.of(label_words if label_words is not None else corpus.label_words, corpus.labels)
    settings = Settings.default(model.tuning, len(corpus.train))
    candidates = [_shown(Candidate(t, words, settings), corpus, seed) for t in (manual, *bound[1:])]
    space = make_space(
        candidates[0], candidates[1:], _label_name(corpus, manual), corpus, config or SearchConfig(), fix or {}, seed
    )
    return Task(corpus, space, metric or corpus.metric)


def _shown(candidate: Candidate, corpus: Corpus, seed: int) -> Candidate:
    """The candidate with as many solved examples as its template asks for."""
    rng = random.Random(derived_seed(seed, "demos"))  # noqa: S311
    return replace(candidate, demos=draw_demos(demos_of(corpus), candidate.template.demos, rng))


def _budget(options: SearchOptions) -> Budget:
    seconds = options.budget
    if seconds is None and options.max_evaluations is None:
        seconds = DEFAULT_BUDGET
    return Budget(seconds, options.max_evaluations, started=options.started)


def _workers(model: ModelOptions) -> int:
    if model.workers is None:
        return default_workers()
    if model.workers < 1:
        raise UsageError(f"--workers is {model.workers}; give at least 1.")
    return model.workers


@contextmanager
def _evaluator(
    corpus: Corpus, folder: Path, options: SearchOptions, device: str, workers: int, progress: Progress
) -> Iterator[Evaluator]:
    """Workers with the model and the search's rows; the test rows stay here."""
    with tempfile.TemporaryDirectory(prefix="autoprompt-", ignore_cleanup_errors=True) as scratch:
        spec = WorkerSpec(folder, corpus.without_test(), options.seed, device, options.data.max_length, Path(scratch))
        executor = LocalExecutor(workers, start_worker, (spec,))
        try:
            evaluator = Evaluator(executor, corpus.without_test(), lambda e: progress.evaluated(e, evaluator))
            yield evaluator
        finally:
            executor.close()


def _check(evaluator: Evaluator, task: Task, model: ModelOptions, progress: Progress) -> tuple[str, ...]:
    """What only the model knows: cut rows, words, modes. Returns the vocabulary's whole words."""
    progress.stage("model")
    ready = evaluator.check(task.space.start)
    if model.tuning not in ready.tuning_modes:
        raise UsageError(
            f"The model {model.model!r} cannot be tuned with {model.tuning!r}; use --tuning "
            f"{' or '.join(ready.tuning_modes)}."
        )
    for warning in task.corpus.warnings:
        progress.note(warning)
    if ready.cut_rows:
        rows = len(task.corpus.train) + len(task.corpus.validation)
        progress.note(f"{ready.cut_rows} of {rows} training and validation rows have a field cut to --max-length.")
    return ready.vocabulary


def _new_run(options: SearchOptions, task: Task, model: str, device: str, workers: int) -> RunRecord:
    return RunRecord(
        id=uuid.uuid4().hex[:12],
        name=options.name,
        corpus=options.corpus,
        fingerprint=task.corpus.fingerprint,
        model=model,
        seed=options.seed,
        strategy=options.strategy,
        config={
            "budget": options.budget,
            "max_evaluations": options.max_evaluations,
            "tuning": options.model.tuning,
            "workers": workers,
            "shots": options.data.shots,
            "max_length": options.data.max_length,
            "test_rows": options.data.test_rows,
            "metric": task.metric,
            "templates": [c.template.format() for c in (task.manual, *task.space.seeds)],
            "label_words": task.manual.label_words.mapping(),
            "search": task.space.config.model_dump(mode="json", exclude_defaults=True),
            "fix": options.fix,
            "warnings": list(task.corpus.warnings),
        },
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=environment(device),
    )


@dataclass(frozen=True)
class _Recorder:
    """Turns evaluations into the leaderboard's records."""

    board: Leaderboard
    run: RunRecord
    task: Task

    def __call__(self, evaluations: Sequence[Evaluation], role: str) -> None:
        self.board.add([self._record(e, role) for e in evaluations])

    def score(self, evaluation: Evaluation) -> Score:
        """The readable score; its loss is what ranks, on the frozen rung the proxy's."""
        values = score(evaluation.log_probs, evaluation.gold, len(self.task.corpus.labels), self.task.metric)
        return replace(values, loss=evaluation.loss)

    def entry(self, candidate: Candidate) -> str:
        """The leaderboard's name of a candidate in this run."""
        return candidate.entry(self.run.fingerprint, self.run.model, self.run.seed)

    def _record(self, evaluation: Evaluation, role: str) -> EvaluationRecord:
        failed = evaluation.status == "failed"
        run, device = self.run, self.run.environment["device"]
        return EvaluationRecord(
            run=run.id,
            key=evaluation.key(model=run.model, fingerprint=run.fingerprint, seed=run.seed, device=device),
            entry=self.entry(evaluation.candidate),
            candidate=evaluation.candidate,
            role=role,
            split=evaluation.split,
            rung=int(evaluation.rung),
            fold=evaluation.fold,
            repeat=evaluation.repeat,
            status=evaluation.status,
            reason=evaluation.reason,
            score=None if failed else self.score(replace(evaluation, status="complete")),
            log_probs=[list(row) for row in evaluation.log_probs],
            predictions=evaluation.predictions,
            row_ids=list(evaluation.row_ids),
            readability=evaluation.readability,
            seconds=evaluation.seconds,
            tokens=evaluation.tokens,
        )


def _search(
    options: SearchOptions,
    task: Task,
    run: RunRecord,
    board: Leaderboard,
    evaluator: Evaluator,
    budget: Budget,
    progress: Progress,
) -> dict[str, Any]:
    vocabulary = _check(evaluator, task, options.model, progress)
    recorder = _Recorder(board, run, task)
    outcome = Search(
        evaluator=evaluator,
        space=replace(task.space, vocabulary=vocabulary),
        strategy_name=options.strategy,
        seed=options.seed,
        budget=budget,
        test_rows=len(task.corpus.test),
        record=recorder,
        describe=progress.stage,
    ).run()
    tests = _open_test(task.corpus, evaluator, outcome, recorder, progress)
    return {
        "run": run.id,
        "corpus": options.corpus,
        "model": run.model,
        "evaluations": outcome.fitted,
        "frozen": outcome.frozen,
        "generations": outcome.generations,
        "seconds": round(budget.spent, 3),
        "best": _described(recorder, outcome.best, tests),
        "baselines": {
            name: _described(recorder, outcome.baselines[name], tests) if name in outcome.baselines else None
            for name in BASELINES
        },
        "difference": _difference(outcome, tests),
    }


def _label_name(corpus: Corpus, manual: Template) -> str:
    """What phrases call the label: the word that the manual template asks with, else its column's name."""
    asked = re.search(r"([^\W\d_]+):\s*$", manual.literals[-1]) if manual.literals else None
    name = asked[1] if asked else corpus.label_column.replace("_", " ")
    return "category" if name.lower() in GENERIC_NAMES else name


def _open_test(
    corpus: Corpus, evaluator: Evaluator, outcome: Outcome, recorder: _Recorder, progress: Progress
) -> dict[str, Evaluation]:
    """Score the test rows once, with the winner and the manual baselines, all trained on the training rows."""
    if not corpus.test:
        return {}
    progress.stage("test")
    wanted = [outcome.trained, *(outcome.baselines[n] for n in ("manual", "manual_tuned") if n in outcome.baselines)]
    unique = list({e.candidate.id: e for e in wanted}.values())
    tested = evaluator.test([replace(e, rung=Rung.TUNED, fold=0) for e in unique], corpus.test)
    recorder(tested, "finalist")
    return {e.candidate.id: e for e in tested if e.complete}


def _described(recorder: _Recorder, evaluation: Evaluation, tests: dict[str, Evaluation]) -> dict[str, Any]:
    candidate = evaluation.candidate
    tested = tests.get(candidate.id)
    return {
        "entry": recorder.entry(candidate),
        **candidate.to_dict(),
        "validation": recorder.score(evaluation).to_dict(),
        "test": recorder.score(tested).to_dict() if tested else None,
    }


def _difference(outcome: Outcome, tests: dict[str, Evaluation]) -> dict[str, float] | None:
    """Test accuracy of the winner minus that of ``manual_tuned``, with a paired bootstrap interval."""
    tuned = outcome.baselines.get("manual_tuned")
    ours = tests.get(outcome.best.candidate.id)
    theirs = tests.get(tuned.candidate.id) if tuned else None
    if ours is None or theirs is None:
        return None
    right = [[float(p == e.candidate.label_words.labels[g]) for p, g in zip(e.predictions, e.gold, strict=True)]
             for e in (ours, theirs)]  # fmt: skip
    interval = paired_bootstrap(right[0], right[1])
    return {"accuracy": interval.mean, "low": interval.low, "high": interval.high}
