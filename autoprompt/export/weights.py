"""Fine-tuned weights beside a prompt file, in folders named by a hash of their content.

``best.weights/0123456789abcdef`` belongs to the ``best.json`` that names it. A new export first writes a new folder,
then replaces the prompt file by one rename, and removes the older folders last: whenever it is killed, the prompt file
is the old one with its old weights or the new one with its new weights.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from autoprompt.errors import StorageError
from autoprompt.files import fsync_path, sha256, share, sync_folder

_NAME = re.compile(r"[0-9a-f]{16}\Z")
_PREFIX = ".autoprompt-"
_WRITTEN = frozenset({"adapter_config.json", "adapter_model.safetensors", "other_parts.safetensors"})
"""All files that an export writes into a folder: a folder with any other file is the user's."""


@dataclass(frozen=True)
class Stored:
    """Weights in their final place: the folder's name as the prompt file gives it, and SHA-256 by file."""

    folder: str
    files: Mapping[Path, str]
    fresh: bool
    """Whether the folder did not exist before."""


@contextmanager
def weights_beside(path: Path, writers: Sequence[Callable[[Path], list[Path]]]) -> Iterator[list[Stored]]:
    """Write the weights of the prompt file ``path``; the prompt file itself must be written inside the block.

    ``writers``: one for each prompt that has weights: it puts files into a folder and returns them. Older weights are
    removed if the block ends without an error. Raises StorageError.
    """
    shelf = path.with_suffix(".weights")
    with _as_storage_error(shelf):
        shelf.mkdir(exist_ok=True)
    with _alone(shelf):
        stored: list[Stored] = []
        try:
            for write in writers:
                stored.append(_stored(shelf, write))  # noqa: PERF401 - if one fails, the earlier ones are removed
            yield stored
        except BaseException:
            _take_back(shelf, [Path(one.folder).name for one in stored if one.fresh])
            raise
        _remove_others(shelf, {Path(one.folder).name for one in stored})


def _stored(shelf: Path, write: Callable[[Path], list[Path]]) -> Stored:
    """Write the folder, unless it exists already and is complete."""
    with _as_storage_error(shelf), tempfile.TemporaryDirectory(prefix=_PREFIX, dir=shelf) as own:
        made = Path(own, "made")
        made.mkdir()
        digests = {file.name: sha256(file) for file in write(made)}
        name = hashlib.sha256(repr(sorted(digests.items())).encode()).hexdigest()[:16]
        place = shelf / name
        fresh = not place.exists()
        if not _whole(place, digests):
            for file in made.iterdir():
                if file.name in digests:
                    share(file)  # safetensors makes files that only their owner can read
                    fsync_path(file)
                else:
                    file.unlink()  # peft's README
            sync_folder(made)
            if place.exists():
                place.replace(Path(own, "damaged"))
            made.replace(place)
            sync_folder(shelf)
    return Stored(f"{shelf.name}/{name}", {place / file: digest for file, digest in digests.items()}, fresh)


def _whole(place: Path, digests: Mapping[str, str]) -> bool:
    try:
        return all(sha256(place / name) == digest for name, digest in digests.items())
    except OSError:
        return False


def _take_back(shelf: Path, names: Sequence[str]) -> None:
    """Remove weights that no prompt file names, and the folder that holds them if it is then empty."""
    for name in names:
        shutil.rmtree(shelf / name, ignore_errors=True)
    with contextlib.suppress(OSError):  # it holds other weights
        shelf.rmdir()


def _remove_others(shelf: Path, names: set[str]) -> None:
    """Remove folders of older and of killed exports; those that cannot be removed stay."""
    with contextlib.suppress(OSError):
        for other in list(shelf.iterdir()):
            if other.name not in names and not other.is_symlink() and other.is_dir() and _is_ours(other):
                shutil.rmtree(other, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    if folder.name.startswith(_PREFIX):
        return True
    return _NAME.match(folder.name) is not None and {file.name for file in folder.iterdir()} <= _WRITTEN


@contextmanager
def _alone(shelf: Path) -> Iterator[None]:
    """Lock the folder for one export at a time: another would remove weights that the prompt file does not name yet."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        yield
        return
    with _as_storage_error(shelf):
        handle = os.open(shelf, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def _as_storage_error(shelf: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"The weights cannot be written to {shelf} ({error.strerror or error}); choose another place."
        ) from error
