"""Files: there whole or not at all, and known by what they hold."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from autoprompt.errors import StorageError


def write_whole(path: Path, text: str) -> None:
    """Write a text file in place of an older one, which stays as it is if that fails. Raises StorageError."""
    with whole_file(path) as file:
        file.write(text)


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A text file to write to, which takes the place of an older one when all is written.

    Raises StorageError; after any error the older one is as it was.
    """
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".autoprompt-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            share(Path(temporary))
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error.strerror}); choose another place.") from error


def share(path: Path) -> None:
    """Give a file that was made for its writer alone the rights of any new file."""
    path.chmod(0o666 & ~_umask())


def sha256(path: Path) -> str:
    """The SHA-256 of what a file holds, as hex digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    """What the user keeps from others in new files; there is no way to ask but to set it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
