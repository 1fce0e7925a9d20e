"""Scratch folders that a run's workers share: the driver's, and one on each other node of a Ray cluster.

A folder ends with its driver, or with the last worker on its node. If these are killed, a later process removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autoprompt.errors import StorageError

_PREFIX = "autoprompt-"
_NAME = re.compile(rf"{_PREFIX}[0-9a-f]{{32}}\.lock")


def remove_leftovers() -> None:
    """Remove folders that killed processes left behind: those whose lock file has this program's name and content,
    belongs to this user, and is held by no process."""
    with contextlib.suppress(OSError):
        for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*.lock"):
            with contextlib.suppress(OSError):  # in use, another user's, or removed by now
                _remove_if_unused(path)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a new folder, which is removed at the end; folders that killed processes left behind are removed first.

    A prefix cache takes gigabytes. A driver holds the lock beside its folder as long as it runs. Raises StorageError
    where temporary files cannot be written.
    """
    remove_leftovers()
    parent = Path(tempfile.gettempdir())
    lock = parent / f"{_PREFIX}{uuid.uuid4().hex}.lock"
    try:
        handle = _open_locked(lock, fcntl.LOCK_EX)
        folder = _folder(lock)
        folder.mkdir(mode=0o700)  # after its lock: no folder is without one, however early its driver is killed
    except OSError as error:
        raise StorageError(
            f"The folder {parent} for temporary files cannot be written ({error.strerror}); make room, or name another "
            "in TMPDIR."
        ) from error
    try:
        yield folder
    finally:
        _remove(lock)
        os.close(handle)


def shared_folder(name: str) -> Path:
    """Return the folder of this name (32 hexadecimal digits) on this machine. The first process that asks makes it; all
    that ask share it, until the last of them leaves or ends. Raises StorageError where it cannot be made."""
    lock = Path(tempfile.gettempdir()) / f"{_PREFIX}{name}.lock"
    folder = _folder(lock)
    if name not in _JOINED:
        remove_leftovers()
        try:
            _JOINED[name] = _open_locked(lock, fcntl.LOCK_SH)
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"The folder {folder} cannot be made ({error.strerror}); make room, or name another place in TMPDIR."
            ) from error
    return folder


def leave() -> None:
    """Leave the folders that this process has joined, and remove those that no process uses any more."""
    while _JOINED:
        os.close(_JOINED.popitem()[1])
    remove_leftovers()


_JOINED: dict[str, int] = {}
"""Open lock files by the folders' names."""


def _open_locked(lock: Path, kind: int) -> int:
    """Return the open lock file, locked, with the mark in it. A file that was removed before it was locked protects
    nothing, so a new one is made."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, kind)
            if _same(lock, handle):
                os.pwrite(handle, _lock_content(lock), 0)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _remove_if_unused(lock: Path) -> None:
    """Remove a lock file of this program with its folder. Raises OSError where it is in use, or cannot be opened."""
    handle = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        facts = os.fstat(handle)
        if (
            _NAME.fullmatch(lock.name)
            and stat.S_ISREG(facts.st_mode)
            and facts.st_uid == os.geteuid()
            and os.pread(handle, 1000, 0) == _lock_content(lock)
        ):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _same(lock, handle):
                _remove(lock)
    finally:
        os.close(handle)


def _remove(lock: Path) -> None:
    """Remove the folder of a lock that this process holds, then the lock file."""
    folder = _folder(lock)
    with contextlib.suppress(FileNotFoundError):
        facts = folder.lstat()
        if stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid():
            shutil.rmtree(folder, ignore_errors=True)
    lock.unlink(missing_ok=True)


def _lock_content(lock: Path) -> bytes:
    """Return the content of a lock file of this program, which includes its name: a copied file does not match."""
    return f"autoprompt keeps {lock.stem} for a running search\n".encode()


def _folder(lock: Path) -> Path:
    return lock.with_suffix("")


def _same(path: Path, handle: int) -> bool:
    """Whether the open file is still the one at this path."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(path.lstat(), os.fstat(handle))
    return False
