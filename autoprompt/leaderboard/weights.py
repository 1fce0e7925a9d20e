"""Files of fine-tuned weights beside a leaderboard, named by the SHA-256 of their content."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from autoprompt.errors import StorageError
from autoprompt.files import sha256
from autoprompt.leaderboard.records import RunRecord
from autoprompt.leaderboard.temporary_folders import temporary_folder

_NAME = re.compile(r"[0-9a-f]{64}")


def folder_of(board: Path) -> Path:
    """Folder of a leaderboard's weights: beside the file itself, not beside a symbolic link to it."""
    real = Path(os.path.realpath(board))
    return real.with_name(f"{real.name}.weights")


def is_name(name: object) -> bool:
    """Whether this is a SHA-256 in hexadecimal: the name in an untrusted leaderboard could be a path instead."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def weights_of(run: RunRecord) -> list[str]:
    """Names of the weights that a run needs: those of its winner, and those that a refinement started from."""
    return names_of_run(run.config.to_dict(), run.result.to_dict() if run.result else None)


def names_of_run(config: Mapping[str, Any] | None, result: Mapping[str, Any] | None) -> list[str]:
    """As ``weights_of``, for the JSON of a run that may be damaged."""
    found = [(result or {}).get("weights"), ((config or {}).get("refine") or {}).get("weights")]
    return list(dict.fromkeys(name for name in found if name and isinstance(name, str)))


def keep_weights(board: Path, file: Path) -> str:
    """Store a copy of a safetensors file, whole or not at all. Returns its name, the SHA-256. Raises StorageError."""
    folder = folder_of(board)
    try:
        name = sha256(file)
        place = _weights_path(folder, name)
        if not place.exists():
            folder.mkdir(exist_ok=True)
            with temporary_folder(folder) as own:
                shutil.copyfile(file, own / "weights")
                if sha256(own / "weights") != name:
                    raise StorageError(f"The weights {file} changed while they were copied; do it again.")
                (own / "weights").replace(place)
    except OSError as error:
        raise StorageError(
            f"The winner's weights cannot be kept in {folder} ({error.strerror}); make room there and resume the run."
        ) from error
    return name


def kept_weights(board: Path, name: str) -> Path:
    """Path of the stored file with this name, content checked. Raises StorageError if it is missing or changed."""
    place = _weights_path(folder_of(board), name)
    try:
        found = sha256(place)
    except OSError as error:
        raise StorageError(
            f"The weights {place} cannot be read ({error.strerror}); bring the file back, or search again."
        ) from error
    if found != name:
        raise StorageError(f"The weights {place} are damaged: their SHA-256 is {found}; restore a backup.")
    return place


def copy_all(board: Path, other: Path, names: Iterable[str]) -> tuple[int, list[str]]:
    """Copy the named weights from another leaderboard, except those that are here already and undamaged.

    Returns the number of files copied, and a sentence for each that could not be copied.
    """
    brought, missing = 0, []
    for name in names:
        try:
            kept_weights(board, name)
            continue
        except StorageError:
            pass  # missing or damaged here: the other leaderboard's copy replaces it
        try:
            source = kept_weights(other, name)
            place = _weights_path(folder_of(board), name)
            place.unlink(missing_ok=True)
            keep_weights(board, source)
        except (StorageError, OSError) as error:
            missing.append(str(error))
        else:
            brought += 1
    return brought, missing


def delete(board: Path, name: str) -> bool:
    """Delete the file with this name. Returns whether there was one. Raises StorageError."""
    place = _weights_path(folder_of(board), name)
    try:
        place.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(f"The weights {place} cannot be removed ({error.strerror}); remove them by hand.") from error
    return True


def _weights_path(folder: Path, name: str) -> Path:
    if not is_name(name):
        raise StorageError(f"{str(name)[:80]!r} names no weights; restore a backup of the leaderboard.")
    return folder / f"{name}.safetensors"
