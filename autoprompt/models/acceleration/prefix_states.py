"""Cached prefixes as the past keys and values of a pass, gathered one layer at a time as the pass needs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicLayer


@dataclass(frozen=True)
class PrefixStates:
    """Keys and values before each sequence of a batch.

    ``states``: [layers * 2, heads, length, width] for each sequence. ``lengths``: how many positions of each are used.
    """

    states: Sequence[Tensor]
    lengths: Sequence[int]
    device: torch.device

    @property
    def longest(self) -> int:
        """Number of columns before the batch's own."""
        return max(self.lengths)

    def mask(self) -> Tensor:
        """0/1 mask of the columns in use [sequences, longest]."""
        return torch.tensor([[1] * length + [0] * (self.longest - length) for length in self.lengths])

    def keys_or_values(self, index: int) -> Tensor:
        """Keys (even index) or values (odd) of a layer [sequences, heads, longest, width]; zeros after a row's end."""
        if self.device.type != "cpu":
            return self._all_layers[:, index]
        _, heads, _, width = self.states[0].shape
        out = self.states[0].new_zeros((len(self.states), heads, self.longest, width))
        for row, (state, length) in enumerate(zip(self.states, self.lengths, strict=True)):
            out[row, :, :length] = state[index, :, :length]
        return out

    @cached_property
    def _all_layers(self) -> Tensor:
        """All layers at once [sequences, layers * 2, heads, longest, width].

        On a GPU each small copy is a kernel launch, and thousands of launches take longer than the pass itself.
        """
        layers, heads, _, width = self.states[0].shape
        out = self.states[0].new_zeros((len(self.states), layers, heads, self.longest, width), device=self.device)
        for row, (state, length) in enumerate(zip(self.states, self.lengths, strict=True)):
            out[row, :, :, :length] = state[:, :, :length]
        return out

    def cache(self) -> Cache:
        """A transformers cache for one pass."""
        return Cache(layers=[_FixedLayer(self, layer) for layer in range(len(self.states[0]) // 2)])

    def growing_cache(self, room: int) -> Cache:
        """A transformers cache for passes that decode token by token, over at most ``room`` further columns."""
        return Cache(layers=[_GrowingLayer(self, layer, room) for layer in range(len(self.states[0]) // 2)])


class _FixedLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Returns prefix and new states together and stores neither, so that skipped layers cost nothing."""

    def __init__(self, prefix: PrefixStates, layer: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.prefix = prefix
        self.layer = layer

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        keys, values = self.prefix.keys_or_values(2 * self.layer), self.prefix.keys_or_values(2 * self.layer + 1)
        return torch.cat([keys, key_states], -2), torch.cat([values, value_states], -2)

    def get_seq_length(self) -> int:
        return self.prefix.longest


class _GrowingLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Prefix and new states in tensors with room for all, so that a new token needs no copy of the others."""

    def __init__(self, prefix: PrefixStates, layer: int, room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.length = prefix.longest
        self.states = [nn.functional.pad(prefix.keys_or_values(2 * layer + which), (0, 0, 0, room)) for which in (0, 1)]

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        start, self.length = self.length, self.length + key_states.shape[-2]
        for own, new in zip(self.states, (key_states, value_states), strict=True):
            own[:, :, start : self.length] = new
        keys, values = (own[:, :, : self.length] for own in self.states)
        return keys, values

    def get_seq_length(self) -> int:
        return self.length
