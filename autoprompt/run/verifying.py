"""Verification: evaluations of an entry or a run are repeated and compared with the stored ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from autoprompt.candidate import Candidate
from autoprompt.errors import InputError, VerificationError
from autoprompt.evaluator import Evaluation, Evaluator, Rung
from autoprompt.leaderboard import EVALUATED_SPLITS, REFINE, EvaluationRecord, Leaderboard, RunRecord
from autoprompt.manifest import INPUTS, Manifest
from autoprompt.optimizer import judged, teach
from autoprompt.results import EntryCheck, RepeatedEvaluation, RunVerification, Verification
from autoprompt.run.backends import Backend, open_backend
from autoprompt.run.inputs import Task, prepare_search
from autoprompt.run.options import PlaceOptions, Progress, SearchOptions, config_of
from autoprompt.run.refining import repeat_refinement
from autoprompt.run.repeating import options_here
from autoprompt.run.resuming import manifest_of
from autoprompt.run.worker_pool import check_model, start_workers

VERDICTS = ("exact", "within", "different")
CLASS = ("code.scoring", "environment")
"""Parts of the manifest that must be the same for bit-identical results."""
NEAR_LOSS, NEAR_FLIPS = 0.05, 0.05
"""Most that mean losses (in nats) and predictions (share of rows) may differ for the verdict ``within``, which needs a
change in the parts of ``CLASS``."""


@dataclass(frozen=True)
class _Repetition:
    """A stored evaluation and its repetition."""

    record: EvaluationRecord
    again: Evaluation

    @property
    def flipped(self) -> int:
        if not self.again.losses:
            return len(self.record.predictions)
        pairs = zip(self.record.predictions, self.again.predictions, strict=True)
        return sum(then != now for then, now in pairs)

    @property
    def exact(self) -> bool:
        then, now = self.record, self.again
        return (then.losses, then.log_probs, then.predictions, then.votes) == (
            list(now.losses),
            [list(row) for row in now.log_probs],
            now.predictions,
            [list(row) for row in now.votes],
        )

    @property
    def losses(self) -> tuple[float, float | None]:
        then, now = (math.fsum(v) / len(v) if v else None for v in (self.record.losses, self.again.losses))
        return then or 0.0, now

    @property
    def near(self) -> bool:
        then, now = self.losses
        return (
            now is not None
            and abs(then - now) <= NEAR_LOSS
            and self.flipped <= NEAR_FLIPS * len(self.record.predictions)
        )

    @property
    def result(self) -> RepeatedEvaluation:
        """The comparison, for readers."""
        record, (then, now) = self.record, self.losses
        return RepeatedEvaluation(
            split=record.split,
            rung=record.rung,
            fold=record.fold,
            repeat=record.repeat,
            n=len(record.predictions),
            flipped=self.flipped,
            exact=self.exact,
            loss=then,
            again=now,
        )


def verify(
    entry: str,
    leaderboard: Path,
    progress: Progress,
    *,
    rows: Mapping[str, Any] | None = None,
    started: float | None = None,
    place: PlaceOptions = PlaceOptions(),  # noqa: B008 - frozen
) -> Verification:
    """Repeat all evaluations of an entry, in the newest run that has it. Returns the JSON of ``verify --json``.

    ``rows``: splits in memory, for a run whose data were in memory. ``started``: when the command began (monotonic
    seconds). ``place``: as for ``resume``, but options for workers that it leaves open are those of a new search.

    Verdict ``exact``: every prediction and every loss is the same to the last bit. ``within``: program versions or
    machine have changed, and the results are near (see ``NEAR_LOSS``). Raises NotFoundError, InputError for an entry
    that only failed, VerificationError where data or model have changed.
    """
    with Leaderboard.open(leaderboard, read_only=True) as board:
        found = board.entry(entry)
        having = {record.run for record in found}
        run = next(run for run in board.runs() if run.id in having)
    records = [record for record in found if record.run == run.id and _verifiable(record)]
    if not records:
        raise InputError(f"The entry {entry!r} has nothing to verify: {found[0].reason}; name one that was scored.")
    options = options_here(run, leaderboard, rows, started, place, progress)
    checked, changed = _repeat(run, records, options, progress)
    return Verification(
        **vars(_entry_check(checked, changed)), run=run.id, changed=changed, evaluations=[one.result for one in checked]
    )


def verify_run(
    reference: str,
    leaderboard: Path,
    progress: Progress,
    *,
    rows: Mapping[str, Any] | None = None,
    started: float | None = None,
    place: PlaceOptions = PlaceOptions(),  # noqa: B008 - frozen
) -> RunVerification:
    """Repeat the evaluations of all entries of a run (its id or name). The verdict is the worst of all entries.

    Raises as ``verify`` does.
    """
    with Leaderboard.open(leaderboard, read_only=True) as board:
        run = board.run(reference)
        records = [record for record in board.evaluations(run.id) if _verifiable(record)]
    if not records:
        raise InputError(f"The run {reference!r} has nothing to verify; name one that scored a prompt.")
    options = options_here(run, leaderboard, rows, started, place, progress)
    checked, changed = _repeat(run, records, options, progress)
    of_entry: dict[str, list[_Repetition]] = {}
    for one in checked:
        of_entry.setdefault(one.record.entry, []).append(one)
    entries = [_entry_check(group, changed) for group in of_entry.values()]
    return RunVerification(
        run=run.id,
        verdict=max((entry.verdict for entry in entries), key=VERDICTS.index),
        flipped=sum(entry.flipped for entry in entries),
        n=sum(entry.n for entry in entries),
        changed=changed,
        entries=entries,
    )


def _verifiable(record: EvaluationRecord) -> bool:
    return record.status != "failed"


def _repeat(
    run: RunRecord, records: Sequence[EvaluationRecord], options: SearchOptions, progress: Progress
) -> tuple[list[_Repetition], list[str]]:
    """Each evaluation with its repetition, in order, and how versions and machine differ."""
    if run.strategy == REFINE:
        return _repeat_refinement(run, records, options, progress)
    task = prepare_search(options, config_of(options), progress)
    with open_backend(options.model, progress) as backend:
        return _repeat_search(run, records, options, task, backend, progress)


def _repeat_search(
    run: RunRecord,
    records: Sequence[EvaluationRecord],
    options: SearchOptions,
    task: Task,
    backend: Backend,
    progress: Progress,
) -> tuple[list[_Repetition], list[str]]:
    now = Manifest.of(task.corpus, task.source.folder, task.source.revision, backend.device)
    then = manifest_of(run)
    changed = then.differences(now, INPUTS)
    if changed:
        raise VerificationError(
            f"The run {run.id} cannot be verified: {'; '.join(changed)}; restore what it worked with."
        )
    with start_workers(task, options, backend) as pool:
        check_model(pool, task, options.model, progress)
        evaluator = pool.evaluator(progress)
        progress.stage("verify")
        again: dict[str, Evaluation] = {}
        for kind, group in _kinds(records).items():
            candidates = [record.candidate for record in group]
            answers = _answers(run, options, task) if kind.rung == Rung.REFITTED else []
            done = _repeat_kind(evaluator, task, kind, candidates, answers)
            again |= {record.key: evaluation for record, evaluation in zip(group, done, strict=True)}
    return [_Repetition(record, again[record.key]) for record in records], then.differences(now, CLASS)


def _repeat_refinement(
    run: RunRecord, records: Sequence[EvaluationRecord], options: SearchOptions, progress: Progress
) -> tuple[list[_Repetition], list[str]]:
    """As ``_repeat_search``, for a run that refined an entry."""
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        done, changed = repeat_refinement(board, run, options.model.device, progress)
    again = {evaluation.fold: evaluation for evaluation in done}
    return [_Repetition(record, again[record.fold]) for record in records], changed


class _Kind(NamedTuple):
    """Properties that evaluations must share to be repeated in one call."""

    split: str
    rung: int
    fold: int
    repeat: int
    pruned: bool


def _kinds(records: Sequence[EvaluationRecord]) -> dict[_Kind, list[EvaluationRecord]]:
    """Evaluations by kind, in the order of a search, so that a later rung reuses the fine-tunes of an earlier one."""
    groups: dict[_Kind, list[EvaluationRecord]] = {}
    for record in records:
        kind = _Kind(record.split, record.rung, record.fold, record.repeat, record.status == "pruned")
        groups.setdefault(kind, []).append(record)
    return dict(sorted(groups.items(), key=lambda item: (EVALUATED_SPLITS.index(item[0].split), item[0])))


def _repeat_kind(
    evaluator: Evaluator,
    task: Task,
    kind: _Kind,
    candidates: Sequence[Candidate],
    answers: Sequence[tuple[float, ...]],
) -> list[Evaluation]:
    """``answers``: those to the unlabelled rows that the winner was trained with once more."""
    if kind.split == "frozen":
        return evaluator.frozen(candidates)
    if kind.split == "test":
        if kind.rung == Rung.REFITTED:
            trained = evaluator.refit(candidates, answers)
        else:
            trained = evaluator.fit(candidates, counted=False)
        complete = [one for one in trained if one.complete]
        tested = {one.candidate.id: one for one in evaluator.test(complete, task.corpus.test)}
        return [tested.get(one.candidate.id, one) for one in trained]
    # A fine-tune that was stopped at its milestone is stopped there again, whatever its loss.
    bar = -math.inf if kind.pruned else None
    return evaluator.fit(candidates, rung=Rung(kind.rung), fold=kind.fold, repeat=kind.repeat, counted=False, bar=bar)


def _answers(run: RunRecord, options: SearchOptions, task: Task) -> list[tuple[float, ...]]:
    """The answers to the unlabelled rows that the run's winner was taught, from its stored votes."""
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        records = board.evaluations(run.id)
    index = {label: place for place, label in enumerate(task.corpus.labels)}
    gold = {row.row_id: index[row.label] for row in task.corpus.validation}
    voting = [
        Evaluation(
            record.candidate,
            record.rung,
            labels=task.corpus.labels,
            row_ids=tuple(record.row_ids),
            gold=tuple(gold[row] for row in record.row_ids),
            log_probs=tuple(map(tuple, record.log_probs)),
            losses=tuple(record.losses),
            votes=tuple(map(tuple, record.votes)),
        )
        for record in records
        if (record.split, record.rung, record.fold, record.repeat) == ("validation", Rung.TUNED, 0, 0)
        and record.status == "complete"
        and record.candidate.settings.tuning != "none"
    ]
    return teach(judged(voting, voting))


def _entry_check(checked: Sequence[_Repetition], changed: Sequence[str]) -> EntryCheck:
    """The JSON of one entry's verdict."""
    verdict = "different"
    if all(one.exact for one in checked):
        verdict = "exact"
    elif changed and all(one.near for one in checked):
        verdict = "within"
    return EntryCheck(
        entry=checked[0].record.entry,
        verdict=verdict,
        flipped=sum(one.flipped for one in checked),
        n=sum(len(one.record.predictions) for one in checked),
    )
