"""A file that is written block by block under a name that says so, and gets its own name when it is whole."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

from autoprompt.errors import StorageError
from autoprompt.files import whole_file


class Partial(NamedTuple):
    """A file at ``path``, such as ``rows.partial.csv`` for ``rows.csv``, open at ``handle``."""

    path: Path
    handle: int

    def add(self, text: str) -> None:
        """Write a block at the end: whole, or after an error not at all. Raises StorageError."""
        before = os.fstat(self.handle).st_size
        try:
            with _written(self.path):
                left = text.encode("utf-8")
                while left:
                    left = left[os.write(self.handle, left) :]
        except BaseException:
            os.ftruncate(self.handle, before)
            raise


@contextmanager
def partial_file(target: Path) -> Iterator[Partial]:
    """A file to add to; at the context's end ``target`` is written whole, in place of an older one.

    After an error or a signal the older one is as it was, and what was added stays in the partial file, unless that
    is nothing. Raises StorageError where the file cannot be made, or ``target`` not be written.
    """
    with _written(target):
        path, handle = _new(target)
    try:
        yield Partial(path, handle)
        with path.open(encoding="utf-8", newline="") as content, whole_file(target) as whole:
            shutil.copyfileobj(content, whole)
        path.unlink()
    finally:
        os.close(handle)
        if path.exists() and not path.stat().st_size:
            path.unlink()


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Inside the context a failure is one of writing ``path``. Raises StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error.strerror}); choose another place.") from error


def _new(target: Path) -> tuple[Path, int]:
    """A file that was not there: the partial one of an earlier run stays as it is."""
    for number in count(1):
        path = target.with_name(f"{target.stem}.partial{number if number > 1 else ''}{target.suffix}")
        with contextlib.suppress(FileExistsError):
            return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    raise AssertionError(target)
