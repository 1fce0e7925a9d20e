"""Partial output files: written block by block, and put in the place of the target when complete."""

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
from autoprompt.files import atomic_file


class Partial(NamedTuple):
    """A file at ``path``, such as ``rows.partial.csv`` for ``rows.csv``, open at ``handle``."""

    path: Path
    handle: int

    def add(self, text: str) -> None:
        """Append a block, or after an error none of it. Raises StorageError."""
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
    """Yield a file to add to; at the end of the context its content replaces ``target``.

    After an error or a signal an older ``target`` is unchanged and the partial file stays, unless it is empty. Raises
    StorageError if the file cannot be created or ``target`` cannot be written.
    """
    with _written(target):
        path, handle = _new(target)
    try:
        yield Partial(path, handle)
        with path.open(encoding="utf-8", newline="") as content, atomic_file(target) as whole:
            shutil.copyfileobj(content, whole)
        path.unlink()
    finally:
        os.close(handle)
        if path.exists() and not path.stat().st_size:
            path.unlink()


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Raise an OSError of the context as a StorageError about writing ``path``."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error.strerror}); choose another place.") from error


def _new(target: Path) -> tuple[Path, int]:
    """Create a file with a new name, so that the partial file of an earlier command stays as it is."""
    for number in count(1):
        path = target.with_name(f"{target.stem}.partial{number if number > 1 else ''}{target.suffix}")
        with contextlib.suppress(FileExistsError):
            return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    raise AssertionError(target)
