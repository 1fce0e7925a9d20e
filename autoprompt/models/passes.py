"""Passes over the rows of a prompt: grouped by similar length, and in smaller parts where memory is too short."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from autoprompt.models.acceleration.micro_batches import run_in_parts
from autoprompt.models.acceleration.prefix_cache import group_by_length
from autoprompt.models.prompts.batching import Batch, EncodedPrompt, collate

T = TypeVar("T")

SCORE_SEQUENCES = 32
"""Sequences per scoring pass."""


class Passes:
    """Collates the rows of prompts for one network, and runs passes over them.

    ``pad``: token id for masked-out positions. ``left_aligned``: whether the inputs of a batch begin in the same column
    (padding on the right) or end in the same one (on the left).
    """

    def __init__(self, device: torch.device, pad: int, *, left_aligned: bool) -> None:
        self.device = device
        self.pad = pad
        self.left_aligned = left_aligned
        self.micro_batch: int | None = None
        """See ``LanguageModel.micro_batch``."""

    def batch(self, prompted: EncodedPrompt, rows: Sequence[int]) -> Batch:
        """Collate some rows for one pass."""
        return collate(prompted, rows, self.device, pad=self.pad, left=not self.left_aligned)

    def over(self, prompted: EncodedPrompt, run: Callable[[Batch], T]) -> Iterator[tuple[list[int], T]]:
        """Yield row indices and the result of ``run`` for a batch of them, until all rows of the prompt are covered."""
        if not prompted.rows:
            return
        most = max(len(row.inputs) for row in prompted.rows)
        lengths = [len(row.context) + max(map(len, row.inputs)) for row in prompted.rows]
        for block in group_by_length(lengths, max(1, SCORE_SEQUENCES // most)):
            yield from self.in_parts(block, lambda rows: run(self.batch(prompted, rows)))

    def in_parts(self, rows: Sequence[int], run: Callable[[Sequence[int]], T]) -> Iterator[tuple[list[int], T]]:
        """See ``micro_batches.run_in_parts``; ``micro_batch`` records the number of rows of the smallest part."""
        for part, result in run_in_parts(rows, run):
            if len(part) < len(rows):
                self.record(len(part))
            yield part, result

    def record(self, rows: int) -> None:
        """Record that memory was too short for more than ``rows`` rows."""
        self.micro_batch = min(rows, self.micro_batch or rows)

    def without_padding(self, columns: Tensor, length: int) -> Tensor:
        """The columns [length, ...] of a sequence of this length, out of those of its batch [columns, ...]."""
        return columns[:length] if self.left_aligned else columns[-length:]
