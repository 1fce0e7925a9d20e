"""Going on with a run: what it asked for, what it has done, and whether all is as it was."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from autoprompt.corpus.cards import has_card
from autoprompt.errors import StorageError, UsageError
from autoprompt.evaluator import Journal
from autoprompt.leaderboard import Leaderboard, RunRecord, Step
from autoprompt.leaderboard.records import pinned
from autoprompt.manifest import INPUTS, differences
from autoprompt.optimizer import Budget, SearchConfig
from autoprompt.run.foreign import foreign
from autoprompt.run.options import DataOptions, ModelOptions, PlaceOptions, Progress, SearchOptions
from autoprompt.run.ownership import is_own

_TASK, _DECISION = "task", "decision"
_UNASKED = ("corpus", "data", "model", "leaderboard", "config", "started", "warm_start", "warmth", "transfer")
"""Options that a request holds in a form of their own, or not at all."""


class StoredJournal(Journal):
    """A run's steps in the leaderboard: those of an earlier driver are read first, in order; new ones are added.

    Results that come at once are stored at once: to be written safely takes each time what a worker of many may need
    for a task.
    """

    def __init__(self, board: Leaderboard, run: str, budget: Budget) -> None:
        """``budget``: goes on from what the steps have spent."""
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
        """Raises StorageError where the search does not do what it did."""
        step = steps.popleft()
        if step.key != key:
            raise diverged(self.run, f"{key} where it was {step.key}")
        return step.value


def diverged(run: str, what: str) -> StorageError:
    """Why a run cannot go on: this program decides otherwise than the one that began it."""
    return StorageError(
        f"The run {run} cannot be resumed: repeating its first part gave {what}; resume it with the versions that it "
        "began with (`autoprompt leaderboard runs --json` has them), or start a new search."
    )


def request(options: SearchOptions, config: SearchConfig, workers: int) -> dict[str, Any]:
    """Options as plain JSON, from which a run can go on in another folder."""
    in_memory = options.data.rows is not None
    named = in_memory or has_card(options.corpus) or not os.path.exists(options.corpus)
    folder = Path(options.model.model).expanduser()
    local = options.model.model.startswith((".", "~")) and folder.exists()
    return {
        "corpus": options.corpus if named else str(Path(options.corpus).absolute()),
        "in_memory": in_memory,
        "data": _values(options.data, without=("rows",)),
        "model": _values(options.model)
        | {"workers": workers, "model": str(folder.absolute()) if local else options.model.model},
        "config": config.model_dump(mode="json", exclude_defaults=True),
        **_values(options, without=_UNASKED),
    }


def requested(
    run: RunRecord,
    leaderboard: Path,
    rows: Mapping[str, Any] | None,
    started: float,
    place: PlaceOptions = PlaceOptions(),  # noqa: B008 - frozen
    tell: Callable[[str], None] = lambda _: None,
) -> SearchOptions:
    """The inverse, with the workers that ``place`` names. A run that this user did not begin says nothing of workers:
    ``tell`` is told what it asks for in vain.

    Raises StorageError, UsageError for a run whose rows were in memory, and InputError where a stranger's run names
    what is no file and no folder.
    """
    asked = run.config.get("request")
    if asked is None:
        raise StorageError(f"The run {run.id} was begun by a version that kept no steps; start a new search.")
    try:
        if asked["in_memory"] and rows is None:
            raise UsageError(
                f"The rows of run {run.id} were in memory; give them again in Python, as corpus=rows to "
                "autoprompt.resume or autoprompt.verify."
            )
        options = _options(run, leaderboard, rows, started)
    except (KeyError, TypeError, ValueError) as error:  # pydantic's errors are the last
        raise StorageError(
            f"What the run {run.id} asked for cannot be read ({type(error).__name__}); start a new search."
        ) from error
    model = options.model
    if not is_own(run):
        model = foreign(run.id, options.corpus, model, place, tell)
    return replace(options, model=replace(model, **place.named))


def _options(run: RunRecord, leaderboard: Path, rows: Mapping[str, Any] | None, started: float) -> SearchOptions:
    """As they are stored."""
    asked = run.config["request"]
    model = asked["model"]["model"]
    named = {name: value for name, value in asked.items() if name not in (*_UNASKED, "in_memory")}
    return SearchOptions(
        **named | {"templates": tuple(named["templates"])},
        corpus=pinned(asked["corpus"], run.config["corpus_revision"]),
        data=DataOptions(**asked["data"], rows=rows),
        model=ModelOptions(**asked["model"] | {"model": pinned(model, run.config["model_revision"])}),
        config=SearchConfig.model_validate(asked["config"]),
        leaderboard=leaderboard,
        warmth=run.config.get("warm_start"),
        transfer=run.config.get("transfer"),
        started=started,
    )


def manifest_of(run: RunRecord) -> dict[str, Any]:
    """What a run depended on, in all four parts."""
    return {**run.config["manifest"], "environment": run.environment}


def check_unchanged(run: RunRecord, now: Mapping[str, Any], progress: Progress) -> None:
    """Compare a run's manifest with the one that it would have now; other versions are noted.

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
    """Their fields as they are: rows in memory may be large."""
    return {field.name: getattr(options, field.name) for field in fields(options) if field.name not in without}
