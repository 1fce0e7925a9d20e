"""Refinement of an entry: its weights are fine-tuned further on its own rows and new ones, as a new entry."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from autoprompt.candidate import Candidate
from autoprompt.corpus import Corpus
from autoprompt.corpus.types import SPLITS
from autoprompt.errors import NothingSucceededError, VerificationError
from autoprompt.evaluator import Evaluation, WorkerSpec
from autoprompt.evaluator.refining import REFINING_VERSION, Refined, refined
from autoprompt.evaluator.worker import Worker
from autoprompt.execution.scratch import scratch_folder
from autoprompt.leaderboard import DataRow, Leaderboard, Origin, RunRecord, keep_weights, kept_weights
from autoprompt.leaderboard.records import REFINE, pinned
from autoprompt.leaderboard.refined import worse_on_both
from autoprompt.manifest import differences, manifest
from autoprompt.metrics import Interval, paired_bootstrap
from autoprompt.models import check_device, locate_model
from autoprompt.models.adaptation.peft_io import load_delta
from autoprompt.models.saving import save
from autoprompt.run.options import DataOptions, Progress
from autoprompt.run.ownership import MARK, mark_of
from autoprompt.run.recording import Recorder, data_rows, described
from autoprompt.run.refine_inputs import Parent, corpus_of, examples_of, joined, new_rows
from autoprompt.run.resuming import manifest_of
from autoprompt.run.worker_pool import pulling


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
) -> dict[str, Any]:
    """Fine-tune an entry's weights further on its own rows and new ones, and store the result as a new entry.

    The result is not stored where a paired test says that it got worse, or where its loss rose on both the old
    validation rows and the new rows. Returns the JSON of ``refine --json``, in the form of ``search --json``.

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
        corpus, new, notes = joined(parent, found)
        for note in notes:
            progress.note(note)
        progress.stage("model")
        with _worker(parent.run, corpus, device, seed, progress) as worker:
            facts = _facts(parent.run, corpus, worker)
            progress.stage("fine-tune")
            done = refined(worker, parent.candidate, load_delta(kept_weights(board.path, parent.weights)), new)
        _check(done)
        run = _record(parent, corpus, new, seed, name, facts, notes)
        recorder = Recorder(board, run, run.config["metric"])
        told = _told(parent, done, recorder, len(corpus.train) - len(new), len(new))
        result = _result(recorder, done, told, notes)
        result["seconds"] = round(time.monotonic() - started, 3)
        if told["kept"]:
            result["weights"] = _kept(board, done)
            board.start_run(run, data_rows(run, corpus))
            recorder(done.after, "search")
            board.add([], [Origin(run.id, result["best"]["entry"], REFINE, [parent.entry])])
            board.finish_run(run.id, "finished", result)
    return result


def done_again(
    board: Leaderboard, run: RunRecord, device: str, progress: Progress
) -> tuple[list[Evaluation], list[str]]:
    """Repeat the evaluations of a refined entry's run, from its parent's weights.

    Returns the evaluations, and how versions and machine differ (see ``manifest``). Raises as ``refine`` does.
    """
    told = run.config["refine"]
    rows = board.attached(DataRow, run.id)
    corpus = corpus_of(run, run.corpus, {split: examples_of(rows, split) for split in SPLITS})
    candidate = Candidate.from_dict(told["candidate"])
    with _worker(run, corpus, device, run.seed, progress) as worker:
        facts = _facts(run, corpus, worker)
        progress.stage("verify")
        done = refined(worker, candidate, load_delta(kept_weights(board.path, told["weights"])), told["new"])
    return done.after, differences(manifest_of(run), facts, ("code.scoring", "code.refining", "environment"))


# The model


@contextmanager
def _worker(run: RunRecord, corpus: Corpus, device: str, seed: int, progress: Progress) -> Iterator[Worker]:
    """A worker in this process, with the run's model and the data."""
    source = locate_model(pinned(run.model, run.config["model_revision"]), pulling(progress))
    config = run.config
    with scratch_folder() as scratch:
        yield Worker(
            WorkerSpec(
                source.folder,
                corpus.without_test(),
                seed,
                check_device(device),
                config["max_length"],
                scratch,
                scratch,
                config["metric"],
                family=config["family"],
                chat=config["chat"],
            )
        )


def _facts(run: RunRecord, corpus: Corpus, worker: Worker) -> dict[str, Any]:
    """The manifest of data, model, code and machine. Raises VerificationError for another model than the run's."""
    folder = Path(worker.spec.model_folder)
    facts = manifest(corpus, corpus.test, folder, run.config["model_revision"], worker.spec.device)
    facts["code"]["refining"] = REFINING_VERSION
    changed = differences(manifest_of(run), facts, ("model",))
    if changed:
        raise VerificationError(
            f"The weights of run {run.id} belong to another model: {'; '.join(changed)}; bring back what it had."
        )
    return facts


