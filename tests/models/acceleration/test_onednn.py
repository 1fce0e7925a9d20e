"""Frozen weights laid out for the CPU's kernels: the same products and gradients, and never those of old weights."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from autoprompt.models.acceleration import onednn


def layers(*sizes: tuple[int, int], bias: bool = True) -> tuple[nn.Sequential, nn.Sequential]:
    """Frozen linear layers, and the same ones packed."""
    torch.manual_seed(0)
    plain = nn.Sequential(*(nn.Linear(*size, bias=bias) for size in sizes)).requires_grad_(False)
    own = nn.Sequential(*(nn.Linear(*size, bias=bias) for size in sizes)).requires_grad_(False)
    own.load_state_dict(plain.state_dict())
    onednn.pack(own, [str(i) for i in range(len(sizes))])
    return plain, own


def is_packed(layer: nn.Module) -> bool:
    return "forward" in vars(layer)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 48), (7, 48), (2, 5, 48), (0, 48)])
def test_products_and_gradients_are_those_of_plain_layers(shape: tuple[int, ...], bias: bool) -> None:
    plain, own = layers((48, 33), (33, 20), bias=bias)
    assert all(map(is_packed, own))
    values = torch.randn(shape)
    given = [values.clone().requires_grad_(True) for _ in range(2)]
    with torch.no_grad():
        torch.testing.assert_close(own(values), plain(values))
    outputs = [net(v) for net, v in zip((own, plain), given, strict=True)]
    torch.testing.assert_close(*outputs)
    for output in outputs:
        output.square().sum().backward()
    torch.testing.assert_close(given[0].grad, given[1].grad)
    assert own[0].weight.grad is None


def test_a_bias_that_is_trained_gets_its_gradient() -> None:
    plain, own = layers((8, 6))
    values = torch.randn(3, 4, 8)
    for net in (plain, own):
        net[0].bias.requires_grad_(True)
        net(values).square().sum().backward()
    torch.testing.assert_close(own[0].bias.grad, plain[0].bias.grad)


def test_weights_that_are_trained_or_replaced_count_as_they_are() -> None:
    _, own = layers((8, 6))
    (layer,) = own
    values = torch.randn(3, 8)
    frozen = layer(values)
    base = layer.weight.data
    layer.weight.data = base * 2
    torch.testing.assert_close(layer(values), values @ (base * 2).T + layer.bias)
    layer.weight.requires_grad_(True)
    layer(values).sum().backward()
    assert layer.weight.grad is not None
    layer.weight.requires_grad_(False)
    layer.weight.data = base
    assert torch.equal(layer(values), frozen)


def test_a_copy_multiplies_with_its_own_weights() -> None:
    _, own = layers((8, 6))
    values = torch.randn(3, 8)
    before = own(values)
    other = copy.deepcopy(own)
    torch.testing.assert_close(other(values), before)
    with torch.no_grad():
        other[0].weight.mul_(2)
        other[0].bias.mul_(2)
    torch.testing.assert_close(other(values), 2 * before)
    assert torch.equal(own(values), before)


def test_a_row_is_the_same_whatever_stands_beside_it() -> None:
    _, own = layers((576, 192))
    values = torch.randn(64, 576)
    whole = own(values)
    for rows in (2, 5, 8, 31):
        torch.testing.assert_close(own(values[:rows]), whole[:rows], atol=1e-6, rtol=1e-6)


def test_what_cannot_be_packed_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    other = nn.Sequential(nn.Linear(8, 6, dtype=torch.bfloat16), nn.Conv1d(1, 1, 1)).requires_grad_(False)
    onednn.pack(other, ["0", "1"])
    assert not any(map(is_packed, other))
    monkeypatch.setattr(onednn, "LIMIT_BYTES", 8 * 6 * 4 + 6 * 6 * 4 - 1)
    assert not any(map(is_packed, layers((8, 6), (6, 6))[1]))
    monkeypatch.setattr(onednn, "LIMIT_BYTES", 8 * 6 * 4 + 6 * 6 * 4)
    assert all(map(is_packed, layers((8, 6), (6, 6))[1]))


def test_a_loaded_model_is_packed(model_folders: dict[str, Path]) -> None:
    from autoprompt.models import load_model

    model = load_model(model_folders["llama"])
    linear = [m for m in model.model.modules() if isinstance(m, nn.Linear) and m is not model.output.layer]
    assert linear
    assert all(map(is_packed, linear))
