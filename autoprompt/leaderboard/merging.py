"""Leaderboards of several machines in one: what both have unites, and what does not fit together is told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from autoprompt.errors import StorageError
from autoprompt.leaderboard.checks import DamagedError, RefusedError
from autoprompt.leaderboard.locks import is_held
from autoprompt.leaderboard.records import EvaluationRecord, RunRecord
from autoprompt.leaderboard.run_tables import Attached, DataRow, Origin, Step
from autoprompt.leaderboard.store import Leaderboard
from autoprompt.leaderboard.weights import bring_all, named_by

_Outcome = tuple[Any, ...]


@dataclass
class Merged:
    """What became of another leaderboard's runs. ``weights``: files that came along; ``missing``: a sentence for each
    that did not. ``refused``: a sentence for each run that cannot be read, or is none of this program's.

    ``conflicts``: runs of one id that went different ways, or that a driver works on here (ours stays), names that are
    taken (the run comes without its own), and evaluations of one key that ended differently in two runs.
    """

    added: list[str] = field(default_factory=list)
    extended: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    evaluations: int = 0
    weights: int = 0
    conflicts: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def merge(board: Leaderboard, other: Leaderboard) -> Merged:
    """Take the other leaderboard's runs into ``board``, each whole or not at all; ``other`` stays as it is.

    Each is checked like anything that is stored here. Merging twice changes nothing, except that weights which were
    missing come along. A run that was going on when it was copied counts as stopped: it can be resumed.

    Raises StorageError, also where every run of ``other`` is refused.
    """
    merged = Merged()
    theirs = other.listed_runs()
    ids = [run.id for run in theirs]
    refused: list[StorageError] = [*theirs.problems]
    for run in reversed(ids):  # the oldest first, as they were begun
        try:
            named = _take(merged, board, other, other.run(run))
        except RefusedError as error:
            refused.append(error)
            continue
        brought, missing = bring_all(board.path, other.path, named)
        merged.weights += brought
        merged.missing += missing
    merged.refused = [str(error) for error in refused]
    taken = merged.added or merged.extended or merged.known or merged.conflicts
    if refused and (not taken or any(isinstance(error, DamagedError) for error in refused)):
        raise refused[0]
    return merged


def _take(merged: Merged, board: Leaderboard, other: Leaderboard, run: RunRecord) -> list[str]:
    """Take one run in. Returns the weights that it needs here. Raises RefusedError before anything is stored."""
    evaluations, beside = other.evaluations(run.id), _beside(other, run.id)
    _tell_differing(merged, board, evaluations)
    known = board.find(run.id)
    if known is not None:
        return _unite(merged, board, known, run, evaluations, beside)
    taken = board.user_of(run.name)
    if taken is not None:
        merged.conflicts.append(f"run {run.id}: its name {run.name!r} is run {taken}'s here")
        run = replace(run, name=None)
    board.take_in(_stopped(run), evaluations, beside)
    merged.added.append(run.id)
    merged.evaluations += len(evaluations)
    return named_by(run.config, run.result)


def _unite(
    merged: Merged,
    board: Leaderboard,
    known: RunRecord,
    run: RunRecord,
    theirs: list[EvaluationRecord],
    beside: Sequence[Attached],
) -> list[str]:
    """A run that both have: one copy may be further than the other. Returns the weights that it needs here."""
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
        board.take_in(_stopped(replace(run, name=known.name)), missing, beside)
        merged.extended.append(run.id)
        merged.evaluations += len(missing)
        return named_by(run.config, run.result)
    return named_by(known.config, known.result)


def _beside(board: Leaderboard, run: str) -> list[Attached]:
    return [*board.attached(DataRow, run), *board.attached(Origin, run), *board.attached(Step, run)]


def _stopped(run: RunRecord) -> RunRecord:
    """Its driver, if it has one, works on another file."""
    return replace(run, status="stopped") if run.status == "running" else run


def _of_run(records: Iterable[EvaluationRecord]) -> dict[str, _Outcome]:
    return {record.key: _outcome(record) for record in records}


def _outcome(record: EvaluationRecord) -> _Outcome:
    return record.status, tuple(record.losses), tuple(record.predictions)


def _tell_differing(merged: Merged, board: Leaderboard, theirs: Iterable[EvaluationRecord]) -> None:
    """Evaluations of one key that another run here has with another end."""
    for record in theirs:
        if record.status != "complete":
            continue
        try:
            ours = board.outcome_of(record.key)
        except StorageError:  # a run here that cannot be read: `leaderboard list` names it
            continue
        if ours is not None and ours.run != record.run and _outcome(ours) != _outcome(record):
            merged.conflicts.append(
                f"entry {record.entry[:12]}: its {record.split} evaluation (rung {record.rung}, fold {record.fold}, "
                f"repeat {record.repeat}) ended differently in the runs {ours.run} and {record.run}"
            )
