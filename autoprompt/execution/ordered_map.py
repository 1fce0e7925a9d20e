"""Executor base class: an ordered map over workers (local processes or Ray actors) that may die or hang."""

from __future__ import annotations

import os
import pickle
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from autoprompt.errors import WorkerLostError, parameter

T = TypeVar("T")
R = TypeVar("R")

RETRIES = 2
"""How often a task is given to another worker after its worker died."""
UNUSABLE_RETRIES = 1
"""The same after the task raised WorkerLostError, which means that its worker can do no more work."""
LOOK_SECONDS = 0.02
"""Seconds between two checks for free workers while results are yielded."""


@dataclass
class Task:
    """An item in flight; ends with a value, an exception, or the reason it was lost."""

    number: int
    function: Callable[[Any], Any]
    item: Any
    deaths: int = 0
    value: Any = None
    error: BaseException | None = None
    loss: str | None = None
    again: bool = False
    """Whether another worker must run it."""
    given_up: bool = False
    """Whether it was ended because its result would come too late."""

    def outcome(self, lost: Callable[[Any, str], Any] | None, late: Callable[[Any], Any] | None) -> Any:
        """Return the task's value, else the result of ``late`` or ``lost``. Raises what the task raised, or
        WorkerLostError."""
        if self.given_up and late is not None:
            return late(self.item)
        if self.error is not None:
            raise self.error
        if self.loss is None:
            return self.value
        if lost is None:
            raise WorkerLostError(
                f"A worker process was lost ({self.loss}); use fewer {parameter('workers')} and start again."
            )
        return lost(self.item, self.loss)


class Slot(ABC):
    """A place for one worker, which is started when it is needed and restarted when it has died."""

    def __init__(self) -> None:
        self.task: Task | None = None
        self.deadline: float | None = None
        self.given_up: float | None = None
        """The time (``time.monotonic``) from which the task's result comes too late."""
        self.disowned = False
        """Whether the task's result is no longer wanted."""

    @property
    def ready(self) -> bool:
        """Whether a task given now starts at once."""
        return True

    @property
    def late(self) -> bool:
        """Whether the task has taken longer than it may."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def give(self, task: Task, limit: float | None, left: float | None = None) -> None:
        """Start a task, which may take ``limit`` seconds and is given up after ``left`` seconds. Raises pickle's error
        where the item cannot be sent."""
        task.again = False
        self._send(pickle.dumps((task.function, task.item)))
        self.task, self.disowned = task, False
        most = min((seconds for seconds in (limit, left) if seconds is not None), default=None)
        self.deadline = None if most is None else time.monotonic() + most
        self.given_up = time.monotonic() + left if left is not None else None

    def take(self, limit: float | None) -> Task | None:
        """Return the task that has ended here, or that must run ``again``; None where its result is no longer wanted.

        A worker that has not answered, or can do no more work, is ended.
        """
        task, late, disowned = self.task, self.late, self.disowned
        assert task is not None  # noqa: S101
        answered = self._answered(task)
        unusable = isinstance(task.error, WorkerLostError)
        if unusable or not answered:
            end = self._end(at_once=answered or late)
            if late and not answered and self.given_up is not None and time.monotonic() >= self.given_up:
                task.given_up, task.loss = True, "no time was left for it"
            elif late and not answered:
                task.loss = f"it took longer than {limit:g} seconds"
            elif unusable and task.deaths >= UNUSABLE_RETRIES:
                task.loss = str(task.error)
            elif task.deaths >= RETRIES:
                task.loss = f"its process ended unexpectedly {RETRIES + 1} times, {end}"
            else:
                task.deaths += 1
                task.again = True
            task.error = None
        self.task, self.deadline, self.disowned = None, None, False
        return None if disowned else task

    def disown(self) -> None:
        """Mark the result of the running task as no longer wanted."""
        self.disowned = self.task is not None

    def _answered(self, task: Task) -> bool:
        """Read the task's value or error; return False where there is none, since its worker has died or hangs."""
        try:
            answer = self._receive()
            if answer is not None:
                task.error, task.value = pickle.loads(answer)  # noqa: S301 - from our own worker
        except Exception as error:  # the answer cannot be unpickled
            task.error = error
            return True
        return answer is not None

    @abstractmethod
    def _send(self, asked: bytes) -> None:
        """Send a message to the worker, which is started if there is none. A dead worker is noticed while waiting."""

    @abstractmethod
    def _receive(self) -> bytes | None:
        """Return the worker's answer; None where it has died, or has not answered."""

    @abstractmethod
    def _end(self, *, at_once: bool) -> str:
        """End the worker, unless it has ended by itself; return in words how it ended."""


