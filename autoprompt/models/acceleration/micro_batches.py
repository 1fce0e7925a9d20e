"""Micro-batches: passes that do not fit in memory, split into smaller parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from autoprompt.models.types import CandidateFailedError

T = TypeVar("T")

SHORT_MEMORY = (
    "out of memory",  # CUDA, HIP, XPU, MPS
    "can't allocate memory",  # torch's allocator on Linux
    "not enough memory",  # the same on Windows
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_NOT_SUPPORTED",
    "FATAL ERROR :: MODULE:PT_DEVMEM Allocation failed",  # HPU
    "could not create a memory",  # oneDNN
    "std::bad_alloc",
)
"""Texts in a RuntimeError that mean too little memory; accelerate knows some of these as well."""


def run_in_parts(rows: Sequence[int], run: Callable[[Sequence[int]], T]) -> Iterator[tuple[list[int], T]]:
    """Yield row indices and the result of ``run`` for them: all rows at once or, if memory is too short, in halves.

    A half that does not fit is halved again. Raises CandidateFailedError if memory is too short for one row.
    """
    waiting = [list(rows)]
    while waiting:
        part = waiting.pop()
        result = none_if_out_of_memory(run, part)
        if result is not None:
            yield part, result
            continue
        if len(part) == 1:
            raise CandidateFailedError("there is not enough memory for a pass of one row")
        half = -(-len(part) // 2)
        waiting += [part[half:], part[:half]]


def none_if_out_of_memory(run: Callable[[Sequence[int]], T], rows: Sequence[int]) -> T | None:
    """The result of ``run(rows)``, or None if memory was too short."""
    try:
        return run(rows)
    except (MemoryError, RuntimeError) as error:
        if not is_short_memory(error):
            raise
    # Outside of the handler, because its traceback still refers to the pass's tensors.
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()
    return None


def is_short_memory(error: BaseException) -> bool:
    """Whether an error says that memory was too short, on any device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in SHORT_MEMORY)
