"""Resuming a run: its journal of steps, and a check that data and model have not changed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from autoprompt.errors import StorageError
from autoprompt.evaluator import Journal
from autoprompt.leaderboard import Leaderboard, RunRecord, Step
from autoprompt.manifest import INPUTS, Manifest
from autoprompt.optimizer import Budget
from autoprompt.run.options import Progress

_TASK, _DECISION = "task", "decision"


class StoredJournal(Journal):
    """A run's steps in the leaderboard. The steps of an earlier driver are read first, in order; new ones are added.

    Results that arrive together are stored together: a safe write can take as long as a worker takes for a task.
    """

    def __init__(self, board: Leaderboard, run: str, budget: Budget) -> None:
        """``budget``: its start is moved back by the time that the stored steps took."""
        self.board = board
        self.run = run
        self.budget = budget
        steps = board.attached(Step, run)
        self._results = deque(step for step in steps if step.kind == _TASK)
        self._decisions = deque(step for step in steps if step.kind == _DECISION)
        self._unstored: list[Step] = []
        if steps:
            budget.started -= max(step.spent for step in steps)

    @property
    def unread(self) -> bool:
        return bool(self._results)

    def next_result(self, key: str) -> dict[str, Any]:
        return dict(self._next(self._results, key))

    def record(self, key: str, value: Mapping[str, Any]) -> None:
        self._unstored.append(Step(self.run, _TASK, key, value, self.budget.spent))

    def flush(self) -> None:
        if self._unstored:
            self.board.attach(self._unstored)
            self._unstored = []

    def decision(self, name: str, decide: Callable[[], Any]) -> Any:
        if self._decisions:
            return self._next(self._decisions, name)
        decided = decide()
        self._unstored.append(Step(self.run, _DECISION, name, decided, self.budget.spent))
        return decided

    def _next(self, steps: deque[Step], key: str) -> Any:
        """The value of the next stored step. Raises StorageError where the search has come to another step."""
        step = steps.popleft()
        if step.key != key:
            raise diverged_error(self.run, f"{key} where it was {step.key}")
        return step.value


def diverged_error(run: str, what: str) -> StorageError:
    """The error for a run that cannot be resumed, because this program decides otherwise than the one that began it."""
    return StorageError(
        f"The run {run} cannot be resumed: repeating its first part gave {what}; resume it with the versions that it "
        "began with (`autoprompt leaderboard runs --json` has them), or start a new search."
    )


def manifest_of(run: RunRecord) -> Manifest:
    """The manifest of a stored run."""
    stored = run.config.manifest.to_dict()
    data, model, code = (stored.get(part, {}) for part in ("data", "model", "code"))
    return Manifest(data, model, code, run.environment)


def check_unchanged(run: RunRecord, now: Manifest, progress: Progress) -> None:
    """Compare a run's manifest with the present one (``now``), and report other versions to ``progress``.

    Raises StorageError for other data, another model or another way to score.
    """
    then = manifest_of(run)
    changed = then.differences(now, (*INPUTS, "code.scoring"))
    if changed:
        raise StorageError(
            f"The run {run.id} cannot be resumed: {'; '.join(changed)}; restore what it began with, or start a new "
            "search."
        )
    for change in then.differences(now, ("code", "environment")):
        progress.note(f"Since the run began, {change}: results may differ in their last digits.")
