"""Adapters of ``tail`` begin with what layers are given at the words that close a template."""

from collections.abc import Callable, Iterable
from typing import Any

import contract
import pytest
import tiny
import torch
from plain import Plain
from torch import Tensor

from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Example
from autoprompt.models.adaptation.lora_init import closing_tokens
from autoprompt.models.prompts.tokenized import EncodedRow, Target
from autoprompt.template import Template

CAUSAL = [name for name, family in contract.FAMILY.items() if family == "causal"]
CLOSING = " It was"
RANK = 8
STILL = Settings("tail", 1e-12, 8, 1, RANK)
"""A rate that leaves the adapters where they begin."""


def _begun(model: Any, rows: list[Example], template: str) -> dict[str, Tensor]:
    candidate = Candidate(Template.parse(template), contract.words_of("llama"), STILL)
    delta = model.tune(model.prompt(candidate, rows), tiny.gold(tuple(rows)), STILL, 3)
    return {key.split(".lora_A.")[0]: values for key, values in delta.items() if ".lora_A." in key}


def _given(made: Plain, layers: Iterable[str], prompts: list[list[int]], count: int) -> dict[str, Tensor]:
    """The mean of what each layer is given at the last ``count`` places [count, width], prompt by prompt."""
    seen: dict[str, list[Tensor]] = {name: [] for name in layers}
    hooks = [
        made.network.get_submodule(name).register_forward_pre_hook(
            lambda _, given, name=name: seen[name].append(given[0][0, -count:])
        )
        for name in seen
    ]
    with torch.no_grad():
        for ids in prompts:
            made.network(**made.read(ids))
    for hook in hooks:
        hook.remove()
    return {name: torch.stack(own).mean(0) for name, own in seen.items()}


@pytest.mark.parametrize("name", CAUSAL)
def test_they_pass_on_what_the_closing_words_give(
    shared: Callable[[str], Any], plain: Callable[[str], Plain], name: str
) -> None:
    """Each layer's mean inputs there lie in the span of its adapter's rows, of which there are enough."""
    rows = contract.rows()[:8]
    begun = _begun(shared(name), rows, "{text}" + CLOSING + " {label}")
    prompts = [plain(name).ids([row.fields["text"] + CLOSING], "")[0] for row in rows]
    count = next(n for n in range(99) if len({ids[-1 - n] for ids in prompts}) > 1)
    assert 1 < count <= RANK
    for layer, given in _given(plain(name), begun, prompts, count).items():
        basis = torch.linalg.qr(begun[layer].T)[0]
        torch.testing.assert_close(given @ basis @ basis.T, given, rtol=1e-2, atol=1e-3 * float(given.abs().max()))


def test_where_nothing_closes_the_template_they_are_drawn(shared: Callable[[str], Any]) -> None:
    rows = [Example(f"r{n}", {"text": f"it was {word}"}, tiny.LABELS[n % 2]) for n, word in enumerate(("so", "no"))]
    model = shared("llama")
    one, other = (_begun(model, rows, template) for template in ("Say: {text} {label}", "It is: {text} {label}"))
    closed = _begun(model, rows, "{text}" + CLOSING + " {label}")
    for layer, values in one.items():
        torch.testing.assert_close(values, other[layer])
        assert not torch.allclose(values, closed[layer], atol=1e-3)


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ([(5, 1, 2, 9), (6, 6, 1, 2, 8)], 2),
        ([(1, 2, 9), (1, 2, 8)], 2),
        ([(1, 2, 9)], 2),
        ([(5, 2, 9), (6, 2, 8)], 0),
        ([(1, 3, 9), (1, 2, 9)], 0),
    ],
)
def test_closing_tokens_are_those_that_all_rows_share(inputs: list[tuple[int, ...]], expected: int) -> None:
    """The last token of each is part of its answer."""
    rows = [EncodedRow((ids,), (Target(0, (len(ids) - 2,), ids[-1:]),)) for ids in inputs]
    assert closing_tokens(rows) == expected
