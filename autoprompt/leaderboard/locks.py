"""Who works on a run: a file beside the leaderboard that a run's driver holds locked as long as it lives.

The system lets go of the lock when the process ends, however it ends and whatever the clock says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from autoprompt.errors import StorageError


@contextmanager
def holding(board: Path, run: str) -> Iterator[None]:
    """Hold a run for this process, as long as it lives, whatever the clock says.

    Raises StorageError while another one does.
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
            f"The lock file {path} cannot be written ({error.strerror}); choose another --leaderboard."
        ) from error
    try:
        yield
        # Of a run that is not finished it stays: two drivers could else hold an old file and a new one.
        path.unlink(missing_ok=True)
    finally:
        lock.release()


def lock_of(board: Path, run: str) -> Path:
    """The file that a run's driver holds locked: one for all links to a leaderboard."""
    real = Path(os.path.realpath(board))
    return real.with_name(f"{real.name}.{run}.lock")


def is_held(board: Path, run: str) -> bool:
    """Whether a process works on the run; where that cannot be told, yes."""
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
