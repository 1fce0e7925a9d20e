"""Passes that do not fit in memory are made in smaller parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from autoprompt.models.base import FitFailedError

T = TypeVar("T")


def in_memory(rows: Sequence[int], run: Callable[[Sequence[int]], T]) -> Iterator[tuple[list[int], T]]:
    """What ``run`` makes of the rows, all at once or, where memory is too short for that, in halves of halves.

    Raises FitFailedError where it is too short for one row.
    """
    waiting = [list(rows)]
    while waiting:
        part = waiting.pop()
        result = attempt(run, part)
        if result is not None:
            yield part, result
            continue
        if len(part) == 1:
            raise FitFailedError("the memory is too short for a pass of one row")
        half = -(-len(part) // 2)
        waiting += [part[half:], part[:half]]


def attempt(run: Callable[[Sequence[int]], T], rows: Sequence[int]) -> T | None:
    """The result, or None where memory was too short."""
    try:
        return run(rows)
    except (MemoryError, RuntimeError) as error:
        if not _is_short_memory(error):
            raise
    # Outside of the handler, whose traceback holds on to the pass's tensors.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def _is_short_memory(error: Exception) -> bool:
    """Whether it says so; on the CPU torch's allocator raises a plain RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "not enough memory" in str(error)
