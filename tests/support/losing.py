"""Tasks of worker processes that lose their device; a process that runs them starts without the heavy libraries."""

import os
from pathlib import Path

from autoprompt.errors import WorkerLostError


def nothing() -> None:
    """No initialiser."""


def lose_device(item: tuple[str, int]) -> int:
    """What a task does whose device is lost the first so many times; returns its process."""
    folder, times = item
    done = len(list(Path(folder).iterdir()))
    if done < times:
        (Path(folder) / str(done)).touch()
        raise WorkerLostError("the device failed: CUDA error")
    return os.getpid()
