"""Local executor: workers as processes of this machine.

Each worker is one process, connected by its own socket. The standard library's process pool gives up all its tasks when
one process dies, and cannot end a task that hangs; here a dead, stopped or hanging process costs its own task alone.
The pool's processes also import the program's main module, which starts the work again where that is a plain script,
and look for modules in the current folder; the processes here import this package alone.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

import psutil

from autoprompt import interpreter
from autoprompt.errors import UsageError, parameter
from autoprompt.execution.channel import Channel
from autoprompt.execution.ordered_map import Executor, Slot

_EXIT_SECONDS = 1.0
"""Seconds that a process which has closed its socket may take to exit: its own exit code says more than our signal."""
_LOOK_SECONDS = 1.0
"""Seconds between two checks whether a process was stopped (SIGSTOP)."""
_STOPPED_LOOKS = 5
"""Checks in a row that find a process stopped before it is ended. Checks are counted, not seconds: time passes also
while the driver itself is stopped."""

_Start = tuple[Callable[..., None], tuple[Any, ...], Mapping[str, str]]
"""The initializer, its arguments, and environment variables for this process alone."""


class LocalExecutor(Executor["_ProcessSlot"]):
    """Executor whose workers are new processes, one thread each. Each runs the initializer before its first task."""

    def __init__(
        self,
        workers: int,
        initializer: Callable[..., None],
        arguments: tuple[Any, ...],
        *,
        environments: Sequence[Mapping[str, str]] = (),
    ) -> None:
        """``environments``: variables that each process has in addition to this one's, one mapping a worker."""
        variables = list(environments) or [{}] * workers
        super().__init__([_ProcessSlot((initializer, arguments, own)) for own in variables[:workers]])
        self._looked = time.monotonic()

    def close(self) -> None:
        """Kill all workers at once (SIGKILL works on stopped processes too); their tasks must be done again."""
        self._closed = True
        for slot in self._slots:
            slot.kill()
        for slot in self._slots:
            slot.end()

    def _wait(self, busy: Sequence[_ProcessSlot], timeout: float | None) -> list[_ProcessSlot]:
        until = None if timeout is None else time.monotonic() + timeout
        while not self._closed:
            left = _LOOK_SECONDS if until is None else min(_LOOK_SECONDS, max(0.0, until - time.monotonic()))
            ready = wait([slot.fileno() for slot in busy if slot.running], left)
            found = [slot for slot in busy if not slot.running or slot.fileno() in ready]
            found += self._stopped([slot for slot in busy if slot not in found])
            if found or (until is not None and time.monotonic() >= until):
                return found
        return []

    def _stopped(self, busy: Sequence[_ProcessSlot]) -> list[_ProcessSlot]:
        """Return the slots whose process has been stopped for a while, or has ended without closing its socket."""
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return []
        self._looked = time.monotonic()
        return [slot for slot in busy if slot.lost()]


@dataclass
class _Process:
    """A started process; ``socket`` and ``life`` are the driver's ends."""

    running: subprocess.Popen[bytes]
    socket: socket.socket
    life: int
    stopped: int = 0
    """Checks in a row that found it stopped."""

    def __post_init__(self) -> None:
        self.channel = Channel(self.socket, self.lost, _LOOK_SECONDS)

    def lost(self) -> bool:
        """Check whether the process has ended, or has been stopped for a while."""
        try:
            stopped = psutil.Process(self.running.pid).status() == psutil.STATUS_STOPPED
        except psutil.Error:
            stopped = False
        self.stopped = self.stopped + 1 if stopped else 0
        return self.stopped >= _STOPPED_LOOKS or self.running.poll() is not None

    def end(self, patience: float) -> int:
        """Return the process's exit code, negative for a signal. Kill it if it does not end in ``patience`` seconds."""
        try:
            self.running.wait(patience)
        except subprocess.TimeoutExpired:
            self.running.kill()
        code = self.running.wait()
        self.channel.close()
        os.close(self.life)
        return code


class _ProcessSlot(Slot):
    def __init__(self, start: _Start) -> None:
        super().__init__()
        self._start = start
        self._process: _Process | None = None

    @property
    def running(self) -> bool:
        """Whether a process was started here."""
        return self._process is not None

    def fileno(self) -> int:
        """Return the file descriptor that becomes readable when the process has an answer, or has ended."""
        assert self._process is not None  # noqa: S101
        return self._process.channel.fileno()

    def lost(self) -> bool:
        """Whether the process can send nothing any more."""
        return self._process is None or self._process.lost()

    def kill(self) -> None:
        """Send SIGKILL and do not wait."""
        if self._process is not None:
            self._process.running.kill()

    def end(self, patience: float = 0.0) -> int | None:
        """End the process and return its exit code; None where there was none."""
        process, self._process = self._process, None
        return None if process is None else process.end(patience)

    def _send(self, asked: bytes) -> None:
        if self._process is not None and self._process.running.poll() is not None:
            self.end()
        if self._process is None:
            initializer, arguments, variables = self._start
            with _signals_blocked():  # no signal may arrive between the process's start and this assignment
                self._process = _started(variables)
            self._process.channel.send(pickle.dumps((initializer, arguments)))
        self._process.channel.send(asked)

    def _receive(self) -> bytes | None:
        if self._process is None or not wait([self.fileno()], 0.0):
            return None
        return self._process.channel.receive()

    def _end(self, *, at_once: bool) -> str:
        stopped = self._process is not None and self._process.stopped >= _STOPPED_LOOKS
        code = self.end(0.0 if at_once or stopped else _EXIT_SECONDS)
        if stopped:
            return "the last time because it was stopped (SIGSTOP) and did not go on"
        if code is not None and code < 0:
            return f"the last time by signal {-code}: killed, or no memory left"
        return f"the last time with exit code {code}: see what it wrote before"


def _started(variables: Mapping[str, str]) -> _Process:
    """Start a worker process. Raises UsageError where the system has no room for one more."""
    try:
        ours, theirs = socket.socketpair()
        with theirs:
            ending, life = os.pipe()
            code = "from autoprompt.execution.worker_main import main; main(%d, %d)"
            try:
                running = subprocess.Popen(  # noqa: S603
                    interpreter.command(code % (theirs.fileno(), ending)),
                    env=interpreter.variables(**variables),
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(), ending),
                )
            except BaseException:
                os.close(life)
                ours.close()
                raise
            finally:
                os.close(ending)
    except OSError as error:
        raise UsageError(
            f"A worker process cannot be started ({error.strerror or error}); use fewer {parameter('workers')}."
        ) from error
    return _Process(running, ours, life)


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block SIGINT and SIGTERM. A process started inside has them blocked as well, until it sets up its handling."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
