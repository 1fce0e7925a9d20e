"""What goes on in a worker's process, whoever started it: one thread, the initializer once, then task after task."""

from __future__ import annotations

import ctypes
import os
import pickle
import sys
import traceback
from collections.abc import Callable
from typing import Any

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # glibc's names for mallopt


class Server:
    """Answers tasks in this process. The initializer runs with the first one: an error in it then reaches the caller
    as it is."""

    def __init__(self, initializer: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self._initializer = initializer
        self._arguments = arguments
        self._prepared = False
        _limit_threads()
        _keep_freed_memory()

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


def _keep_freed_memory() -> None:
    """Tell glibc to use freed memory again: fresh pages for each tensor cost time in every pass."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 32 << 20)
        mallopt(_TRIM_THRESHOLD, 1 << 30)
