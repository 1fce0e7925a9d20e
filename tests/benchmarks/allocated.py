"""A process's memory, from Linux's and glibc's own accounts."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

MEBIBYTE = 1 << 20


class _Mallinfo2(ctypes.Structure):
    """glibc's ``struct mallinfo2``, of 2.33 and later (mallinfo(3)): bytes in all but the two counts of blocks."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


def held(pid: int) -> float:
    """MiB of anonymous pages that a process has in memory: what it uses, and what it freed and has not given back."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
    return kilobytes / 1024


def used() -> float:
    """MiB that this process has of glibc and has not freed, without Python's small objects, which have own maps."""
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = _Mallinfo2
    info = mallinfo2()
    return (info.uordblks + info.hblkhd) / MEBIBYTE


def used_here(patience: float) -> tuple[int, float]:
    """This process and what it uses, after some seconds: of tasks given out at once, each worker does one."""
    time.sleep(patience)
    return os.getpid(), used()
