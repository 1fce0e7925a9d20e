"""The list of tensors at the beginning of a safetensors file, read without loading any."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from autoprompt.errors import InputError
from autoprompt.untrusted import open_regular, parse_json

_MOST_HEADER = 32 << 20
_MOST_DIMENSION = 1 << 40
_START = 8
"""Bytes that say how long the list is."""


@dataclass(frozen=True)
class Held:
    """What weights hold: tensors, and their bytes as float32."""

    tensors: int
    size: int


def held(files: Iterable[Path]) -> Held:
    """What all of these files hold. Raises InputError for one that is no safetensors file, or not as long as it says;
    reading them all takes minutes, and this takes none."""
    tensors = size = 0
    for file in files:
        for numbers in _shapes(file):
            tensors += 1
            size += 4 * math.prod(numbers)
    return Held(tensors, size)


def memory() -> int | None:
    """Bytes of this machine's memory, where the system tells."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _shapes(file: Path) -> list[list[int]]:
    try:
        with open_regular(file) as opened:
            start = opened.read(_START)
            length = struct.unpack("<Q", start)[0] if len(start) == _START else 0
            if not 0 < length <= _MOST_HEADER:
                raise _damaged(file)
            header = parse_json(opened.read(length), f"The weights {file} cannot be loaded: their header")
            total = os.fstat(opened.fileno()).st_size
    except OSError as error:
        raise InputError(f"The weights {file} cannot be loaded ({error.strerror}); save them again.") from error
    if not isinstance(header, dict):
        raise _damaged(file)
    header.pop("__metadata__", None)
    ends = [_end(file, tensor) for tensor in header.values()]
    if total != _START + length + max(ends, default=0):
        raise _damaged(file)
    return [tensor["shape"] for tensor in header.values()]


def _end(file: Path, tensor: object) -> int:
    """Where a tensor's bytes end."""
    if not isinstance(tensor, Mapping) or not isinstance(tensor.get("dtype"), str):
        raise _damaged(file)
    for name in ("shape", "data_offsets"):
        numbers = tensor.get(name)
        if not isinstance(numbers, list) or not all(type(n) is int and 0 <= n < _MOST_DIMENSION for n in numbers):
            raise _damaged(file)
    offsets = tensor["data_offsets"]
    if len(offsets) != 2:
        raise _damaged(file)
    return int(offsets[1])


def _damaged(file: Path) -> InputError:
    return InputError(
        f"The weights {file} cannot be loaded: they are cut off, or no safetensors file; save them again."
    )
