"""Tensors written to a file, with a sentence where that fails."""

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
    """Write a safetensors file. Raises StorageError, and leaves no part of one behind, when it cannot be written."""
    with writing(path, what):
        save_file(dict(tensors), path)


@contextmanager
def writing(path: Path, what: str) -> Iterator[None]:
    """A file is written inside. Raises StorageError, and leaves no part of it behind, when it cannot be."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        path.unlink(missing_ok=True)
        raise StorageError(
            f"{what} cannot be written to {path.parent} ({error}; {shutil.disk_usage(path.parent).free} bytes are "
            "free); make room there, or set TMPDIR to another place."
        ) from error
