"""Faster products with frozen weights on the CPU, from copies of the weights packed for oneDNN's kernels.

A plain linear layer passes its weights unpacked, and each product packs them again. This takes time where rows are few,
as in a tail. On one core of an AMD EPYC (AVX-512) products of 32, 48 and 128 rows with weights of 576 by 1536 rose from
67, 75 and 91 GFLOP/s to 97, 100 and 108. The result of a row also depends less on the other rows of the product.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

LIMIT_BYTES = 1 << 30
"""Maximum bytes of a model's weights to pack; of a larger model none are packed. With the copies for gradients, a
process holds up to twice as much."""
_OPERATORS = ("_linear_pointwise", "_reorder_linear_weight")


def pack(model: nn.Module, names: Iterable[str]) -> None:
    """Let the named layers multiply with packed copies, as long as their own weights are the frozen ones.

    Does nothing on other devices than the CPU, if this build of torch cannot do it, for other types than float32, and
    for weights beyond the limit.
    """
    layers = [layer for name in names if isinstance(layer := model.get_submodule(name), nn.Linear)]
    weights = [layer.weight for layer in layers]
    fitting = sum(weight.nbytes for weight in weights) <= LIMIT_BYTES
    if fitting and all(w.device.type == "cpu" and w.dtype == torch.float32 for w in weights) and _works():
        for layer in layers:
            _PackedLinear(layer)


@functools.cache
def _works() -> bool:
    """Whether torch has oneDNN and its operators, which are not a public interface, compute the right product."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not available or not all(hasattr(torch.ops.mkldnn, name) for name in _OPERATORS):
        return False
    values = torch.arange(96.0).reshape(2, 48) / 96
    weight, bias = torch.linspace(-1, 1, 32 * 48).reshape(32, 48), torch.linspace(0, 1, 32)
    return torch.allclose(_product(values, _packed_weight(weight), bias), nn.functional.linear(values, weight, bias))


def _packed_weight(weight: Tensor) -> Tensor:
    """The weight [outputs, inputs], packed in the kernels' own layout."""
    out: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous())
    return out


def _product(values: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(values, packed, bias, "none", [], "")
    return out


class _PackedLinear:
    """Replaces the forward of a linear layer; packs its weights when they are first needed.

    The weights may be replaced or trained, but not changed in place.
    """

    def __init__(self, layer: nn.Linear) -> None:
        self.layer = layer
        self.frozen = layer.weight.detach()
        layer.forward = self._forward  # type: ignore[method-assign, assignment]

    def __getstate__(self) -> dict[str, Any]:
        return {"layer": self.layer, "frozen": torch.empty(0)}  # no packed weights: a copy computes as a plain layer

    @cached_property
    def forward_weight(self) -> Tensor:
        return _packed_weight(self.frozen)

    @cached_property
    def backward_weight(self) -> Tensor:
        return _packed_weight(self.frozen.t())

    def _forward(self, values: Tensor) -> Tensor:
        weight, bias = self.layer.weight, self.layer.bias
        # A fine-tune of all weights replaces them by its own copies.
        replaced = weight.requires_grad or weight.data_ptr() != self.frozen.data_ptr()
        if replaced or values.dtype != torch.float32:
            return nn.functional.linear(values, weight, bias)
        if not torch.is_grad_enabled():
            return _product(values, self.forward_weight, bias)
        out: Tensor = _FrozenProduct.apply(values, bias, self)  # type: ignore[no-untyped-call]
        return out


class _FrozenProduct(torch.autograd.Function):
    """Product with packed weights; it has gradients of the inputs and the bias, not of the weights."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, bias: Tensor | None, packed: _PackedLinear) -> Tensor:
        ctx.packed = packed
        return _product(values, packed.forward_weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        wanted, wanted_bias, _ = ctx.needs_input_grad
        values = _product(gradient, ctx.packed.backward_weight, None) if wanted else None
        bias = gradient.flatten(0, -2).sum(0) if wanted_bias else None
        return values, bias, None
