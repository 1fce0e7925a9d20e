"""Merging of leaderboards: joins runs that both files hold, and reports those that contradict each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from autoprompt.errors import StorageError
from autoprompt.leaderboard.checks import DamagedError, RefusedError
from autoprompt.leaderboard.locks import is_held
from autoprompt.leaderboard.records import EvaluationRecord, RunRecord
from autoprompt.leaderboard.run_tables import Attached, DataRow, EntryEstimate, Origin, Step
from autoprompt.leaderboard.store import Leaderboard
from autoprompt.leaderboard.weights import copy_all, weights_of
from autoprompt.short_repr import ShortRepr

_Outcome = tuple[Any, ...]


@dataclass(repr=False)
class Merged(ShortRepr):
    """Result of a merge: ids of the other leaderboard's runs that were added, extended or already known.

    ``weights``: number of weight files copied. ``missing``: a sentence for each that could not be copied. ``refused``:
    a sentence for each run that cannot be read, or that this program did not write.

    ``conflicts``: a sentence for each run whose two copies differ or whose driver is running here (our copy stays),
    for each name that is in use here (the run is added without a name), and for each evaluation key with different
    outcomes in two runs.
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
    """Copy the other leaderboard's runs into ``board``, each whole or not at all; ``other`` is not changed.

    Each run is checked like any new record. Merging again changes nothing, except that it copies weights that were
    missing. A run that was in progress in ``other`` is stored as stopped, so that it can be resumed.

    Raises StorageError, also where a row of ``other`` is damaged or every run of it is refused.
    """
    merged = Merged()
    theirs = other.listed_runs()
    ids = [run.id for run in theirs]
    refused: list[StorageError] = [*theirs.problems]
    for run in reversed(ids):  # oldest first, so that they are stored in the order of their start
        try:
            named = _copy_run(merged, board, other, other.run(run))
        except RefusedError as error:
            refused.append(error)
            continue
        brought, missing = copy_all(board.path, other.path, named)
        merged.weights += brought
        merged.missing += missing
    merged.refused = [str(error) for error in refused]
    taken = merged.added or merged.extended or merged.known or merged.conflicts
    damaged = [error for error in refused if isinstance(error, DamagedError)]
    if damaged or (refused and not taken):
        raise (damaged or refused)[0]
    return merged


def _copy_run(merged: Merged, board: Leaderboard, other: Leaderboard, run: RunRecord) -> list[str]:
    """Copy one run. Returns the names of the weights that it needs. Raises RefusedError before anything is stored."""
    evaluations, attached = other.evaluations(run.id), _attached_rows(other, run.id)
    _note_differing(merged, board, evaluations)
    known = board.find(run.id)
    if known is not None:
        return _join_run(merged, board, known, run, evaluations, attached)
    taken = board.run_id_of_name(run.name)
    if taken is not None:
        merged.conflicts.append(f"run {run.id}: its name {run.name!r} is run {taken}'s here")
        run = replace(run, name=None)
    board.import_run(_as_stopped(run), evaluations, attached)
    merged.added.append(run.id)
    merged.evaluations += len(evaluations)
    return weights_of(run)


def _join_run(
    merged: Merged,
    board: Leaderboard,
    known: RunRecord,
    run: RunRecord,
    theirs: list[EvaluationRecord],
    attached: Sequence[Attached],
) -> list[str]:
    """Join two copies of a run, of which one may be further. Returns the names of the weights that it needs here."""
    ours = _outcomes_by_key(board.evaluations(run.id))
    new = _outcomes_by_key(theirs)
    shared = ours.keys() & new.keys()
    if any(ours[key] != new[key] for key in shared) or (ours.keys() - new.keys() and new.keys() - ours.keys()):
        merged.conflicts.append(f"run {run.id}: the two copies have different results")
    elif new.keys() <= ours.keys() and (known.status == "finished" or run.status != "finished"):
        merged.known.append(run.id)
    elif is_held(board.path, run.id):
        merged.conflicts.append(
            f"run {run.id}: it is going on here, and the other copy is further; merge after its end"
        )
    else:
        missing = [record for record in theirs if record.key not in ours]
        board.import_run(_as_stopped(replace(run, name=known.name)), missing, attached)
        merged.extended.append(run.id)
        merged.evaluations += len(missing)
        return weights_of(run)
    return weights_of(known)


def _attached_rows(board: Leaderboard, run: str) -> list[Attached]:
    origins, estimates = board.attached(Origin, run), board.attached(EntryEstimate, run)
    return [*board.attached(DataRow, run), *origins, *estimates, *board.attached(Step, run)]


def _as_stopped(run: RunRecord) -> RunRecord:
    """The run with status ``stopped`` in place of ``running``: its driver, if there is one, works on another file."""
    return replace(run, status="stopped") if run.status == "running" else run


def _outcomes_by_key(records: Iterable[EvaluationRecord]) -> dict[str, _Outcome]:
    return {record.key: _outcome(record) for record in records}


def _outcome(record: EvaluationRecord) -> _Outcome:
    return record.status, tuple(record.losses), tuple(record.predictions)


def _note_differing(merged: Merged, board: Leaderboard, theirs: Iterable[EvaluationRecord]) -> None:
    """Note a conflict for each key that another run here has with a different outcome."""
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
