"""Where tasks run: an ordered map over local processes. Knows nothing about prompts."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, TypeVar

from autoprompt.errors import WorkerLostError

T = TypeVar("T")
R = TypeVar("R")

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # glibc's names for mallopt
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def default_workers() -> int:
    """As many workers as cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalExecutor:
    """Spawned processes (a fork after torch has run hangs), one thread each; each runs the initializer once."""

    def __init__(self, workers: int, initializer: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self.workers = workers
        self._pool = ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start,
            initargs=(initializer, arguments),
        )

    def map(
        self, function: Callable[[T], R], items: Sequence[T], gate: Callable[[], bool] | None = None
    ) -> Iterator[R]:
        """Results in the order of the items.

        Before an item is dispatched ``gate`` is asked; at its first False no further item is, so what ran is always
        a beginning of ``items``. Raises WorkerLostError, and what the initializer or a task raised.
        """
        running: deque[Future[R]] = deque()
        waiting = deque(items)
        try:
            while waiting or running:
                while waiting and sum(not f.done() for f in running) < self.workers:
                    if gate is not None and not gate():
                        waiting.clear()
                        break
                    running.append(self._pool.submit(_call, function, waiting.popleft()))
                if not running:
                    return
                if running[0].done() or not waiting:
                    yield running.popleft().result()
                else:
                    _wait_any(running)
        except BrokenProcessPool as error:
            raise WorkerLostError(
                "A worker process ended unexpectedly (no memory left, or killed); use fewer --workers and start again."
            ) from error
        finally:
            for future in running:
                future.cancel()

    def close(self) -> None:
        """Drop what is queued and end the workers."""
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(timeout=10)


def _wait_any(running: Sequence[Future[Any]]) -> None:
    from concurrent.futures import FIRST_COMPLETED, wait

    wait([future for future in running if not future.done()], return_when=FIRST_COMPLETED)


_prepare: Callable[[], None] | None = None


def _start(initializer: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    # Ctrl-C reaches the whole process group: the driver alone decides what to do with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in _THREAD_VARIABLES:
        os.environ[name] = "1"
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    _keep_freed_memory()
    # The initializer runs with the first task: an error in it then reaches the caller as it is.
    global _prepare
    _prepare = partial(initializer, *arguments)


def _keep_freed_memory() -> None:
    """Tell glibc to use freed memory again: fresh pages for each tensor cost time in every pass."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 32 << 20)
        mallopt(_TRIM_THRESHOLD, 1 << 30)


def _call(function: Callable[[T], R], item: T) -> R:
    global _prepare
    if _prepare is not None:
        _prepare()
        _prepare = None
    return function(item)
