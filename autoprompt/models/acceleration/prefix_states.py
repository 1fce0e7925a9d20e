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
class Past:
    """Keys and values before each sequence of a batch.

    ``states``: [layers * 2, heads, length, width] for each sequence. ``keeps``: how many positions of each are used.
    """

    states: Sequence[Tensor]
    keeps: Sequence[int]
    device: torch.device

    @property
    def longest(self) -> int:
        """Number of columns before the batch's own."""
        return max(self.keeps)

    def mask(self) -> Tensor:
        """0/1 mask of the columns in use [sequences, longest]."""
        return torch.tensor([[1] * keep + [0] * (self.longest - keep) for keep in self.keeps])

    def part(self, index: int) -> Tensor:
        """Keys (even index) or values (odd) of a layer [sequences, heads, longest, width]; zeros after a row's end."""
        if self.device.type != "cpu":
            return self._whole[:, index]
        _, heads, _, width = self.states[0].shape
        out = self.states[0].new_zeros((len(self.states), heads, self.longest, width))
        for row, (state, keep) in enumerate(zip(self.states, self.keeps, strict=True)):
            out[row, :, :keep] = state[index, :, :keep]
        return out

    @cached_property
    def _whole(self) -> Tensor:
        """All layers at once [sequences, layers * 2, heads, longest, width].

        On a GPU each small copy is a kernel launch, and thousands of launches take longer than the pass itself.
        """
        layers, heads, _, width = self.states[0].shape
        out = self.states[0].new_zeros((len(self.states), layers, heads, self.longest, width), device=self.device)
        for row, (state, keep) in enumerate(zip(self.states, self.keeps, strict=True)):
            out[row, :, :, :keep] = state[:, :, :keep]
        return out

    def cache(self) -> Cache:
        """A transformers cache for one pass."""
        return Cache(layers=[_KeptLayer(self, layer) for layer in range(len(self.states[0]) // 2)])

    def growing(self, room: int) -> Cache:
        """A transformers cache for passes that decode token by token, over at most ``room`` further columns."""
        return Cache(layers=[_GrowingLayer(self, layer, room) for layer in range(len(self.states[0]) // 2)])


class _KeptLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Returns past and new states together and stores neither, so that skipped layers cost nothing."""

    def __init__(self, past: Past, layer: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.past = past
        self.layer = layer

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        keys, values = self.past.part(2 * self.layer), self.past.part(2 * self.layer + 1)
        return torch.cat([keys, key_states], -2), torch.cat([values, value_states], -2)

    def get_seq_length(self) -> int:
        return self.past.longest


class _GrowingLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Past and new states in tensors with room for all, so that a new token needs no copy of the others."""

    def __init__(self, past: Past, layer: int, room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.length = past.longest
        self.states = [nn.functional.pad(past.part(2 * layer + which), (0, 0, 0, room)) for which in (0, 1)]

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        start, self.length = self.length, self.length + key_states.shape[-2]
        for own, new in zip(self.states, (key_states, value_states), strict=True):
            own[:, :, start : self.length] = new
        keys, values = (own[:, :, : self.length] for own in self.states)
        return keys, values

    def get_seq_length(self) -> int:
        return self.length
