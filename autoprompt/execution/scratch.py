"""Folders for what a run's workers share: one goes with its driver, one on another node with its last worker, however
these end."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from autoprompt.errors import StorageError

_PREFIX = "autoprompt-"


def sweep() -> None:
    """Remove what killed drivers left behind, as far as it is this user's."""
    with contextlib.suppress(OSError):
        for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*.lock"):
            folder = path.with_suffix("")
            lock = _lock(folder)
            with contextlib.suppress(Timeout, OSError):  # its driver lives, or it is somebody else's
                lock.acquire()
                _remove(folder, lock)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder, removed at the end; those that killed drivers left behind are removed first.

    Kept prefixes take gigabytes. A driver holds the lock beside its folder as long as it lives. Raises StorageError
    where there is no place for temporary files.
    """
    sweep()
    parent = Path(tempfile.gettempdir())
    try:
        folder, lock = _new(parent)
    except OSError as error:
        raise StorageError(
            f"The folder {parent} for temporary files cannot be written ({error.strerror}); make room, or name another "
            "in TMPDIR."
        ) from error
    try:
        yield folder
    finally:
        _remove(folder, lock)


def joined(name: str) -> Path:
    """The folder of this name on this machine, made by the first process that asks, shared by all that do, until the
    last of them leaves or has ended. Raises StorageError where there is no place for it."""
    if name not in _JOINED:
        sweep()
        folder = Path(tempfile.gettempdir()) / f"{_PREFIX}{name}"
        try:
            _JOINED[name] = _shared_lock(folder)
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"The folder {folder} cannot be made ({error.strerror}); make room, or name another place in TMPDIR."
            ) from error
    return Path(tempfile.gettempdir()) / f"{_PREFIX}{name}"


def leave() -> None:
    """Give up what this process has joined, and remove what nobody uses any more."""
    while _JOINED:
        os.close(_JOINED.popitem()[1])
    sweep()


_JOINED: dict[str, int] = {}
"""Open lock files by the folders' names."""


def _shared_lock(folder: Path) -> int:
    """The open lock file, held together with others. One that somebody has removed meanwhile holds nothing."""
    import fcntl

    path = Path(_lock(folder).lock_file)
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(handle, fcntl.LOCK_SH)
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_ino == os.fstat(handle).st_ino:
                return handle
        os.close(handle)


def _new(parent: Path) -> tuple[Path, FileLock]:
    """The lock comes first: however early its driver is killed, no folder is without."""
    while True:
        folder = parent / f"{_PREFIX}{uuid.uuid4().hex}"
        lock = _lock(folder)
        with contextlib.suppress(Timeout):  # another driver sweeps, and took the new file for one that was left behind
            lock.acquire()
            if Path(lock.lock_file).exists():
                folder.mkdir(mode=0o700)
                return folder, lock
            lock.release()


def _lock(folder: Path) -> FileLock:
    return FileLock(folder.with_name(f"{folder.name}.lock"), timeout=0)


def _remove(folder: Path, lock: FileLock) -> None:
    """The folder of a lock that is held, then the lock."""
    shutil.rmtree(folder, ignore_errors=True)
    Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()
