"""The output layer (hidden state → vocabulary), which can be asked for some places and some ids alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass
class Asked:
    """What a pass is to give: logits [1, places, ids] instead of [sequences, columns, vocabulary].

    ``sequence``, ``column``: [places]. ``ids``: [ids], or None for the whole vocabulary. ``hidden``: afterwards, the
    layer's input at the places [places, width].
    """

    sequence: Tensor
    column: Tensor
    ids: Tensor | None = None
    hidden: Tensor | None = None


class OutputLayer:
    """Takes over a linear output layer's forward; what the model does to logits afterwards stays in force."""

    def __init__(self, layer: nn.Linear) -> None:
        self.layer = layer
        self._asked: Asked | None = None
        layer.forward = self._forward  # type: ignore[method-assign, assignment]

    def _forward(self, hidden: Tensor) -> Tensor:
        weight: Tensor = self.layer.weight
        bias: Tensor | None = self.layer.bias
        asked = self._asked
        if asked is not None:
            hidden = hidden[asked.sequence, asked.column][None]
            asked.hidden = hidden[0]
            if asked.ids is not None:
                weight = weight[asked.ids]
                bias = bias[asked.ids] if bias is not None else None
        return nn.functional.linear(hidden, weight, bias)

    @contextmanager
    def only(self, asked: Asked) -> Iterator[None]:
        """Inside the context a pass gives what is ``asked``."""
        self._asked = asked
        try:
            yield
        finally:
            self._asked = None
