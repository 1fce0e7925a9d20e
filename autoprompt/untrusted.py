"""Bounded reading of untrusted files: regular files up to a maximum size, as bytes, strict JSON or TOML."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
import tomllib
from collections.abc import Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autoprompt.errors import InputError

MAX_DEPTH = 64
"""Maximum levels of nested objects and lists, far more than any format here has."""
MAX_DIGITS = 40
"""Maximum digits of an integer in JSON. Tokenizers write "no limit" with 31 digits."""
_SHOWN_DIGITS = 12
_SHOWN = 200
_MOST_NAME = 200


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a regular file, or a symbolic link to one, to read its bytes.

    Raises OSError for anything else: a named pipe or a device may never end, or opening it may have an effect.
    """
    _check_regular(os.stat(path))
    # Between the two checks another file may take its place: opened without blocking, even a pipe does not wait.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | os.O_CLOEXEC)
    try:
        _check_regular(os.fstat(handle))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def is_regular(path: Path) -> bool:
    """Whether it is a regular file, or a symbolic link to one."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def read_bytes(path: Path, what: str, most: int) -> bytes:
    """A whole file of at most ``most`` bytes. ``what`` begins error messages ("The prompt file"). Raises InputError."""
    try:
        with open_regular(path) as file:
            data = file.read(most + 1)
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{what} {path} cannot be read ({reason}); name another file.") from error
    if len(data) > most:
        raise InputError(f"{what} {path} has more than {_size(most)}, the most that is read; name another file.")
    return data


def read_json(path: Path, what: str, most: int) -> Any:
    """The JSON value of a file (see ``parse_json``). Raises InputError."""
    return parse_json(read_bytes(path, what, most), f"{what} {path}")


def read_toml(path: Path, what: str, most: int) -> dict[str, Any]:
    """The values of a TOML file. Raises InputError."""
    data = read_bytes(path, what, most)
    try:
        values = tomllib.loads(data.decode())
        _check_depth(values)
    except (ValueError, RecursionError) as error:  # TOML's and UTF-8's errors are ValueErrors
        problem = " ".join(str(error).split())
        raise InputError(f"{what} {path} is not valid TOML ({problem}); correct it.") from error
    return values


def parse_json(data: bytes, where: str) -> Any:
    """A JSON value from UTF-8 text. ``where`` begins error messages ("The prompt file best.json").

    Raises InputError for invalid JSON, for an object with a duplicate key, for a number that is not finite, for an
    integer of more than ``MAX_DIGITS`` digits, for lone surrogates, and for more than ``MAX_DEPTH`` levels.
    """
    try:
        value = json.loads(
            data.decode(),
            object_pairs_hook=unique_keys,
            parse_constant=_refuse_constant,
            parse_float=_float,
            parse_int=_int,
        )
        _check_depth(value)
        if b"\\ud" in data or b"\\uD" in data:
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        problem = " ".join(str(error).split())
        raise InputError(f"{where} is not valid JSON ({problem}); write it again.") from error
    return value


def schema_error_text(error: ValidationError) -> str:
    """Where and why values do not fit a schema, for an error message: "at 'labels.0' (why)"."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    why = " ".join(first["msg"].split())
    return f"at {place[:_SHOWN]!r} ({why[:_SHOWN]})"


def relative_parts(name: str, most: int = 1) -> Sequence[str]:
    """The parts of a relative path with ``/``, at most ``most`` of them, that stays inside its folder.

    Raises ValueError for any other text: an untrusted file may only name files in its own folder.
    """
    parts = name.split("/")
    if len(parts) > most:
        raise ValueError(f"{name[:80]!r} is no plain name")
    for part in parts:
        if part in ("", ".", "..") or len(part) > _MOST_NAME or not part.isprintable() or any(c in part for c in "\\:"):
            raise ValueError(f"{name[:80]!r} is no plain name")
    return parts


def _check_regular(found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "Is a directory")
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "Is no regular file")


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object's pairs as a dict, for ``object_pairs_hook``. Raises ValueError for a duplicate key."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:80]!r} stands twice in one object")
    return found


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:_SHOWN_DIGITS]}... is not finite")
    return value


def _int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"the number {text[:_SHOWN_DIGITS]}... has more than {MAX_DIGITS} digits")
    return int(text)


def _check_depth(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for item in level for inner in _inner(item)]
        if not level:
            return
    raise ValueError(f"more than {MAX_DEPTH} levels within one another")


def _inner(item: Any) -> Iterator[Any]:
    if isinstance(item, dict):
        yield from (value for value in item.values() if isinstance(value, dict | list))
    elif isinstance(item, list):
        yield from (value for value in item if isinstance(value, dict | list))


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"