# The result


def _check(done: Refined) -> None:
    failed = next((one for one in chain(done.after, done.before) if not one.complete), None)
    if failed is not None:
        raise NothingSucceededError(f"The fine-tune failed: {failed.reason}; nothing was changed.")


def _record(
    parent: Parent, corpus: Corpus, new: Sequence[str], seed: int, name: str | None, facts: Mapping[str, Any],
    notes: Sequence[str],
) -> RunRecord:  # fmt: skip
    told = {
        "entry": parent.entry,
        "run": parent.run.id,
        "weights": parent.weights,
        "candidate": parent.candidate.to_dict(),
        "new": list(new),
    }
    id_ = uuid.uuid4().hex[:12]
    return replace(
        parent.run,
        id=id_,
        name=name,
        corpus=corpus.name,
        fingerprint=corpus.fingerprint,
        seed=seed,
        strategy=REFINE,
        config={
            **parent.run.config,
            "budget": None,
            "max_evaluations": None,
            "corpus_revision": "",
            "templates": [],
            "warm_start": None,
            "transfer": None,
            "request": None,
            MARK: mark_of(id_, None),
            "refine": told,
            "warnings": list(notes),
            "manifest": {part: facts[part] for part in ("data", "model", "code")},
        },
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        status="running",
        finished=None,
        result=None,
        environment=facts["environment"],
    )


def _told(parent: Parent, done: Refined, recorder: Recorder, old: int, new: int) -> dict[str, Any]:
    """The outcome: scores before and after on the validation rows and on the new ones, and the paired test over both.

    The test compares losses (in nats), after minus before.

    ``kept`` is False where the test says that the loss rose, and where the loss rose on both the old and the new rows,
    even if only by noise. Where the rows are too few for a test, it is False where the mean loss over all rows rose.
    """
    interval = _interval(done, slice(None))
    told = {
        "entry": parent.entry,
        "run": parent.run.id,
        "rows": {"old": old, "new": new, "judged": sum(len(one.losses) for one in done.after)},
        "validation": _part(done, slice(1), recorder),
        "new": _part(done, slice(1, None), recorder),
        "difference": {"loss": interval.mean, "low": interval.low, "high": interval.high},
    }
    worse = interval.mean > 0 if interval.low is None else interval.low > 0
    return told | {"kept": not worse and not worse_on_both(told)}


def _interval(done: Refined, folds: slice) -> Interval:
    """The paired test of losses, after minus before, over the rows of some folds."""
    after, before = ([loss for one in side[folds] for loss in one.losses] for side in (done.after, done.before))
    return paired_bootstrap(after, before)


def _part(done: Refined, folds: slice, recorder: Recorder) -> dict[str, Any]:
    """Scores before and after over some folds. ``clear``: whether the paired test tells them apart; None where the rows
    are too few for it."""
    scores = {"before": _score(done.before[folds], recorder), "after": _score(done.after[folds], recorder)}
    ends = _interval(done, folds).ends if done.after[folds] else None
    return scores | {"clear": None if ends is None else not ends[0] <= 0 <= ends[1]}


def _score(parts: Sequence[Evaluation], recorder: Recorder) -> dict[str, Any] | None:
    """The score of several evaluations as if they were one; None without any."""
    if not parts:
        return None
    joined: dict[str, Any] = {
        name: tuple(chain(*(getattr(part, name) for part in parts)))
        for name in ("row_ids", "gold", "log_probs", "losses", "references")
    }
    whole = replace(parts[0], **joined)
    return recorder.score(whole).to_dict()


def _result(recorder: Recorder, done: Refined, told: Mapping[str, Any], notes: Sequence[str]) -> dict[str, Any]:
    """The result in the form of a search's; ``run`` and ``best`` are None where the refined weights are not kept."""
    kept = bool(told["kept"])
    return {
        "run": recorder.run.id if kept else None,
        "corpus": recorder.run.corpus,
        "data": None,
        "model": recorder.run.model,
        "evaluations": len(done.after),
        "frozen": 0,
        "generations": 0,
        "finalists": 0,
        "seconds": 0.0,
        "best": described(recorder, done.after[0], {}) if kept else None,
        "weights": None,
        "spread": None,
        "baselines": {},
        "difference": None,
        "transfer": None,
        "warm_start": [],
        "refine": dict(told),
        "warnings": list(notes),
        "history": [],
    }


def _kept(board: Leaderboard, done: Refined) -> str:
    with scratch_folder() as scratch:
        file = scratch / "weights.safetensors"
        save(done.weights, file, "The refined weights")
        return keep_weights(board.path, file)
