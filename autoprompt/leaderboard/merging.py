"""Leaderboards of several machines in one: what both have unites, and what does not fit together is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from autoprompt.leaderboard.attached import Attached, DataRow, Origin, Step
from autoprompt.leaderboard.locks import is_held
from autoprompt.leaderboard.records import EvaluationRecord, RunRecord
from autoprompt.leaderboard.store import Leaderboard
from autoprompt.leaderboard.weights import bring

_Outcome = tuple[Any, ...]


@dataclass
class Merged:
    """What became of another leaderboard's runs. ``weights``: files of their winners' that lay beside it.

    ``conflicts``: runs of one id that went different ways, or that a driver works on here (ours stays), names that are
    taken (the run comes without its own), and evaluations of one key that ended differently in two runs.
    """

    added: list[str] = field(default_factory=list)
    extended: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    evaluations: int = 0
    weights: int = 0
    conflicts: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def merge(board: Leaderboard, other: Leaderboard) -> Merged:
    """Take the other leaderboard's runs into ``board``, each whole or not at all; ``other`` stays as it is.

    Merging twice changes nothing. A run that was going on when it was copied counts as stopped: it can be resumed.
    Raises StorageError.
    """
    merged = Merged()
    ours = {run.id: run for run in board.runs()}
    names = {run.name: run.id for run in ours.values() if run.name is not None}
    outcomes = _outcomes(board.evaluations())
    for run in reversed(other.runs()):  # the oldest first, as they were begun
        theirs = other.evaluations(run.id)
        _tell_differing(merged, outcomes, theirs)
        known = ours.get(run.id)
        if known is None:
            if run.name is not None and run.name in names:
                merged.conflicts.append(f"run {run.id}: its name {run.name!r} is run {names[run.name]}'s here")
                run = replace(run, name=None)
            merged.added.append(run.id)
            merged.evaluations += len(theirs)
            board.take_in(_stopped(run), theirs, _beside(other, run.id))
        else:
            _unite(merged, board, other, known, run, theirs)
        weights = (run.result or {}).get("weights")
        if run.id in (*merged.added, *merged.extended) and weights:
            merged.weights += bring(board.path, other.path, weights)
    return merged


def _unite(
    merged: Merged,
    board: Leaderboard,
    other: Leaderboard,
    known: RunRecord,
    run: RunRecord,
    theirs: list[EvaluationRecord],
) -> None:
    """A run that both have: one copy may be further than the other."""
    ours = _of_run(board.evaluations(run.id))
    new = _of_run(theirs)
    shared = ours.keys() & new.keys()
    if any(ours[key] != new[key] for key in shared) or (ours.keys() - new.keys() and new.keys() - ours.keys()):
        merged.conflicts.append(f"run {run.id}: the two copies went different ways")
    elif new.keys() <= ours.keys() and (known.status == "finished" or run.status != "finished"):
        merged.known.append(run.id)
    elif is_held(board.path, run.id):
        merged.conflicts.append(
            f"run {run.id}: it is going on here, and the other copy is further; merge after its end"
        )
    else:
        missing = [record for record in theirs if record.key not in ours]
        merged.extended.append(run.id)
        merged.evaluations += len(missing)
        board.take_in(_stopped(replace(run, name=known.name)), missing, _beside(other, run.id))


def _beside(board: Leaderboard, run: str) -> list[Attached]:
    return [*board.attached(DataRow, run), *board.attached(Origin, run), *board.attached(Step, run)]


def _stopped(run: RunRecord) -> RunRecord:
    """Its driver, if it has one, works on another file."""
    return replace(run, status="stopped") if run.status == "running" else run


def _of_run(records: Iterable[EvaluationRecord]) -> dict[str, _Outcome]:
    return {record.key: _outcome(record) for record in records}


def _outcome(record: EvaluationRecord) -> _Outcome:
    return record.status, tuple(record.losses), tuple(record.predictions)


def _outcomes(records: Iterable[EvaluationRecord]) -> dict[str, tuple[str, _Outcome]]:
    """Of each key, the first complete evaluation: its run and how it ended."""
    found: dict[str, tuple[str, _Outcome]] = {}
    for record in records:
        if record.status == "complete":
            found.setdefault(record.key, (record.run, _outcome(record)))
    return found


def _tell_differing(
    merged: Merged, outcomes: Mapping[str, tuple[str, _Outcome]], theirs: Iterable[EvaluationRecord]
) -> None:
    for record in theirs:
        run, outcome = outcomes.get(record.key, (record.run, None))
        if run != record.run and record.status == "complete" and outcome != _outcome(record):
            merged.conflicts.append(
                f"entry {record.entry[:12]}: its {record.split} evaluation (rung {record.rung}, fold {record.fold}, "
                f"repeat {record.repeat}) ended differently in the runs {run} and {record.run}"
            )
