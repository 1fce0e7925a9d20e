"""Where tasks run: an ordered map over local processes. Knows nothing about prompts.

Each worker is one process at the other end of a pipe of its own. The standard library's pool gives up all its tasks
when one process dies, and cannot end a task that hangs; here a dead or hanging process costs its own task alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from autoprompt.errors import UsageError, WorkerLostError

T = TypeVar("T")
R = TypeVar("R")

RETRIES = 2
"""How often a task is given to another process after the one that had it died."""
UNUSABLE_RETRIES = 1
"""The same, where a task said (with WorkerLostError) that its process can do no more work."""
_END_SECONDS = 10.0
"""How long a process may take to end before it is killed."""
_EXIT_SECONDS = 1.0
"""How long a process that has closed its pipe may take to exit: its own exit code tells more than our signal."""
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # glibc's names for mallopt
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_CONTEXT = multiprocessing.get_context("spawn")  # a fork after torch has run hangs

_Initializer = tuple[Callable[..., None], tuple[Any, ...]]


def default_workers() -> int:
    """As many workers as cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalExecutor:
    """Spawned processes, one thread each; each runs the initializer once, before its first task."""

    def __init__(self, workers: int, initializer: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self.workers = workers
        self._slots = [_Slot((initializer, arguments)) for _ in range(workers)]
        self._closed = False

    def map(
        self,
        function: Callable[[T], R],
        items: Sequence[T],
        gate: Callable[[], bool] | None = None,
        *,
        limit: float | None = None,
        lost: Callable[[T, str], R] | None = None,
    ) -> Iterator[R]:
        """Results in the order of the items.

        Before an item is dispatched ``gate`` is asked; at its first False no further item is, so what ran is always
        a beginning of ``items``. An item whose process dies is given to another one, at most ``RETRIES`` times, and one
        that raises WorkerLostError ``UNUSABLE_RETRIES`` times; one that takes longer than ``limit`` seconds is ended,
        and not repeated. ``lost`` makes the result of an item that
        has none, from the item and why; without it that raises WorkerLostError. Raises what the initializer or a task
        raised, in the item's turn.
        """
        waiting = deque(_Task(number, function, item) for number, item in enumerate(items))
        done: dict[int, _Task] = {}
        own: set[int] = set()
        turn = 0
        try:
            while True:
                self._dispatch(waiting, own, gate, limit)
                if turn in done:
                    yield done.pop(turn).outcome(lost)
                    turn += 1
                elif own or waiting:
                    for task in self._finished(limit):
                        own.discard(task.number)
                        done[task.number] = task
                else:
                    return
        finally:
            for slot in self._slots:
                slot.disown()

    def close(self) -> None:
        """Drop what is queued and end the workers."""
        self._closed = True
        for slot in self._slots:
            slot.end()
        for slot in self._slots:
            slot.join()

    def _dispatch(
        self, waiting: deque[_Task], own: set[int], gate: Callable[[], bool] | None, limit: float | None
    ) -> None:
        while waiting and (slot := next((slot for slot in self._slots if slot.task is None), None)):
            self._check_open()
            if gate is not None and not gate():
                waiting.clear()
                return
            task = waiting.popleft()
            own.add(task.number)
            slot.give(task, limit)

    def _finished(self, limit: float | None) -> list[_Task]:
        """Wait until something ends; the tasks that are done with then, whatever their end."""
        busy = [slot for slot in self._slots if slot.task is not None]
        ends = [slot.deadline for slot in busy if slot.deadline is not None]
        timeout = max(0.0, min(ends) - time.monotonic()) if ends else None
        ready = wait([thing for slot in busy for thing in slot.waitable], timeout)
        self._check_open()
        ended = [slot for slot in busy if slot.late or any(thing in ready for thing in slot.waitable)]
        return [task for slot in ended if (task := slot.take(limit)) is not None]

    def _check_open(self) -> None:
        if self._closed:
            raise WorkerLostError("The worker processes were ended while they had work; start again.")


@dataclass
class _Task:
    """One item on its way: at last with a value, what was raised, or why it has neither."""

    number: int
    function: Callable[[Any], Any]
    item: Any
    deaths: int = 0
    value: Any = None
    error: BaseException | None = None
    loss: str | None = None

    def outcome(self, lost: Callable[[Any, str], Any] | None) -> Any:
        if self.error is not None:
            raise self.error
        if self.loss is None:
            return self.value
        if lost is None:
            raise WorkerLostError(f"A worker process was lost ({self.loss}); use fewer --workers and start again.")
        return lost(self.item, self.loss)


@dataclass
class _Slot:
    """A place for one process, which is started when it is needed and again when it has died."""

    initializer: _Initializer
    task: _Task | None = None
    deadline: float | None = None
    disowned: bool = False
    """Whether nobody waits for the task's result any more."""
    _process: BaseProcess | None = None
    _connection: Connection[Any, Any] | None = None

    @property
    def late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    @property
    def waitable(self) -> list[Any]:
        """What becomes ready when the process has an answer, or has ended."""
        return [self._connection, self._process.sentinel] if self._process else []

    def give(self, task: _Task, limit: float | None) -> None:
        connection = self._started()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a dead process is noticed while waiting
            connection.send((task.function, task.item))
        self.task = task
        self.deadline = None if limit is None else time.monotonic() + limit

    def take(self, limit: float | None) -> _Task | None:
        """The task that is done with; None where nobody waits for it, or it was given once more."""
        task, late, disowned = self.task, self.late, self.disowned
        assert task is not None  # noqa: S101
        answered = self._answered(task)
        unusable = isinstance(task.error, WorkerLostError)
        if unusable or not answered:
            code = self._kill(0.0 if answered or late else _EXIT_SECONDS)
            if late and not answered:
                task.loss = f"it took longer than {limit:g} seconds"
            elif unusable and task.deaths >= UNUSABLE_RETRIES:
                task.loss = str(task.error)
            elif task.deaths >= RETRIES:
                task.loss = f"its process ended unexpectedly {RETRIES + 1} times, {_end(code)}"
            elif not disowned:
                task.deaths += 1
                task.error = None
                self.give(task, limit)
                return None
            task.error = None
        self.task, self.deadline, self.disowned = None, None, False
        return None if disowned else task

    def _answered(self, task: _Task) -> bool:
        """Whether the task has its value or its error now: else its process has died, or hangs."""
        assert self._connection is not None  # noqa: S101
        try:
            if not self._connection.poll():
                return False
            task.error, task.value = self._connection.recv()
        except (EOFError, OSError):
            return False
        except Exception as error:  # what came cannot be unpickled
            task.error = error
        return True

    def disown(self) -> None:
        """Nobody waits for the result of what goes on here."""
        self.disowned = self.task is not None

    def end(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def join(self) -> None:
        if self._process is not None:
            self._process.join(_END_SECONDS)
            self._kill()

    def _started(self) -> Connection[Any, Any]:
        if self._process is None or self._connection is None or not self._process.is_alive():
            self._kill()
            ours, theirs = _CONTEXT.Pipe()
            process = _CONTEXT.Process(target=_serve, args=(theirs, *self.initializer), daemon=True)
            try:
                process.start()
            except RuntimeError as error:
                if "bootstrapping" not in str(error):  # else this is a worker, still importing the user's script
                    raise
                raise UsageError(
                    "A worker process imports the script that it was started from, and this script starts workers when "
                    'imported; put its calls of autoprompt beneath `if __name__ == "__main__":`.'
                ) from error
            theirs.close()  # so that the process's end is the end of the pipe
            self._process, self._connection = process, ours
        return self._connection

    def _kill(self, patience: float = 0.0) -> int | None:
        """End the process, if it does not end by itself within so many seconds; its exit code, negative for a
        signal."""
        if self._process is None or self._connection is None:
            return None
        self._process.join(patience)
        self._process.kill()
        self._process.join()
        code = self._process.exitcode
        self._connection.close()
        self._process = self._connection = None
        return code


def _end(code: int | None) -> str:
    """How a process ended, in words."""
    if code is not None and code < 0:
        return f"at last by signal {-code}: killed, or no memory left"
    return f"at last with exit code {code}: see what it wrote before"


# In the worker's process


def _serve(connection: Connection[Any, Any], initializer: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Answer each task with what it raised and its value, until the driver is gone."""
    # Ctrl-C reaches the whole process group: the driver alone decides what to do with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_driver, daemon=True).start()
    for name in _THREAD_VARIABLES:
        os.environ[name] = "1"
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    _keep_freed_memory()
    prepared = False
    while True:
        try:
            function, item = connection.recv()
        except (EOFError, OSError):
            return
        try:
            # The initializer runs with the first task: an error in it then reaches the caller as it is.
            if not prepared:
                initializer(*arguments)
                prepared = True
            connection.send((None, function(item)))
        except Exception as error:
            error.add_note("".join(traceback.format_exception(error)))
            connection.send((_portable(error), None))


def _portable(error: Exception) -> Exception:
    """The error, or its text where it cannot be sent."""
    try:
        pickle.dumps(error)
    except Exception:
        return RuntimeError("".join(traceback.format_exception(error)))
    return error


def _end_with_driver() -> None:
    """A driver that is killed can end nobody: each worker sees to its own end, even in the middle of a task."""
    driver = multiprocessing.parent_process()
    if driver is not None:
        driver.join()
        os._exit(1)


def _keep_freed_memory() -> None:
    """Tell glibc to use freed memory again: fresh pages for each tensor cost time in every pass."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 32 << 20)
        mallopt(_TRIM_THRESHOLD, 1 << 30)
