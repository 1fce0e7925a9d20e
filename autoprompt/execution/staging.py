"""What the driver's machine has and a node of a Ray cluster may lack: brought there once, for all of its workers."""

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
"""Of a file in Ray's object store: a model of gigabytes is never there as one piece."""


@dataclass(frozen=True)
class NodeFolder(os.PathLike[str]):
    """A folder on whatever node opens it, shared by the workers there."""

    name: str

    def __fspath__(self) -> str:
        return str(scratch.joined(self.name))


@dataclass(frozen=True)
class Carried(os.PathLike[str]):
    """A file or folder of the driver's machine, as a worker on any node opens it.

    ``files``: (name within the folder, "" for a file itself; SHA-256). ``into``: where they are put on a node that has
    not the same at the same place.
    """

    path: str
    files: tuple[tuple[str, str], ...]
    depot: str
    into: os.PathLike[str]

    def __fspath__(self) -> str:
        return _here(self)


class Depot:
    """Keeps files of the driver's machine for nodes that ask: an actor there, under a name of its own."""

    def __init__(self) -> None:
        self._parts: dict[str, list[ray.ObjectRef[bytes]]] = {}

    def parts(self, path: str) -> list[ray.ObjectRef[bytes]]:
        """A file's content, put into the object store once. Raises OSError."""
        if path not in self._parts:
            with open(path, "rb") as file:
                self._parts[path] = [ray.put(part) for part in iter(lambda: file.read(CHUNK_BYTES), b"")]
        return self._parts[path]


def open_depot(name: str) -> Any:
    """A depot on this machine, which takes no core from the workers. Whoever is of the cluster finds it by its name."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(Depot).options(name=name, num_cpus=0, scheduling_strategy=here).remote()


def carried(path: Path, files: Mapping[str, str] | None, depot: str, into: os.PathLike[str]) -> Carried:
    """``files``: of a folder, by name, with their SHA-256; None: the path is a file itself. ``depot``: the name of an
    open one. Raises OSError where the path cannot be read."""
    found = {"": sha256_of(path)} if files is None else files
    return Carried(str(path.absolute()), tuple(sorted(found.items())), depot, into)


@lru_cache
def _here(wanted: Carried) -> str:
    """Where it lies on this node. Raises StorageError where it cannot be brought."""
    if _whole(Path(wanted.path), wanted.files):
        return wanted.path
    folder = Path(wanted.into) / sha256(repr(wanted.files).encode()).hexdigest()[:32]
    place = folder / Path(wanted.path).name
    try:
        with FileLock(f"{folder}.lock"):
            if not _whole(place, wanted.files):
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                _fetch(wanted, place)
    except OSError as error:
        raise StorageError(
            f"{wanted.path} cannot be brought to this node as {place} ({error.strerror or error}); make room, or put "
            "it there at the same path."
        ) from error
    return str(place)


def _fetch(wanted: Carried, place: Path) -> None:
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


def _whole(place: Path, files: Sequence[tuple[str, str]]) -> bool:
    """Whether these files are there, each with its content."""
    found = [(place / name if name else place, digest) for name, digest in files]
    return bool(found) and all(path.is_file() and sha256_of(path) == digest for path, digest in found)
