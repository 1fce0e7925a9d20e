"""Header of a safetensors file: number and sizes of its tensors, read without loading any tensor."""

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
"""Bytes that hold the length of the header."""


@dataclass(frozen=True)
class Held:
    """Number of tensors in weight files, and their size in bytes as float32."""

    tensors: int
    size: int


def held(files: Iterable[Path]) -> Held:
    """Number and size of the tensors in all of these files, from their headers: reading whole files takes minutes.

    Raises InputError for a file that is not safetensors, or not as long as its header says.
    """
    tensors = size = 0
    for file in files:
        for numbers in _shapes(file):
            tensors += 1
            size += 4 * math.prod(numbers)
    return Held(tensors, size)


def memory() -> int | None:
    """This machine's memory in bytes; None if the system does not report it."""
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
    """Offset of the end of a tensor's bytes. Raises InputError for an invalid header."""
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
