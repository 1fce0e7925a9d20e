"""The output layer (hidden state → vocabulary), which can be asked for some ids alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


class OutputLayer:
    """Takes over a linear output layer's forward; what the model does to logits afterwards stays in force."""

    def __init__(self, layer: nn.Linear) -> None:
        self.layer = layer
        self._ids: Tensor | None = None
        layer.forward = self._forward  # type: ignore[method-assign, assignment]

    def _forward(self, hidden: Tensor) -> Tensor:
        # A strided view of the last columns would be multiplied row by row, ten times slower.
        hidden = hidden.contiguous()
        weight: Tensor = self.layer.weight
        bias: Tensor | None = self.layer.bias
        if self._ids is not None:
            weight = weight[self._ids]
            bias = bias[self._ids] if bias is not None else None
        return nn.functional.linear(hidden, weight, bias)

    @contextmanager
    def only(self, ids: Tensor | None) -> Iterator[None]:
        """Inside the context logits are those of ``ids`` (all, when None)."""
        self._ids = ids
        try:
            yield
        finally:
            self._ids = None
