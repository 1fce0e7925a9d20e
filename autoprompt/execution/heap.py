"""Heap settings of a worker process: freed memory is reused, and given back to the system when it grows too much."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's names for mallopt
_KEPT_BLOCK = 32 << 20
EVERY = 16
"""Tasks between two checks. Memory that is given back and needed again is cleared page by page, which takes up to an
eighth of the time of the next fine-tune (of all weights)."""
SPARE = 256 << 20
_STATM = Path("/proc/self/statm")
"""Memory use of this process, in pages; on Linux alone."""


class Heap:
    """This process's heap, where malloc is glibc's; elsewhere nothing is done.

    Fresh pages for each tensor cost time in every pass, so freed blocks of up to 32 MiB stay in the process. With ever
    new lengths of text such a heap fragments: it grows although no more of it is used. So every ``EVERY`` tasks all
    free memory is given back to the system, if the process is 256 MiB larger than its smallest size since last time.
    """

    def __init__(self) -> None:
        libc: Any = ctypes.CDLL(None) if _STATM.is_file() else None
        self._trim = getattr(libc, "malloc_trim", None)
        self._least = 0
        self._tasks = 0
        if self._trim is not None:
            libc.mallopt(_MMAP_THRESHOLD, _KEPT_BLOCK)
            libc.mallopt(_TRIM_THRESHOLD, 1 << 30)
            self._least = _resident()

    def tidy(self) -> None:
        """Check the heap's size, and give free memory back if it is too large. Call this after each task."""
        self._tasks += 1
        if self._trim is None or self._tasks % EVERY:
            return
        if _resident() > self._least + SPARE:
            self._trim(0)
            self._least = _resident()
        self._least = min(self._least, _resident())


def _resident() -> int:
    """Return the bytes of anonymous memory: files that are mapped, such as the prefix cache, do not count."""
    _, resident, shared, *_ = map(int, _STATM.read_text(encoding="ascii").split())
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")
