"""What runs in a worker's process: ``main`` for a local one, and ``Server``, which answers tasks in any worker.

One thread: the initializer once, then task after task.
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
from autoprompt.terminal import guard_streams

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_KERNEL_CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
"""oneDNN's own, and that of torch's calls of it."""
_KERNELS = "128"
"""Kept at most: there is one for each number of rows that a layer is given, and it takes up to 600 KiB. As they come,
the caches keep 1024."""


class Server:
    """Answers tasks in this process. The initializer runs with the first one: an error in it then reaches the caller
    as it is."""

    def __init__(self, initializer: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        guard_streams()  # a worker writes to its driver's terminal
        self._initializer = initializer
        self._arguments = arguments
        self._prepared = False
        _limit_threads()
        _limit_caches()
        self._heap = Heap()

    def answer(self, asked: bytes) -> bytes:
        """``asked``: a pickled (function, item); the answer is a pickled (what was raised, value)."""
        try:
            function, item = pickle.loads(asked)  # noqa: S301 - of our own driver
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
    """The error, or its text where it cannot be sent."""
    try:
        return pickle.dumps((error, None))
    except Exception:
        return pickle.dumps((RuntimeError("".join(traceback.format_exception(error))), None))


def _limit_threads() -> None:
    for name in _THREAD_VARIABLES:
        os.environ[name] = "1"
    os.environ.setdefault("RAYON_NUM_THREADS", "1")  # of tokenizers, where no bits depend on it
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)


def _limit_caches() -> None:
    """Read by torch with the first product."""
    for name in _KERNEL_CACHES:
        os.environ.setdefault(name, _KERNELS)


def main(work: int, life: int) -> None:
    """Answer each task until the driver is gone.

    ``work``: the descriptor of the socket for messages; the first is a pickled (initializer, arguments). ``life``: that
    of a pipe whose other end the driver alone holds.
    """
    # Ctrl-C reaches the whole process group: the driver alone decides what to do with it. It blocked signals meanwhile.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    threading.Thread(target=_end_with_driver, args=(life,), daemon=True).start()
    with contextlib.suppress(OSError):  # what libraries print is no result of the driver's
        os.dup2(2, 1)
    channel = Channel(socket.socket(fileno=work))
    start = channel.receive()
    if start is None:
        return
    server = Server(*pickle.loads(start))  # noqa: S301 - of our own driver
    while (asked := channel.receive()) is not None:
        channel.send(server.answer(asked))


def _end_with_driver(life: int) -> None:
    """A driver that is killed can end nobody: each worker sees to its own end, even in the middle of a task."""
    os.read(life, 1)
    os._exit(1)
