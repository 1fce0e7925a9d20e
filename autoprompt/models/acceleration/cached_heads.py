"""Cached keys and values of prompts' heads: the part of a prompt up to the end of the text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import torch
from torch import Tensor

from autoprompt.hashing import canonical_json, digest
from autoprompt.models.acceleration.micro_batches import none_if_out_of_memory
from autoprompt.models.acceleration.prefix_cache import PrefixStore, group_by_length
from autoprompt.models.passes import Passes
from autoprompt.models.prompts.batching import padded
from autoprompt.models.types import CandidateFailedError

Heads = Sequence[Sequence[int]]
"""Token ids of each row's head."""


class CachedHeads:
    """Keeps the states of heads in a store, and computes those that are missing.

    ``run``: a pass of the frozen model over ids and mask [rows, columns]; returns its keys and values
    [layers * 2, rows, heads, columns, width]. ``count``: called with the number of tokens that are processed.
    """

    def __init__(
        self,
        store: PrefixStore,
        passes: Passes,
        run: Callable[[Tensor, Tensor], Tensor],
        count: Callable[[int], None],
    ) -> None:
        self.store = store
        self._passes = passes
        self._run = run
        self._count = count

    @contextmanager
    def temporary(self) -> Iterator[None]:
        """Inside the context the states are stored in memory only and dropped at its end."""
        lasting, self.store = self.store, PrefixStore(None)
        try:
            yield
        finally:
            self.store = lasting

    def prepare(self, heads: Heads, part: int, parts: int) -> None:
        """Compute and store the states of one share of the heads (``part`` of ``parts``).

        If memory is too short, only the candidate that needs the prefix fails later, not the run.
        """
        with suppress(CandidateFailedError):
            for block in group_by_length([len(head) for head in heads])[part::parts]:
                self._block([heads[row] for row in block])

    def states(self, heads: Heads) -> list[Tensor]:
        """The states of each head [layers * 2, heads, length, width]; values past its length are never read."""
        out: dict[int, Tensor] = {}
        for block in group_by_length([len(head) for head in heads]):
            states = self._block([heads[row] for row in block])
            out |= {row: states[:, place] for place, row in enumerate(block)}
        return [out[row] for row in range(len(heads))]

    def _block(self, heads: Heads) -> Tensor:
        return self.store.get(digest(canonical_json(heads))[:32], lambda: self._computed(heads))

    @torch.no_grad()
    def _computed(self, heads: Heads) -> Tensor:
        """States of one block [layers * 2, rows, heads, longest, width]."""
        ids, mask, _ = padded([head or [0] for head in heads], 0, left=False)
        self._count(sum(map(len, heads)))
        passes = self._passes.in_parts(range(len(heads)), lambda rows: self._run(ids[rows], mask[rows]))
        found = [states for _, states in passes]
        if len(found) == 1:
            return found[0]
        whole = none_if_out_of_memory(lambda _: torch.cat(found, 1), ())
        if whole is None:
            raise CandidateFailedError("there is not enough memory for the cached prefixes")
        return whole
