"""Sending of tasks to an executor's workers, with the results of tasks whose worker was lost or had no time left."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from autoprompt.evaluator.worker import Work, perform

FIRST_LIMIT = 3600.0
"""Seconds after which a task counts as hanging, before any task has ended."""


class TaskMap(Protocol):
    """The part of an executor that the evaluator uses."""

    workers: int

    def map(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        gate: Callable[[], bool] | None = None,
        *,
        limit: float | None = None,
        lost: Callable[[Any, str], Any] | None = None,
        idle: Callable[[], None] = lambda: None,
        left: Callable[[], float | None] = lambda: None,
        late: Callable[[Any], Any] | None = None,
    ) -> Generator[Any, None, None]:
        """As ``Executor.map``. Closed early, it leaves running tasks to the workers and does not wait for them."""
        ...

    def carry(self, path: Path) -> PathLike[str]: ...


def dispatch(
    executor: TaskMap,
    tasks: Sequence[Any],
    gate: Callable[[], bool] | None = None,
    *,
    limit: float | None,
    idle: Callable[[], None] = lambda: None,
    left: Callable[[], float | None] = lambda: None,
) -> Generator[Work, None, None]:
    """Yield the work of each task in order, with the arguments of ``TaskMap.map``.

    A lost task has the value of its ``lost``; one that takes longer than ``left`` allows has the value None.
    """
    return executor.map(perform, tasks, gate, limit=limit, lost=_lost_work, idle=idle, left=left, late=_late_work)


def _lost_work(task: Any, reason: str) -> Work:
    return Work(task.lost(reason), 0.0, 0)


def _late_work(_task: Any) -> Work:
    return Work(None, 0.0, 0)
