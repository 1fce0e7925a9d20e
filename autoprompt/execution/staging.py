"""File staging: copies files of the driver's machine to a node of a Ray cluster, once for all of its workers."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import ray
from filelock import FileLock
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from autoprompt.errors import StorageError
from autoprompt.execution import scratch
from autoprompt.files import sha256 as sha256_of

CHUNK_BYTES = 64 << 20
"""Size of a file's pieces in Ray's object store: a model of gigabytes is never there as one piece."""


@dataclass(frozen=True)
class NodeFolder(os.PathLike[str]):
    """The path of a folder that each node has for itself, shared by the workers there and made when one opens it."""

    name: str

    def __fspath__(self) -> str:
        return str(scratch.shared_folder(self.name))


@dataclass(frozen=True)
class StagedPath(os.PathLike[str]):
    """The path of a file or folder of the driver's machine, which a worker on any node can open.

    ``files``: pairs of (name within the folder, or "" for a single file; SHA-256). ``into``: the folder for copies on a
    node that does not have the same files at the same path.
    """

    path: str
    files: tuple[tuple[str, str], ...]
    depot: str
    into: os.PathLike[str]

    def __fspath__(self) -> str:
        return _local_path(self)


class Depot:
    """A named actor on the driver's machine that serves its files to other nodes."""

    def __init__(self) -> None:
        self._parts: dict[str, list[ray.ObjectRef[bytes]]] = {}

    def parts(self, path: str) -> list[ray.ObjectRef[bytes]]:
        """Return references to the pieces of a file, put into the object store once. Raises OSError."""
        if path not in self._parts:
            with open(path, "rb") as file:
                self._parts[path] = [ray.put(part) for part in iter(lambda: file.read(CHUNK_BYTES), b"")]
        return self._parts[path]


def open_depot(name: str) -> Any:
    """Start a depot on this machine. It takes no core from the workers, and any of them finds it by its name."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(Depot).options(name=name, num_cpus=0, scheduling_strategy=here).remote()


def staged_path(path: Path, files: Mapping[str, str] | None, depot: str, into: os.PathLike[str]) -> StagedPath:
    """Return a path that opens on any node. ``files``: a folder's files, SHA-256 by name; None: ``path`` is a single
    file. ``depot``: the name of an open depot. Raises OSError where the path cannot be read."""
    found = {"": sha256_of(path)} if files is None else files
    return StagedPath(str(path.absolute()), tuple(sorted(found.items())), depot, into)


@lru_cache
def _local_path(wanted: StagedPath) -> str:
    """Return the path on this node, after fetching the files if needed. Raises StorageError where that fails."""
    if _all_match(Path(wanted.path), wanted.files):
        return wanted.path
    folder = Path(wanted.into) / sha256(repr(wanted.files).encode()).hexdigest()[:32]
    place = folder / Path(wanted.path).name
    try:
        with FileLock(f"{folder}.lock"):
            if not _all_match(place, wanted.files):
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                _fetch(wanted, place)
    except OSError as error:
        raise StorageError(
            f"{wanted.path} cannot be copied to this node as {place} ({error.strerror or error}); make room, or put "
            "it there at the same path."
        ) from error
    return str(place)


def _fetch(wanted: StagedPath, place: Path) -> None:
    depot = ray.get_actor(wanted.depot)
    for name, _ in wanted.files:
        source = Path(wanted.path, name) if name else Path(wanted.path)
        target = place / name if name else place
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            for part in ray.get(depot.parts.remote(str(source))):
                file.write(ray.get(part))
        Path(partial).replace(target)


def _all_match(place: Path, files: Sequence[tuple[str, str]]) -> bool:
    """Whether all these files are there, each with the right content."""
    found = [(place / name if name else place, digest) for name, digest in files]
    return bool(found) and all(path.is_file() and sha256_of(path) == digest for path, digest in found)
