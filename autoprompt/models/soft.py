"""Trainable vectors in place of tokens (prompt tuning, Lester et al. 2021; P-tuning, Liu et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class SoftVectors:
    """A template's vectors, while one is in use; ids below 0 stand for them in a prompt's tokens."""

    def __init__(self, embedding: nn.Module) -> None:
        self.embedding = embedding
        self.values: nn.Parameter | None = None

    @contextmanager
    def drawn(self, count: int, seed: int) -> Iterator[nn.Parameter]:
        """Inside the context there are ``count`` vectors [count, width]: those of tokens drawn from the vocabulary,
        which start better than noise (Lester et al. 2021)."""
        generator = torch.Generator().manual_seed(seed)
        weight: Tensor = self.embedding.weight  # type: ignore[assignment]
        tokens = torch.randint(weight.shape[0], (count,), generator=generator).to(weight.device)
        with torch.no_grad():
            values = self.embedding(tokens).detach().clone()
        before, self.values = self.values, nn.Parameter(values, requires_grad=False)
        try:
            yield self.values
        finally:
            self.values = before

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings [sequences, columns, width] of token ids and vectors; without a context vectors of seed 0."""
        embeds: Tensor = self.embedding(ids.clamp(min=0))
        wanted = ids < 0
        if not wanted.any():
            return embeds
        if self.values is None:
            with self.drawn(int(-ids.min()), 0) as values:
                return torch.where(wanted[..., None], values[(-1 - ids).clamp(min=0)], embeds)
        return torch.where(wanted[..., None], self.values[(-1 - ids).clamp(min=0)].to(embeds.dtype), embeds)
