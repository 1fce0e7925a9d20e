"""Refinement of an entry: its weights are fine-tuned further on its own rows and new ones, as a new entry."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from autoprompt.candidate import Candidate
from autoprompt.corpus import SPLITS, UNLABELED, Corpus
from autoprompt.errors import NothingSucceededError, StorageError, VerificationError
from autoprompt.evaluator import REFINING_VERSION, Evaluation, RefineResult, RefineTask, WorkerSpec, dispatch
from autoprompt.execution import scratch_folder
from autoprompt.leaderboard import (
    REFINE,
    DataRow,
    Leaderboard,
    Origin,
    RefineInputs,
    RunRecord,
    StoredManifest,
    keep_weights,
    kept_weights,
    pinned,
)
from autoprompt.manifest import Manifest
from autoprompt.metrics import Interval, Score, paired_bootstrap
from autoprompt.models import locate_model
from autoprompt.optimizer import join_parts
from autoprompt.results import Change, LossDifference, Refinement, RunResult
from autoprompt.run.backends import open_backend
from autoprompt.run.inputs import report_downloads
from autoprompt.run.options import DataOptions, ModelOptions, Progress
from autoprompt.run.ownership import mark_of
from autoprompt.run.recording import Recorder, data_rows, scored_prompt
from autoprompt.run.refine_inputs import Parent, add_new_rows, corpus_of, examples_of, new_rows
from autoprompt.run.resuming import manifest_of
from autoprompt.run.worker_pool import open_executor


def refine(
    entry: str,
    source: str,
    leaderboard: Path,
    progress: Progress,
    *,
    data: DataOptions = DataOptions(),  # noqa: B008 - frozen
    device: str = "auto",
    seed: int = 0,
    name: str | None = None,
) -> RunResult:
    """Fine-tune an entry's weights further on its own rows and new ones, and store the result as a new entry.

    The result is not stored where a paired test says that it got worse, or where its loss rose on both the old
    validation rows and the new rows; a winner that was trained once more has learnt the former, and is judged by the
    latter alone. Its ``refine`` says what changed; ``run`` and ``best`` are None if it was not stored.

    ``source``: new labelled rows, read as a search reads a corpus. All are used; of a corpus with splits, the training
    rows. Columns that are not named have the names of the entry's run. Rows that the entry's run already has are left
    out, its test rows included. Raises NotFoundError, UsageError, InputError, VerificationError where the model has
    changed, NothingSucceededError.
    """
    started = time.monotonic()
    with Leaderboard.open(leaderboard) as board:
        board.check_name(name)
        parent = Parent.of(board, entry)
        progress.stage("data")
        found = new_rows(parent, source, data, progress)
        corpus, new, notes = add_new_rows(parent, found)
        for note in notes:
            progress.note(note)
        start = kept_weights(board.path, parent.weights)
        task = RefineTask(parent.candidate, start, tuple(new), parent.validation_learnt)
        with _refined(parent.run, corpus, task, "fine-tune", device, seed, progress) as (done, manifest):
            weights = _complete(done)
            run = _record(parent, corpus, new, seed, name, manifest, notes)
            recorder = Recorder(board, run, run.config.metric)
            change = _change(parent, done, recorder, len(new))
            result = RunResult(
                corpus=run.corpus,
                model=run.model,
                evaluations=len(done.after),
                seconds=round(time.monotonic() - started, 3),
                warnings=notes,
                refine=change,
            )
            if change.kept:
                judges = done.on(new=parent.validation_learnt).after
                best = scored_prompt(recorder, join_parts(judges), None)
                result = replace(result, run=run.id, best=best, weights=keep_weights(board.path, weights))
                board.start_run(run, data_rows(run, corpus))
                recorder(done.after, "search")
                board.add([], [Origin(run.id, best.entry, REFINE, [parent.entry])])
                board.finish_run(run.id, "finished", result)
    return result


def repeat_refinement(
    board: Leaderboard, run: RunRecord, device: str, progress: Progress
) -> tuple[list[Evaluation], list[str]]:
    """Repeat the evaluations of a refined entry's run, from its parent's weights.

    Returns the evaluations, and how versions and machine differ (see ``manifest``). Raises as ``refine`` does.
    """
    stored = run.config.refine
    if stored is None:
        raise StorageError(f"The run {run.id} was stored without what it refined; refine the entry again.")
    rows = board.attached(DataRow, run.id)
    corpus = corpus_of(run, run.corpus, {split: examples_of(rows, split) for split in (*SPLITS, UNLABELED)})
    weights = kept_weights(board.path, stored.weights)
    task = RefineTask(Candidate.from_dict(stored.candidate), weights, tuple(stored.new), stored.validation_learnt)
    with _refined(run, corpus, task, "verify", device, run.seed, progress) as (done, manifest):
        return done.after, manifest_of(run).differences(manifest, ("code.scoring", "code.refining", "environment"))


# The model


@contextmanager
def _refined(
    run: RunRecord, corpus: Corpus, task: RefineTask, stage: str, device: str, seed: int, progress: Progress
) -> Iterator[tuple[RefineResult, Manifest]]:
    """The task's result with the run's model and the data, from one worker of this machine, and the manifest.

    The file with the new weights lasts as long as the context.
    """
    config = run.config
    progress.stage("model")
    source = locate_model(pinned(run.model, config.model_revision), report_downloads(progress))
    options = ModelOptions(run.model, device, workers=1)
    with open_backend(options, progress) as backend, scratch_folder() as scratch:
        manifest = _manifest(run, corpus, source.folder, backend.device)
        progress.stage(stage)
        spec = WorkerSpec(
            backend.model(source.folder),
            corpus.without_test(),
            seed,
            backend.device,
            config.max_length,
            backend.shared(scratch),
            scratch,
            config.metric,
            family=config.family,
            chat=config.chat,
        )
        with open_executor(backend, spec) as executor:
            (work,) = dispatch(executor, [task], limit=None)
        yield work.value, manifest


def _manifest(run: RunRecord, corpus: Corpus, folder: Path, device: str) -> Manifest:
    """The manifest of data, model, code and machine. Raises VerificationError for another model than the run's."""
    found = Manifest.of(corpus, folder, run.config.model_revision, device)
    found = replace(found, code={**found.code, "refining": REFINING_VERSION})
    changed = manifest_of(run).differences(found, ("model",))
    if changed:
        raise VerificationError(
            f"The weights of run {run.id} belong to another model: {'; '.join(changed)}; restore what it had."
        )
    return found


