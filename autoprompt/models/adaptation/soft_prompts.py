"""Soft prompts: trainable vectors in place of tokens (prompt tuning, Lester et al. 2021; P-tuning, Liu et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from autoprompt.candidate import Candidate
from autoprompt.template import Soft, Template

SOFT_TOKENS = 8
"""Trainable vectors put before a template that has none, in tuning mode ``soft``."""


def with_soft_vectors(candidate: Candidate) -> Candidate:
    """The candidate, with trainable vectors added where tuning mode ``soft`` would have none to train."""
    if candidate.settings.tuning != "soft" or candidate.template.soft:
        return candidate
    return replace(candidate, template=Template((Soft(SOFT_TOKENS), *candidate.template.segments)))


class SoftVectors:
    """The trainable vectors of the template in use; ids below 0 stand for them in a prompt's tokens.

    The vectors replace the embedding layer's output. In the ids an ordinary token replaces each of them, so that what a
    model derives from its ids (positions, the end of a text) is not affected.
    """

    def __init__(self, embedding: nn.Module, stand_in: int) -> None:
        """``stand_in``: any id that is not a special token."""
        self.embedding = embedding
        self.stand_in = stand_in
        self.values: nn.Parameter | None = None

    @contextmanager
    def initialised(self, count: int, seed: int) -> Iterator[nn.Parameter]:
        """Inside the context ``count`` vectors [count, width] are in use.

        They start as the embeddings of random tokens, which is better than noise (Lester et al. 2021).
        """
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
        """Embeddings [sequences, columns, width] of ids and vectors; outside ``initialised``, vectors of seed 0."""
        embeds: Tensor = self.embedding(ids.clamp(min=0))
        wanted = ids < 0
        if not wanted.any():
            return embeds
        if self.values is None:
            with self.initialised(int(-ids.min()), 0) as values:
                return torch.where(wanted[..., None], values[(-1 - ids).clamp(min=0)], embeds)
        return torch.where(wanted[..., None], self.values[(-1 - ids).clamp(min=0)].to(embeds.dtype), embeds)

    @contextmanager
    def inserted(self, ids: Tensor, embeds: Tensor | None = None) -> Iterator[Tensor]:
        """Inside the context the first pass over the yielded ids uses ``embeds`` (default: ``embed(ids)``)."""
        wanted = ids < 0
        if embeds is None and not bool(wanted.any()):
            yield ids
            return
        waiting = [self.embed(ids) if embeds is None else embeds]
        given = torch.where(wanted, self.stand_in, ids)

        def instead(_: nn.Module, read: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            return _replaced_embeddings(output, read[0], given, waiting.pop()) if waiting else None

        hook = self.embedding.register_forward_hook(instead)
        try:
            yield given
        finally:
            hook.remove()
        if waiting:
            raise RuntimeError("the model made a pass without its embedding layer")

    def table(self) -> Tensor:
        """The embedding layer's output for each token [vocabulary, width]; some models scale their weights."""
        weight: Tensor = self.embedding.weight.detach()  # type: ignore[operator]
        if type(self.embedding) is nn.Embedding:
            return weight
        with torch.no_grad():
            scaled: Tensor = self.embedding(torch.arange(weight.shape[0], device=weight.device))
        return scaled


def _replaced_embeddings(output: Tensor, read: Tensor, given: Tensor, embeds: Tensor) -> Tensor:
    """The embedding layer's output with ``embeds`` in place of the ``given`` ids.

    Some models read more columns, or the ids transposed.
    """
    columns = given.shape[1]
    if read.shape[0] == len(given) and torch.equal(read[:, :columns], given):
        return torch.cat([embeds, output[:, columns:]], 1) if read.shape[1] > columns else embeds
    if torch.equal(read, given.T):
        return embeds.transpose(0, 1)
    raise RuntimeError("the model reads other ids than it was given")
