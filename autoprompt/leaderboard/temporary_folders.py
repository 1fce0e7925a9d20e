"""Temporary folders for building a new file next to its final path, and removal of folders left by killed processes.

A folder counts as left behind by this program only if its name has the form used here, its file ``owner`` holds exactly
the text written here, it belongs to this user, and no process holds its lock. Only files with the names used here are
deleted from it.
"""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

_NAME = re.compile(r"\.autoprompt-([0-9a-f]{32})")
_OWNER, _LOCK = "owner", "lock"
_FILES = ("new.sqlite", "new.sqlite-journal", "new.sqlite-wal", "new.sqlite-shm", "weights", _LOCK)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A new folder in ``parent``, removed at the end; folders left there by killed processes are removed first.

    The caller names its files ``new.sqlite`` or ``weights``. Raises OSError.
    """
    remove_leftovers(parent)
    name = uuid.uuid4().hex
    folder = parent / f".autoprompt-{name}"
    folder.mkdir(mode=0o700)
    try:
        lock = FileLock(folder / _LOCK, timeout=0)
        with lock:
            (folder / _OWNER).write_text(_owner_text(name), encoding="ascii")
            yield folder
    finally:
        _remove(folder)


def remove_leftovers(parent: Path) -> None:
    """Remove the folders that killed processes of this program and this user left in ``parent``."""
    with contextlib.suppress(OSError):
        for folder in list(parent.iterdir()):
            found = _NAME.fullmatch(folder.name)
            if found and _is_ours(folder, found[1]):
                with contextlib.suppress(Timeout, OSError), FileLock(folder / _LOCK, timeout=0):
                    _remove(folder)


def _is_ours(folder: Path, name: str) -> bool:
    mark = folder / _OWNER
    try:
        if folder.is_symlink() or mark.is_symlink() or not mark.is_file() or (folder / _LOCK).is_symlink():
            return False
        mine = not hasattr(os, "geteuid") or folder.stat().st_uid == mark.stat().st_uid == os.geteuid()
        return mine and mark.stat().st_size < 200 and mark.read_bytes() == _owner_text(name).encode("ascii")
    except OSError:
        return False


def _owner_text(name: str) -> str:
    return f"autoprompt leaderboard: work in progress {name}\n"


def _remove(folder: Path) -> None:
    """Delete the files with the names used here, the file ``owner`` last, then the folder if it is empty."""
    for name in (*_FILES, _OWNER):
        with contextlib.suppress(OSError):
            (folder / name).unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()
