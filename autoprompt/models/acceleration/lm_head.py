"""Output layer (LM head) that computes logits only for the places and ids that are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass
class LogitRequest:
    """A request for logits [1, places, ids] instead of [sequences, columns, vocabulary].

    ``sequence``, ``column``: [places]. ``ids``: [ids], or None for the whole vocabulary. ``hidden``: after the pass,
    the layer's input at the places [places, width].
    """

    sequence: Tensor
    column: Tensor
    ids: Tensor | None = None
    hidden: Tensor | None = None


class OutputLayer:
    """Replaces the forward of a linear output layer; what the model does to the logits afterwards is unchanged."""

    def __init__(self, layer: nn.Linear) -> None:
        self.layer = layer
        self._request: LogitRequest | None = None
        layer.forward = self._forward  # type: ignore[method-assign, assignment]

    def _forward(self, hidden: Tensor) -> Tensor:
        weight: Tensor = self.layer.weight
        bias: Tensor | None = self.layer.bias
        request = self._request
        if request is not None:
            hidden = hidden[request.sequence, request.column][None]
            request.hidden = hidden[0]
            if request.ids is not None:
                weight = weight[request.ids]
                bias = bias[request.ids] if bias is not None else None
        return nn.functional.linear(hidden, weight, bias)

    @contextmanager
    def only(self, request: LogitRequest) -> Iterator[None]:
        """Inside the context a pass gives only the logits that are requested."""
        self._request = request
        try:
            yield
        finally:
            self._request = None
