"""Locks for threads that share a network, and for process-wide state of torch and transformers."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from autoprompt.errors import UsageError


class ReentrantLock:
    """A re-entrant lock: one thread holds it at a time, the others wait.

    A copy or a pickle of an object with such a lock gets a new lock that is free. ``with lock:`` raises UsageError in a
    process that was forked while another thread held the lock: the guarded object was copied half changed, and the
    copied lock is never released.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._process = os.getpid()

    def __enter__(self) -> None:
        if self._process != os.getpid():
            if not self._lock.acquire(blocking=False):
                raise UsageError(
                    "This process was forked while another thread used the model; load the model again in each process."
                )
            self._process = os.getpid()
            return
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[ReentrantLock], tuple[()]]:
        return ReentrantLock, ()


PROCESS_LOCK = ReentrantLock()
"""Held while process-wide state of torch, transformers or Python is changed: the random number generator, the functions
that initialise weights (transformers replaces them while it loads a model), warning filters, log verbosity. A thread
that holds it must take no other ReentrantLock."""


class SharedVariable:
    """An environment variable that is set while any thread is inside ``set``."""

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self.value = value
        self._lock = threading.Lock()
        self._inside = 0
        self._before: str | None = None

    @contextmanager
    def set(self) -> Iterator[None]:
        """Inside the context the variable has the value; the last thread to leave restores the previous one."""
        with self._lock:
            if not self._inside:
                self._before = os.environ.get(self.name)
                os.environ[self.name] = self.value
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside and self._before is None:
                    os.environ.pop(self.name, None)
                elif not self._inside:
                    os.environ[self.name] = str(self._before)
