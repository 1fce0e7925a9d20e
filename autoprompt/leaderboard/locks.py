"""Lock files beside the leaderboard: a run's driver holds one locked as long as its process lives.

The operating system releases the lock when the process ends, however it ends; no clock is involved.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from autoprompt.errors import StorageError, parameter


@contextmanager
def holding(board: Path, run: str) -> Iterator[None]:
    """Lock a run for this process inside the ``with`` block.

    Raises StorageError while another process holds the lock, or if the lock file cannot be written.
    """
    path = lock_of(board, run)
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise StorageError(
            f"The run {run} in {board} is going on in another process; wait for its end, or end it."
        ) from error
    except OSError as error:
        raise StorageError(
            f"The lock file {path} cannot be written ({error.strerror}); choose another {parameter('leaderboard')}."
        ) from error
    try:
        yield
        # After an exception the file stays: otherwise one driver could lock the old file and another driver a new one.
        path.unlink(missing_ok=True)
    finally:
        lock.release()


def lock_of(board: Path, run: str) -> Path:
    """Path of a run's lock file; the same for all symbolic links to a leaderboard."""
    real = Path(os.path.realpath(board))
    return real.with_name(f"{real.name}.{run}.lock")


def is_held(board: Path, run: str) -> bool:
    """Whether a process holds the run's lock; True if that cannot be determined."""
    path = lock_of(board, run)
    if not path.exists():
        return False
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except (Timeout, OSError):
        return True
    lock.release()
    return False
