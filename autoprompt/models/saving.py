"""Writing tensors to safetensors files, with clear errors."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from autoprompt.errors import StorageError


def save(tensors: Mapping[str, Tensor], path: Path, what: str) -> None:
    """Write a safetensors file. Raises StorageError, and leaves no partial file, when it cannot be written."""
    with writing(path, what):
        save_file(dict(tensors), path)


@contextmanager
def writing(path: Path, what: str) -> Iterator[None]:
    """Context in which a file is written. Raises StorageError, and removes the partial file, when that fails."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        path.unlink(missing_ok=True)
        raise StorageError(
            f"{what} cannot be written to {path.parent} ({error}; {shutil.disk_usage(path.parent).free} bytes are "
            "free); make room there, or set TMPDIR to another place."
        ) from error
