"""Workers as processes of this machine.

Each is one process at the other end of a pipe of its own. The standard library's pool gives up all its tasks when one
process dies, and cannot end a task that hangs; here a dead or hanging process costs its own task alone.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from autoprompt.errors import UsageError
from autoprompt.execution.ordered import Executor, Slot
from autoprompt.execution.serving import Server

_END_SECONDS = 10.0
"""How long a process may take to end before it is killed."""
_EXIT_SECONDS = 1.0
"""How long a process that has closed its pipe may take to exit: its own exit code tells more than our signal."""
_CONTEXT = multiprocessing.get_context("spawn")  # a fork after torch has run hangs

_Start = tuple[Callable[..., None], tuple[Any, ...], Mapping[str, str]]
"""The initializer, its arguments, and environment variables of this process alone."""


class LocalExecutor(Executor["_ProcessSlot"]):
    """Spawned processes, one thread each; each runs the initializer once, before its first task."""

    def __init__(
        self,
        workers: int,
        initializer: Callable[..., None],
        arguments: tuple[Any, ...],
        *,
        environments: Sequence[Mapping[str, str]] = (),
    ) -> None:
        """``environments``: variables that each process has beside this one's, one mapping a worker."""
        variables = list(environments) or [{}] * workers
        super().__init__([_ProcessSlot((initializer, arguments, own)) for own in variables[:workers]])

    def close(self) -> None:
        self._closed = True
        for slot in self._slots:
            slot.terminate()
        for slot in self._slots:
            slot.join()

    def _wait(self, busy: Sequence[_ProcessSlot], timeout: float | None) -> list[_ProcessSlot]:
        ready = wait([thing for slot in busy for thing in slot.waitable], timeout)
        return [slot for slot in busy if any(thing in ready for thing in slot.waitable)]


class _ProcessSlot(Slot):
    def __init__(self, start: _Start) -> None:
        super().__init__()
        self._start = start
        self._process: BaseProcess | None = None
        self._connection: Connection[Any, Any] | None = None

    @property
    def waitable(self) -> list[Any]:
        """What becomes ready when the process has an answer, or has ended."""
        return [self._connection, self._process.sentinel] if self._process else []

    def terminate(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def join(self) -> None:
        if self._process is not None:
            self._process.join(_END_SECONDS)
            self._kill()

    def _send(self, asked: bytes) -> None:
        connection = self._started()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send_bytes(asked)

    def _receive(self) -> bytes | None:
        assert self._connection is not None  # noqa: S101
        try:
            return self._connection.recv_bytes() if self._connection.poll() else None
        except (EOFError, OSError):
            return None

    def _end(self, *, at_once: bool) -> str:
        code = self._kill(0.0 if at_once else _EXIT_SECONDS)
        if code is not None and code < 0:
            return f"at last by signal {-code}: killed, or no memory left"
        return f"at last with exit code {code}: see what it wrote before"

    def _started(self) -> Connection[Any, Any]:
        if self._process is None or self._connection is None or not self._process.is_alive():
            self._kill()
            ours, theirs = _CONTEXT.Pipe()
            process = _CONTEXT.Process(target=_serve, args=(theirs, *self._start), daemon=True)
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


# In the worker's process


def _serve(
    connection: Connection[Any, Any],
    initializer: Callable[..., None],
    arguments: tuple[Any, ...],
    variables: Mapping[str, str],
) -> None:
    """Answer each task until the driver is gone."""
    # Ctrl-C reaches the whole process group: the driver alone decides what to do with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_driver, daemon=True).start()
    os.environ.update(variables)
    server = Server(initializer, arguments)
    while True:
        try:
            asked = connection.recv_bytes()
        except (EOFError, OSError):
            return
        connection.send_bytes(server.answer(asked))


def _end_with_driver() -> None:
    """A driver that is killed can end nobody: each worker sees to its own end, even in the middle of a task."""
    driver = multiprocessing.parent_process()
    if driver is not None:
        driver.join()
        os._exit(1)
