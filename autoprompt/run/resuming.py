"""Resuming a run: its stored options, its journal of steps, and a check that data and model have not changed."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from autoprompt.corpus import has_card
from autoprompt.errors import StorageError, UsageError
from autoprompt.evaluator import Journal
from autoprompt.leaderboard import Leaderboard, RunRecord, Step, StoredRequest, pinned
from autoprompt.manifest import INPUTS, differences
from autoprompt.optimizer import Budget, SearchConfig
from autoprompt.run.foreign import foreign
from autoprompt.run.options import DataOptions, ModelOptions, PlaceOptions, Progress, SearchOptions
from autoprompt.run.ownership import is_own

_TASK, _DECISION = "task", "decision"
_UNASKED = ("corpus", "data", "model", "leaderboard", "config", "started", "warm_start", "warmth", "transfer")
"""Options that a request stores in another form, or not at all."""


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
        self._noted: list[Step] = []
        if steps:
            budget.started -= max(step.spent for step in steps)

    @property
    def unread(self) -> bool:
        return bool(self._results)

    def recall(self, key: str) -> dict[str, Any]:
        return dict(self._next(self._results, key))

    def note(self, key: str, value: Mapping[str, Any]) -> None:
        self._noted.append(Step(self.run, _TASK, key, value, self.budget.spent))

    def flush(self) -> None:
        if self._noted:
            self.board.attach(self._noted)
            self._noted = []

    def decided(self, name: str, decide: Callable[[], Any]) -> Any:
        if self._decisions:
            return self._next(self._decisions, name)
        decision = decide()
        self._noted.append(Step(self.run, _DECISION, name, decision, self.budget.spent))
        return decision

    def _next(self, steps: deque[Step], key: str) -> Any:
        """The value of the next stored step. Raises StorageError where the search has come to another step."""
        step = steps.popleft()
        if step.key != key:
            raise diverged(self.run, f"{key} where it was {step.key}")
        return step.value


def diverged(run: str, what: str) -> StorageError:
    """The error for a run that cannot be resumed, because this program decides otherwise than the one that began it."""
    return StorageError(
        f"The run {run} cannot be resumed: repeating its first part gave {what}; resume it with the versions that it "
        "began with (`autoprompt leaderboard runs --json` has them), or start a new search."
    )


def request(options: SearchOptions, config: SearchConfig, workers: int) -> StoredRequest:
    """The options as they are stored, from which a run can be resumed in another folder."""
    in_memory = options.data.rows is not None
    named = in_memory or has_card(options.corpus) or not os.path.exists(options.corpus)
    folder = Path(options.model.model).expanduser()
    local = options.model.model.startswith((".", "~")) and folder.exists()
    return StoredRequest(
        corpus=options.corpus if named else str(Path(options.corpus).absolute()),
        in_memory=in_memory,
        data=_values(options.data, without=("rows",)),
        model=_values(options.model)
        | {"workers": workers, "model": str(folder.absolute()) if local else options.model.model},
        config=config.model_dump(mode="json", exclude_defaults=True),
        **_values(options, without=_UNASKED),
    )


def requested(
    run: RunRecord,
    leaderboard: Path,
    rows: Mapping[str, Any] | None,
    started: float,
    place: PlaceOptions = PlaceOptions(),  # noqa: B008 - frozen
    tell: Callable[[str], None] = lambda _: None,
) -> SearchOptions:
    """The inverse of ``request``, with the workers that ``place`` names.

    For a run that this user did not begin, its options for workers are ignored, and ``tell`` gets a notice of them.
    Raises StorageError, UsageError for a run whose rows were in memory and are not given, and InputError for another
    user's run if its model or corpus is neither a name nor a file or folder.
    """
    asked = run.config.request
    if asked is None:
        raise StorageError(f"The run {run.id} was stored without what it asked for; start a new search.")
    try:
        if asked.in_memory and rows is None:
            raise UsageError(
                f"The rows of run {run.id} were in memory; give them again in Python, as corpus=rows to "
                "autoprompt.resume or autoprompt.verify."
            )
        options = _options(run, asked, leaderboard, rows, started)
    except (KeyError, TypeError, ValueError) as error:  # pydantic's ValidationError is a ValueError
        raise StorageError(
            f"What the run {run.id} asked for cannot be read ({type(error).__name__}); start a new search."
        ) from error
    model = options.model
    if not is_own(run):
        model = foreign(run.id, options.corpus, model, place, tell)
    return replace(options, model=replace(model, **place.named))


def _options(
    run: RunRecord, asked: StoredRequest, leaderboard: Path, rows: Mapping[str, Any] | None, started: float
) -> SearchOptions:
    """The options as they are stored."""
    model = asked.model["model"]
    named = {name: value for name, value in asked.to_dict().items() if name not in (*_UNASKED, "in_memory")}
    return SearchOptions(
        **named | {"templates": tuple(named["templates"])},
        corpus=pinned(asked.corpus, run.config.corpus_revision),
        data=DataOptions(**asked.data, rows=rows),
        model=ModelOptions(**{**asked.model, "model": pinned(model, run.config.model_revision)}),
        config=SearchConfig.model_validate(asked.config),
        leaderboard=leaderboard,
        warmth=run.config.warm_start,
        transfer=run.config.transfer,
        started=started,
    )


def manifest_of(run: RunRecord) -> dict[str, Any]:
    """The manifest of a run, with all four parts."""
    return {**run.config.manifest.to_dict(), "environment": run.environment}


def check_unchanged(run: RunRecord, now: Mapping[str, Any], progress: Progress) -> None:
    """Compare a run's manifest with the present one (``now``), and report other versions to ``progress``.

    Raises StorageError for other data, another model or another way to score.
    """
    then = manifest_of(run)
    changed = differences(then, now, (*INPUTS, "code.scoring"))
    if changed:
        raise StorageError(
            f"The run {run.id} cannot be resumed: {'; '.join(changed)}; bring back what it began with, or start a new "
            "search."
        )
    for change in differences(then, now, ("code", "environment")):
        progress.note(f"Since the run began, {change}: results may differ in their last digits.")


def _values(options: DataOptions | ModelOptions | SearchOptions, without: Sequence[str] = ()) -> dict[str, Any]:
    """The fields by name, not copied: rows in memory may be large."""
    return {field.name: getattr(options, field.name) for field in fields(options) if field.name not in without}
