"""An ordered map over workers that may die or hang, whatever they are: processes here, or actors anywhere."""

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

from autoprompt.errors import WorkerLostError

T = TypeVar("T")
R = TypeVar("R")

RETRIES = 2
"""How often a task is given to another worker after the one that had it died."""
UNUSABLE_RETRIES = 1
"""The same, where a task said (with WorkerLostError) that its worker can do no more work."""
LOOK_SECONDS = 0.02
"""How long results are given out until somebody looks who has become free."""


@dataclass
class Task:
    """One item on its way: at last with a value, what was raised, or why it has neither."""

    number: int
    function: Callable[[Any], Any]
    item: Any
    deaths: int = 0
    value: Any = None
    error: BaseException | None = None
    loss: str | None = None
    again: bool = False
    """Whether another worker has to do it."""
    given_up: bool = False
    """Whether its result would have come too late."""

    def outcome(self, lost: Callable[[Any, str], Any] | None, late: Callable[[Any], Any] | None) -> Any:
        """Its value, else that of ``late`` or ``lost``. Raises what the task raised, or WorkerLostError."""
        if self.given_up and late is not None:
            return late(self.item)
        if self.error is not None:
            raise self.error
        if self.loss is None:
            return self.value
        if lost is None:
            raise WorkerLostError(f"A worker process was lost ({self.loss}); use fewer --workers and start again.")
        return lost(self.item, self.loss)


class Slot(ABC):
    """A place for one worker, which is started when it is needed and again when it has died."""

    def __init__(self) -> None:
        self.task: Task | None = None
        self.deadline: float | None = None
        self.given_up: float | None = None
        """From when on its result would come too late."""
        self.disowned = False
        """Whether nobody waits for the task's result any more."""

    @property
    def ready(self) -> bool:
        """Whether a task given now is begun now."""
        return True

    @property
    def late(self) -> bool:
        """Whether its task has taken longer than it may."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def give(self, task: Task, limit: float | None, left: float | None = None) -> None:
        """Have the worker begin; ``left``: seconds after which it is given up. Raises what pickle does where the item
        cannot be sent."""
        task.again = False
        self._send(pickle.dumps((task.function, task.item)))
        self.task, self.disowned = task, False
        most = min((seconds for seconds in (limit, left) if seconds is not None), default=None)
        self.deadline = None if most is None else time.monotonic() + most
        self.given_up = time.monotonic() + left if left is not None else None

    def take(self, limit: float | None) -> Task | None:
        """The task that has ended here, one way or another, or is to be done ``again``; None where nobody waits for it.

        A worker that has not answered is ended.
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
        """Nobody waits for the result of what goes on here."""
        self.disowned = self.task is not None

    def _answered(self, task: Task) -> bool:
        """Whether the task has its value or its error now: else its worker has died, or hangs."""
        try:
            answer = self._receive()
            if answer is not None:
                task.error, task.value = pickle.loads(answer)  # noqa: S301 - of our own worker
        except Exception as error:  # what came cannot be unpickled
            task.error = error
            return True
        return answer is not None

    @abstractmethod
    def _send(self, asked: bytes) -> None:
        """To the worker, which is started if there is none. A dead one is noticed while waiting."""

    @abstractmethod
    def _receive(self) -> bytes | None:
        """The worker's answer; None where it has died, or gives none."""

    @abstractmethod
    def _end(self, *, at_once: bool) -> str:
        """End the worker, unless it has ended by itself; how that was, in words."""


S = TypeVar("S", bound=Slot)


class Executor(ABC, Generic[S]):
    """Workers, each in a slot of its own."""

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
        """Results in the order of the items.

        Before an item is dispatched ``gate`` is asked; at its first False no further item is, so what ran is always
        a beginning of ``items``. An item whose worker dies is given to another one, at most ``RETRIES`` times, and one
        that raises WorkerLostError ``UNUSABLE_RETRIES`` times; one that takes longer than ``limit`` seconds is ended,
        and not repeated. ``lost`` makes the result of an item that has none, from the item and why; without it that
        raises WorkerLostError. ``idle`` is called whenever all results that are there were given out, before the next
        is waited for. ``left`` is asked with each item for the seconds after which its result comes too late: it is
        then ended, and ``late`` makes its result, else ``lost``. Raises what the initializer or a task raised, in the
        item's turn.
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
                # Who has ended while results were given out gets more to do.
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
        """A file of this process's machine, to be sent with an item: a worker anywhere opens what it names there."""
        return path

    @abstractmethod
    def close(self) -> None:
        """Drop what is queued and end the workers."""

    @abstractmethod
    def _wait(self, busy: Sequence[S], timeout: float | None) -> list[S]:
        """Those of the busy slots where something has ended, at least one unless time runs out; or none, where
        a slot has become ready."""

    def _dispatch(
        self,
        waiting: deque[Task],
        again: deque[Task],
        gate: Callable[[], bool] | None,
        limit: float | None,
        left: Callable[[], float | None],
    ) -> Iterator[Task]:
        """Give what waits to whoever is free; what is done again was let through the gate before."""
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
        """The tasks that are done with, whatever their end; ``wait`` until there is one."""
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