S = TypeVar("S", bound=Slot)


class Executor(ABC, Generic[S]):
    """Workers, each in its own slot."""

    def __init__(self, slots: Sequence[S]) -> None:
        self.workers = len(slots)
        self._slots = list(slots)
        self._closed = False

    def map(
        self,
        function: Callable[[T], R],
        items: Sequence[T],
        gate: Callable[[], bool] | None = None,
        *,
        limit: float | None = None,
        lost: Callable[[T, str], R] | None = None,
        idle: Callable[[], None] = lambda: None,
        left: Callable[[], float | None] = lambda: None,
        late: Callable[[T], R] | None = None,
    ) -> Generator[R, None, None]:
        """Yield results in the order of the items. Raises what the initializer or a task raised, in the item's turn.

        ``gate`` is called before each item is dispatched; after its first False no further item is, so that the items
        that ran are always the first ones. An item whose worker dies is given to another worker, at most ``RETRIES``
        times; an item that raises WorkerLostError, ``UNUSABLE_RETRIES`` times. An item that takes longer than ``limit``
        seconds is ended and not repeated. ``lost`` makes the result of an item that has none, from the item and the
        reason; without ``lost``, WorkerLostError is raised. ``idle`` is called whenever all available results have been
        yielded, before waiting for the next. ``left`` is called with each dispatch and returns the seconds after which
        the item's result comes too late: the item is then ended, and ``late``, else ``lost``, makes its result.
        """
        waiting = deque(Task(number, function, item) for number, item in enumerate(items))
        again: deque[Task] = deque()
        done: dict[int, Task] = {}
        own: set[int] = set()
        turn = 0
        look = 0.0
        try:
            while True:
                for task in self._dispatch(waiting, again, gate, limit, left):
                    own.add(task.number)
                given_out = turn not in done
                if given_out and not own and not waiting:
                    return
                if given_out:
                    idle()
                # Workers that became free while results were yielded get more to do.
                if given_out or (own and time.monotonic() > look):
                    for task in self._finished(limit, wait=given_out):
                        if task.again:
                            again.append(task)
                        else:
                            own.discard(task.number)
                            done[task.number] = task
                    look = time.monotonic() + LOOK_SECONDS
                else:
                    yield done.pop(turn).outcome(lost, late)
                    turn += 1
        finally:
            for slot in self._slots:
                slot.disown()

    def carry(self, path: Path) -> os.PathLike[str]:
        """Return a path to send with an item: a worker on any machine can open it to read this machine's file."""
        return path

    @abstractmethod
    def close(self) -> None:
        """Drop queued tasks and end the workers."""

    @abstractmethod
    def _wait(self, busy: Sequence[S], timeout: float | None) -> list[S]:
        """Return the busy slots whose task or worker has ended: at least one, unless time runs out or a slot has become
        ready."""

    def _dispatch(
        self,
        waiting: deque[Task],
        again: deque[Task],
        gate: Callable[[], bool] | None,
        limit: float | None,
        left: Callable[[], float | None],
    ) -> Iterator[Task]:
        """Give waiting tasks to free workers, and yield them. A task that runs again has passed the gate before."""
        while (waiting or again) and (slot := self._free()) is not None:
            self._check_open()
            if not again and gate is not None and not gate():
                waiting.clear()
                return
            task = again.popleft() if again else waiting.popleft()
            slot.give(task, limit, left())
            yield task

    def _free(self) -> S | None:
        return next((slot for slot in self._slots if slot.task is None and slot.ready), None)

    def _finished(self, limit: float | None, *, wait: bool) -> list[Task]:
        """Return the tasks that have ended, or must run again; with ``wait``, wait until something has ended."""
        busy = [slot for slot in self._slots if slot.task is not None]
        ends = [slot.deadline for slot in busy if slot.deadline is not None]
        timeout = max(0.0, min(ends) - time.monotonic()) if ends else None
        ended = self._wait(busy, timeout if wait else 0.0)
        self._check_open()
        done = [slot for slot in busy if slot.late or slot in ended]
        return [task for slot in done if (task := slot.take(limit)) is not None]

    def _check_open(self) -> None:
        if self._closed:
            raise WorkerLostError("The worker processes were ended while they had work; start again.")
