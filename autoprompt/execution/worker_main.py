"""Main loop of a worker process: ``main`` for a local one, and ``Server``, which answers tasks in any worker.

One thread runs the initializer once, then one task after another.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import threading
import traceback
from collections.abc import Callable
from typing import Any

from autoprompt.execution.channel import Channel
from autoprompt.execution.heap import Heap
from autoprompt.terminal import escape_streams

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_KERNEL_CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
"""Variables that limit oneDNN's own cache and torch's cache of its oneDNN calls."""
_KERNELS = "128"
"""Most kernels in each cache (default: 1024). Each number of rows that a layer is given needs its own, of up to
600 KiB."""


class Server:
    """Answers tasks in this process. The initializer runs with the first task, so that an error in it reaches the
    caller as a task's error does."""

    def __init__(self, initializer: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        escape_streams()  # a worker writes to its driver's terminal
        self._initializer = initializer
        self._arguments = arguments
        self._prepared = False
        _limit_threads()
        _limit_caches()
        self._heap = Heap()

    def answer(self, asked: bytes) -> bytes:
        """Call a pickled (function, item); return a pickled (exception or None, value)."""
        try:
            function, item = pickle.loads(asked)  # noqa: S301 - from our own driver
            if not self._prepared:
                self._initializer(*self._arguments)
                self._prepared = True
            return pickle.dumps((None, function(item)))
        except Exception as error:
            error.add_note("".join(traceback.format_exception(error)))
            return _portable(error)
        finally:
            self._heap.tidy()


def _portable(error: Exception) -> bytes:
    """Return the pickled error, or its text in a RuntimeError where it cannot be pickled."""
    try:
        return pickle.dumps((error, None))
    except Exception:
        return pickle.dumps((RuntimeError("".join(traceback.format_exception(error))), None))


def _limit_threads() -> None:
    for name in _THREAD_VARIABLES:
        os.environ[name] = "1"
    os.environ.setdefault("RAYON_NUM_THREADS", "1")  # for tokenizers, whose output does not depend on it
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)


def _limit_caches() -> None:
    """Set the cache limits, which torch reads at its first matrix product."""
    for name in _KERNEL_CACHES:
        os.environ.setdefault(name, _KERNELS)


def main(work: int, life: int) -> None:
    """Answer each task until the driver is gone.

    ``work``: file descriptor of the message socket; the first message is a pickled (initializer, arguments). ``life``:
    file descriptor of a pipe whose other end the driver alone holds.
    """
    # Ctrl-C reaches the whole process group, but the driver alone handles it: it started us with signals blocked.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    threading.Thread(target=_end_with_driver, args=(life,), daemon=True).start()
    with contextlib.suppress(OSError):  # what libraries print must not mix with the driver's results
        os.dup2(2, 1)
    channel = Channel(socket.socket(fileno=work))
    start = channel.receive()
    if start is None:
        return
    server = Server(*pickle.loads(start))  # noqa: S301 - from our own driver
    while (asked := channel.receive()) is not None:
        channel.send(server.answer(asked))


def _end_with_driver(life: int) -> None:
    """End this process with its driver, even in the middle of a task: a killed driver cannot end its workers."""
    os.read(life, 1)
    os._exit(1)
