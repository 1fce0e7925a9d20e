"""What a worker's process keeps of the memory that it freed: enough to be fast, and no more."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's names for mallopt
_KEPT_BLOCK = 32 << 20
EVERY = 16
"""Tasks, after which it is looked: what is given back and wanted again is cleared page by page, up to an eighth of the
next fine-tune's time (all weights)."""
SPARE = 256 << 20
_STATM = Path("/proc/self/statm")
"""Linux's account of this process, in pages."""


class Heap:
    """This process's heap, where malloc is glibc's; elsewhere nothing is done.

    Fresh pages for each tensor cost time in every pass, so blocks of up to 32 MiB are freed for the process alone. With
    ever new lengths of text such a heap goes to pieces: it grows although no more of it is used. So all that is free is
    given back to the system after some tasks, if the process is 256 MiB larger than the last time this was done.
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
        """After each task."""
        self._tasks += 1
        if self._trim is None or self._tasks % EVERY:
            return
        if _resident() > self._least + SPARE:
            self._trim(0)
            self._least = _resident()
        self._least = min(self._least, _resident())


def _resident() -> int:
    """Bytes of anonymous memory: what is mapped from files, as kept prefixes are, does not count."""
    _, resident, shared, *_ = map(int, _STATM.read_text(encoding="ascii").split())
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")
