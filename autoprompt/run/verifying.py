"""Doing an entry's evaluations again: the same numbers, nearly the same, or others."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoprompt.candidate import Candidate
from autoprompt.errors import InputError, VerificationError
from autoprompt.evaluator import Evaluation, Evaluator, Rung
from autoprompt.leaderboard import EvaluationRecord, Leaderboard, RunRecord
from autoprompt.manifest import INPUTS, differences, manifest
from autoprompt.models import check_device
from autoprompt.run.options import Progress, workers_of
from autoprompt.run.preparing import Task
from autoprompt.run.resuming import manifest_of, requested
from autoprompt.run.workplace import check_model, prepared, workplace

CLASS = ("code.scoring", "environment")
"""What has to be the same for the same bits."""
NEAR_LOSS, NEAR_FLIPS = 0.05, 0.05
"""How far mean losses (nats) and predictions (a share) may be apart where the class is another."""


@dataclass(frozen=True)
class _Checked:
    """One evaluation, then and now."""

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
        return (then.losses, then.log_probs) == (list(now.losses), [list(row) for row in now.log_probs]) and (
            then.predictions == now.predictions
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

    def to_dict(self) -> dict[str, Any]:
        then, now = self.losses
        names = ("split", "rung", "fold", "repeat")
        return {name: getattr(self.record, name) for name in names} | {
            "n": len(self.record.predictions),
            "flipped": self.flipped,
            "exact": self.exact,
            "loss": then,
            "again": now,
        }


def verify(
    entry: str,
    leaderboard: Path,
    progress: Progress,
    *,
    rows: Mapping[str, Any] | None = None,
    started: float | None = None,
) -> dict[str, Any]:
    """Do all evaluations of an entry again, in the newest run that has it. Returns the JSON of ``verify --json``.

    ``rows``: splits in memory, for a run whose data lay there. ``started``: when the command began (monotonic seconds).
    ``exact``: every prediction and every loss is the same to the last bit. Where program versions or machine are not
    what they were, ``within`` says that it came near. Raises NotFoundError, InputError for an entry that only failed,
    StorageError for a run without a manifest, VerificationError where data or model are not what they were.
    """
    with Leaderboard.open(leaderboard, read_only=True) as board:
        found = board.entry(entry)
        having = {record.run for record in found}
        run = next(run for run in board.runs() if run.id in having)
    records = [record for record in found if record.run == run.id and record.status != "failed" and record.losses]
    if not records:
        raise InputError(f"The entry {entry!r} has nothing to verify: {found[0].reason}; name one that was scored.")
    options = requested(run, leaderboard, rows, time.monotonic() if started is None else started)
    task = prepared(options, progress)
    device = check_device(options.model.device)
    now = manifest(task.corpus, task.corpus.test, task.source.folder, task.source.revision, device)
    then = manifest_of(run)
    changed = differences(then, now, INPUTS)
    if changed:
        raise VerificationError(
            f"The entry {found[0].entry[:12]} cannot be verified: {'; '.join(changed)}; bring back what run {run.id} "
            "worked with."
        )
    with workplace(task, options, device, workers_of(options.model), progress) as evaluator:
        check_model(evaluator, task, options.model, progress)
        progress.stage("verify")
        checked = [_Checked(record, again) for record, again in _again(evaluator, task, records)]
    return _report(run, checked, differences(then, now, CLASS))


def _again(
    evaluator: Evaluator, task: Task, records: Sequence[EvaluationRecord]
) -> list[tuple[EvaluationRecord, Evaluation]]:
    candidate = records[0].candidate
    return [(record, _evaluated(evaluator, task, candidate, record)) for record in records]


def _evaluated(evaluator: Evaluator, task: Task, candidate: Candidate, record: EvaluationRecord) -> Evaluation:
    if record.split == "frozen":
        return evaluator.frozen([candidate])[0]
    if record.split == "test":
        (trained,) = evaluator.fit([candidate], counted=False)
        return evaluator.test([trained], task.corpus.test)[0] if trained.complete else trained
    # What was stopped at its milestone is stopped there again, whatever its loss.
    bar = -math.inf if record.status == "pruned" else None
    (again,) = evaluator.fit(
        [candidate], rung=Rung(record.rung), fold=record.fold, repeat=record.repeat, counted=False, bar=bar
    )
    return again


def _report(run: RunRecord, checked: Sequence[_Checked], changed: Sequence[str]) -> dict[str, Any]:
    verdict = "different"
    if all(one.exact for one in checked):
        verdict = "exact"
    elif changed and all(one.near for one in checked):
        verdict = "within"
    return {
        "entry": checked[0].record.entry,
        "verdict": verdict,
        "flipped": sum(one.flipped for one in checked),
        "n": sum(len(one.record.predictions) for one in checked),
        "run": run.id,
        "changed": list(changed),
        "evaluations": [one.to_dict() for one in checked],
    }
