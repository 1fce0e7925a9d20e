"""A folder for what a run's workers share, which goes with its driver, however that ends."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from autoprompt.errors import StorageError

_PREFIX = "autoprompt-"
_LOCK = "lock"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder, removed at the end; those that killed drivers left behind are removed first.

    Kept prefixes take gigabytes. A driver holds its folder's lock as long as it lives. Raises StorageError where
    there is no place for temporary files.
    """
    with contextlib.suppress(OSError):
        _sweep(Path(tempfile.gettempdir()))
    try:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        new = folder / f"{_LOCK}.new"
        lock = FileLock(new, timeout=0)
        lock.acquire()
        new.rename(folder / _LOCK)  # whoever sees it under this name finds it held
    except OSError as error:
        raise StorageError(
            f"The folder {tempfile.gettempdir()} for temporary files cannot be written ({error.strerror}); make room, "
            "or name another in TMPDIR."
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def _sweep(parent: Path) -> None:
    for path in parent.glob(f"{_PREFIX}*/{_LOCK}"):
        lock = FileLock(path, timeout=0)
        with contextlib.suppress(Timeout, OSError):  # its driver lives, or it is somebody else's
            lock.acquire()
            shutil.rmtree(path.parent, ignore_errors=True)
            lock.release()
