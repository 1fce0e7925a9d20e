"""The threads that a command computes with: they wait asleep, so that other work on the machine goes on beside them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

MOST = 8
"""More do not shorten the passes of a small model."""
_ASLEEP = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def share_cores() -> None:
    """Have torch compute with ``cores`` threads that sleep while they wait for each other.

    Threads of OpenMP wait for each other some hundred times a pass, and by default in a loop that keeps the core busy.
    Beside other work, where one of them has no core, the others wait as long: 40 rows of SmolLM2 on two cores with
    six to eight other processes took 7 to 30 s, with one thread 5 to 13 s, and with two that sleep 2.3 to 5.5 s
    (medians of three, in three trials). What the user's environment says counts. Does nothing where torch has been
    loaded: it reads the environment then.
    """
    if "torch" in sys.modules:
        return
    for name, value in _ASLEEP.items():
        os.environ.setdefault(name, value)
    if not any(os.environ.get(name) for name in _COUNTS):
        import torch

        torch.set_num_threads(cores())


def cores() -> int:
    """The cores that this process may use (its affinity, a container's quota; two hardware threads are one), from 1 to
    ``MOST``."""
    places = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    siblings = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    physical = {_read(siblings.format(place)) or str(place) for place in places}
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").partition(" ")
    limited = quota.isdecimal() and period.isdecimal() and int(period) > 0
    return max(1, min(len(physical), MOST, int(quota) // int(period) if limited else MOST))


def _read(path: str) -> str:
    """What a file of the system says; nothing where there is none."""
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
