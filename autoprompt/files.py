"""Writing files whole or not at all, and the SHA-256 of a file's content."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from autoprompt.errors import StorageError
from autoprompt.untrusted import open_regular

_DESCRIPTOR = re.compile(rf"/dev/(?:std(in|out|err)|fd/([0-9]+))\Z|/proc/(?:self|{os.getpid()})/fd/([0-9]+)\Z")
"""Names of this process's open files. Such a file is written to directly, never replaced."""
_STANDARD = {"in": 0, "out": 1, "err": 2}
_MOST_LINKS = 40


def write_atomically(path: Path, text: str) -> None:
    """Write a text file that replaces an older one; if that fails, the older one is unchanged. Raises StorageError."""
    with atomic_file(path) as file:
        file.write(text)


@contextmanager
def atomic_file(path: Path) -> Iterator[TextIO]:
    """A text file to write to, which replaces an older one once everything is written.

    The new file gets the older one's permissions and owner, as far as this user may set them. A symbolic link stays a
    link, and the file that it leads to is replaced. A named pipe, a device or an open file (``/dev/stdout``) is written
    to directly. Raises StorageError; after any error the older file is unchanged.
    """
    try:
        if _written_directly(path):
            with _direct(path) as file:
                yield file
            return
        with _temporary_sibling(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _failed(path, error) from error


def share(path: Path) -> None:
    """Give a private temporary file the permissions that a new file normally has."""
    path.chmod(0o666 & ~_umask())


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, as hex digits. Raises OSError, also if it is not a regular file."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync_path(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk: they then survive a power cut. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the system can."""
    with contextlib.suppress(OSError):
        fsync_path(folder)


@contextmanager
def _temporary_sibling(path: Path) -> Iterator[Path]:
    """A new file beside the one that ``path`` leads to, which it replaces at the end. Raises OSError."""
    target = Path(os.path.realpath(path))
    old = _stat(path)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".autoprompt-")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if old is None:
            share(temporary)
        else:
            _keep_rights(temporary, target, old)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def _keep_rights(temporary: Path, target: Path, old: os.stat_result) -> None:
    """Copy owner, permissions and extended attributes. Owner first: changing it clears special permission bits."""
    if hasattr(os, "chown") and (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        with contextlib.suppress(OSError):  # only the superuser may change the owner
            os.chown(temporary, old.st_uid, old.st_gid)
    temporary.chmod(stat.S_IMODE(old.st_mode))
    if hasattr(os, "listxattr"):  # they include access control lists
        with contextlib.suppress(OSError):
            for name in os.listxattr(target):
                os.setxattr(temporary, name, os.getxattr(target, name))


def _stat(path: Path) -> os.stat_result | None:
    """Status of the file that ``path`` leads to; None if there is none. Raises OSError."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _written_directly(path: Path) -> bool:
    """Whether ``path`` leads to something that must not be replaced. Raises OSError for a folder."""
    if _descriptor(path) is not None:
        return True
    found = _stat(path)
    if found is not None and stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(0, "Is a directory")
    return found is not None and not stat.S_ISREG(found.st_mode)


@contextmanager
def _direct(path: Path) -> Iterator[TextIO]:
    number = _descriptor(path)
    opened = path.open("wb") if number is None else os.fdopen(os.dup(number), "wb")
    with opened, open(os.dup(opened.fileno()), "w", encoding="utf-8", newline="\n") as file:
        yield file


def _descriptor(path: Path) -> int | None:
    """The number of this process's open file that ``path`` leads to (1 for ``/dev/stdout``); None for other files."""
    place = os.path.abspath(path)
    for _ in range(_MOST_LINKS):
        found = _DESCRIPTOR.match(place)
        if found:
            return _STANDARD[found[1]] if found[1] else int(found[2] or found[3])
        try:
            place = os.path.abspath(os.path.join(os.path.dirname(place), os.readlink(place)))
        except (OSError, ValueError):
            return None
    return None


def _failed(path: Path, error: OSError) -> StorageError:
    free = ""
    with contextlib.suppress(OSError):
        free = f"; {shutil.disk_usage(path.parent).free} bytes are free there" if error.errno == 28 else ""
    return StorageError(f"{path} cannot be written ({error.strerror or error}{free}); choose another place.")


def _umask() -> int:
    """The process's umask; the only way to read it is to set it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
