"""CPU threads of ``predict``: how many torch uses, and that they sleep while they wait for each other."""

from __future__ import annotations

import os
import sys
from pathlib import Path

MOST = 8
"""Most threads: more do not speed up a small model."""
_PASSIVE_WAIT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def share_cores() -> None:
    """Make torch compute with ``cores()`` threads that sleep while they wait for each other.

    OpenMP threads wait for each other some hundred times per forward pass, by default in a loop that keeps the core
    busy. On a busy machine, while one thread has no core, the others wait as long: with six to eight other processes on
    two cores, 40 rows of SmolLM2 took 7 to 30 s, with one thread 5 to 13 s, and with two that sleep 2.3 to 5.5 s
    (medians of three, in three trials). Variables that the user has set stay. Does nothing if torch is loaded already,
    since it reads the environment when it is loaded.
    """
    if "torch" in sys.modules:
        return
    for name, value in _PASSIVE_WAIT.items():
        os.environ.setdefault(name, value)
    if not any(os.environ.get(name) for name in _COUNTS):
        import torch

        torch.set_num_threads(cores())


def cores() -> int:
    """Return the number of cores that this process may use, from 1 to ``MOST``.

    CPU affinity and a container's quota limit it; two hardware threads of a core count as one.
    """
    places = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    siblings = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    physical = {_read(siblings.format(place)) or str(place) for place in places}
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").partition(" ")
    limited = quota.isdecimal() and period.isdecimal() and int(period) > 0
    return max(1, min(len(physical), MOST, int(quota) // int(period) if limited else MOST))


def _read(path: str) -> str:
    """Return the text of a system file; empty if it cannot be read."""
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