# The result


def _complete(done: RefineResult) -> Path:
    """The file with the new weights. Raises NothingSucceededError where an evaluation failed."""
    if done.weights is None:
        failed = next(one for one in chain(done.after, done.before) if not one.complete)
        raise NothingSucceededError(f"The fine-tune failed: {failed.reason}; nothing was changed.")
    return done.weights


def _record(
    parent: Parent, corpus: Corpus, new: Sequence[str], seed: int, name: str | None, manifest: Manifest,
    notes: Sequence[str],
) -> RunRecord:  # fmt: skip
    inputs = RefineInputs(
        entry=parent.entry,
        run=parent.run.id,
        weights=parent.weights,
        candidate=parent.candidate.to_dict(),
        new=list(new),
        validation_learnt=parent.validation_learnt,
    )
    id_ = uuid.uuid4().hex[:12]
    return replace(
        parent.run,
        id=id_,
        name=name,
        corpus=corpus.name,
        fingerprint=corpus.fingerprint,
        seed=seed,
        strategy=REFINE,
        config=parent.run.config.changed(
            budget=None,
            max_evaluations=None,
            corpus_revision="",
            templates=[],
            warm_start=None,
            transfer=None,
            request=None,
            mark=mark_of(id_, None),
            refine=inputs,
            warnings=list(notes),
            manifest=StoredManifest.from_dict(manifest.stored()),
        ),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        status="running",
        finished=None,
        result=None,
        environment=dict(manifest.environment),
    )


def _change(parent: Parent, done: RefineResult, recorder: Recorder, new: int) -> Refinement:
    """The outcome: scores before and after on the validation rows and on the new ones, and the paired test over both.

    The test compares losses (in nats), after minus before. Validation rows that the entry has learnt judge nothing.

    ``kept`` is False where the test says that the loss rose, and where the loss rose on all rows that judge, even if
    only by noise. Where the rows are too few for a test, it is False where the mean loss over all rows rose.
    """
    interval = _interval(done)
    known = (*parent.rows["train"], *(parent.rows["validation"] if parent.validation_learnt else ()))
    change = Refinement(
        entry=parent.entry,
        run=parent.run.id,
        rows={"old": len(known), "new": new, "judged": sum(len(one.losses) for one in done.after)},
        validation=_part(done.on(new=False), recorder),
        new=_part(done.on(new=True), recorder),
        difference=LossDifference(interval.mean, interval.low, interval.high),
    )
    worse = interval.mean > 0 if interval.low is None else interval.low > 0
    return replace(change, kept=not worse and not change.worse_on_all)


def _interval(done: RefineResult) -> Interval:
    """The paired test of losses, after minus before."""
    after, before = ([loss for one in side for loss in one.losses] for side in (done.after, done.before))
    return paired_bootstrap(after, before)


def _part(done: RefineResult, recorder: Recorder) -> Change:
    """Scores before and after, and whether the paired test tells them apart."""
    ends = _interval(done).ends if done.after else None
    clear = None if ends is None else not ends[0] <= 0 <= ends[1]
    return Change(_score(done.before, recorder), _score(done.after, recorder), clear)


def _score(parts: Sequence[Evaluation], recorder: Recorder) -> Score | None:
    """The score over several evaluations together; None of none."""
    if not parts:
        return None
    joined: dict[str, Any] = {
        name: tuple(chain(*(getattr(part, name) for part in parts)))
        for name in ("row_ids", "gold", "log_probs", "losses", "references")
    }
    return recorder.score(replace(parts[0], **joined))
