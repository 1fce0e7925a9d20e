"""Fine-tuned weights beside a leaderboard: files named by the SHA-256 of what they hold."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from autoprompt.errors import StorageError
from autoprompt.files import sha256


def folder_of(board: Path) -> Path:
    """Where the weights of a leaderboard's winners lie."""
    return board.with_name(f"{board.name}.weights")


def keep_weights(board: Path, file: Path) -> str:
    """Copy a safetensors file, whole or not at all; returns its name here, the SHA-256. Raises StorageError."""
    folder = folder_of(board)
    try:
        name = sha256(file)
        place = _place(folder, name)
        if not place.exists():
            folder.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".autoprompt-", dir=folder) as own:
                shutil.copyfile(file, Path(own, "weights"))
                Path(own, "weights").replace(place)
    except OSError as error:
        raise StorageError(
            f"The winner's weights cannot be kept in {folder} ({error.strerror}); make room there and resume the run."
        ) from error
    return name


def kept_weights(board: Path, name: str) -> Path:
    """The file of this name, its content checked. Raises StorageError where it is gone, or is another by now."""
    place = _place(folder_of(board), name)
    try:
        found = sha256(place)
    except OSError as error:
        raise StorageError(
            f"The weights {place} cannot be read ({error.strerror}); bring the file back, or search again."
        ) from error
    if found != name:
        raise StorageError(f"The weights {place} are damaged: their SHA-256 is {found}; restore a backup.")
    return place


def bring(board: Path, other: Path, name: str) -> bool:
    """Copy a file of this name from beside another leaderboard, if it lies there. Raises StorageError."""
    if not _place(folder_of(other), name).exists():
        return False
    keep_weights(board, kept_weights(other, name))
    return True


def _place(folder: Path, name: str) -> Path:
    if len(name) != 64 or not set(name) <= set("0123456789abcdef"):  # what a stranger's leaderboard says is no path
        raise StorageError(f"{name!r} names no weights; restore a backup of the leaderboard.")
    return folder / f"{name}.safetensors"
