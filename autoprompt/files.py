"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from autoprompt.errors import StorageError


def write_whole(path: Path, text: str) -> None:
    """Write a text file in place of an older one, which stays as it is if that fails. Raises StorageError."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".autoprompt-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o666 & ~_umask())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error.strerror}); choose another place.") from error


def _umask() -> int:
    """What the user keeps from others in new files; there is no way to ask but to set it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
