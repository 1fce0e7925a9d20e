"""A model's stack of layers: those below all that is trained can be left out of the training passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

LOWER_SHARE = 0.4
"""Layers without adapters. On six samples of rotten-tomatoes that cost no accuracy (.776 against .778 with all
layers, ``Label: {label}`` on a line of its own), while a half did (.744) unless the learning rate was raised.
"""
SAME = 1e-4


class LayerStack:
    """The layers that hidden states pass one after the other, parted in a lower and an upper part.

    Adapters sit in the upper part alone: that shortens the backward pass, and one pass through what lies below them
    serves all epochs.
    """

    def __init__(self, model: nn.Module, count: int, ids: Tensor) -> None:
        """``count``: the model's number of layers. ``ids`` [1, columns]: what it reads to show how they hand on."""
        found = (m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == count)
        self.layers: Sequence[nn.Module] = list(next(found, ()))
        self._share = LOWER_SHARE
        self._in_tuples = False
        self._later: set[nn.Module] = set()
        self.replayable = self._hands_on(model, ids) and self._replays(model, ids)

    @property
    def upper(self) -> Sequence[nn.Module]:
        """The layers nearer to the output."""
        return self.layers[int(len(self.layers) * self._share) :]

    @property
    def lower(self) -> Sequence[nn.Module]:
        """The layers nearer to the input."""
        return self.layers[: int(len(self.layers) * self._share)]

    def _hands_on(self, model: nn.Module, ids: Tensor) -> bool:
        """Whether each layer's input [1, columns, width] is the output of the one before, and nothing happens in
        between; notes which modules come after the last."""
        inputs: list[Any] = []
        outputs: list[Any] = []
        begun: list[nn.Module] = []
        earlier: set[nn.Module] = set()

        def keep(_layer: nn.Module, given: tuple[Any, ...], output: Any) -> None:
            inputs.append(given[0] if given else None)
            outputs.append(output)
            earlier.update(begun)

        hooks = [m.register_forward_pre_hook(lambda module, _: begun.append(module)) for m in model.modules()]
        hooks += [layer.register_forward_hook(keep) for layer in self.layers]
        with hooked(hooks):
            model(input_ids=ids)
        if not outputs or len(outputs) != len(self.layers):
            self.layers = []
            return False
        self._later = set(begun) - earlier
        self._in_tuples = isinstance(outputs[0], tuple)
        handed_on = [output[0] if self._in_tuples else output for output in outputs]
        if not all(given is output for given, output in zip(inputs[1:], handed_on[:-1], strict=True)):
            self.layers = []
            return False
        plain = not self._in_tuples or len(outputs[0]) == 2
        return plain and all(hidden.shape[:2] == ids.shape for hidden in handed_on)

    def _replays(self, model: nn.Module, ids: Tensor) -> bool:
        """Whether the last layer gives the same without a pass through those before: some hand on more than hidden
        states."""
        before = len(self.layers) - 1
        with self._outputs_of(before) as whole, self._outputs_of(before + 1) as last:
            model(input_ids=ids)
            with self.replaying(whole[0] if before else None, before):
                model(input_ids=ids)
        return torch.allclose(last[0], last[1], atol=SAME, rtol=SAME)

    def linear_names(self, names: Sequence[str], model: nn.Module, *, later: bool = False) -> list[str]:
        """Those of the named layers in the upper part or, if wanted, later than the stack; all where there is none."""
        inside = {module for layer in self.upper for module in layer.modules()} | (self._later if later else set())
        return [name for name in names if not self.layers or model.get_submodule(name) in inside]

    def before(self, names: Sequence[str], model: nn.Module) -> int:
        """How many layers a pass is through before it reaches the first of the named modules; 0 where that is not
        known."""
        end = len(self.layers)
        places = dict.fromkeys(self._later, end)
        for place, layer in reversed(list(enumerate(self.layers))):  # what layers share is reached with the first
            places |= dict.fromkeys(layer.modules(), place)
        reached = [places.get(model.get_submodule(name), 0) for name in names]
        return min(reached, default=0) if self.replayable else 0

    @contextmanager
    def recording(self, count: int) -> Iterator[list[Tensor]]:
        """Inside the context a pass leaves out the layers after the first ``count``, whose output is put into the
        list."""
        with self._outputs_of(count) as outputs, _instead(self.layers[count:], self._hand_on):
            yield outputs

    @contextmanager
    def replaying(self, hidden: Tensor | None, count: int) -> Iterator[None]:
        """Inside the context the first ``count`` layers give ``hidden`` without any work (None: they do their work)."""
        done = self.layers[:count] if hidden is not None else []
        with _instead(done[:-1], self._hand_on), _instead(done[-1:], lambda *_, **__: self._hand_on(hidden)):
            yield

    @contextmanager
    def _outputs_of(self, count: int) -> Iterator[list[Tensor]]:
        """Puts what the first ``count`` layers give into the list, pass by pass."""
        outputs: list[Tensor] = []

        def keep(_layer: nn.Module, _given: Any, output: Any) -> None:
            outputs.append(output[0] if self._in_tuples else output)

        with hooked([layer.register_forward_hook(keep) for layer in self.layers[:count][-1:]]):
            yield outputs

    def _hand_on(self, hidden: Any, *_: Any, **__: Any) -> Any:
        return (hidden, None) if self._in_tuples else hidden


@contextmanager
def hooked(hooks: Sequence[Any]) -> Iterator[None]:
    """Takes hooks away at the context's end."""
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _instead(layers: Sequence[nn.Module], forward: Callable[..., Any]) -> Iterator[None]:
    """Other forward functions for some layers."""
    for layer in layers:
        layer.forward = forward
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward  # the class's own shows again
