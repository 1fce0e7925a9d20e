"""What layers are given at the words that close a template: where the adapters of ``tail`` begin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from autoprompt.models.acceleration.layer_replay import hooked
from autoprompt.models.prompts.batching import EncodedPrompt
from autoprompt.models.prompts.tokenized import EncodedRow

if TYPE_CHECKING:
    from autoprompt.models.families.base import TextModel

SOME_ROWS = 8
"""Whose means are taken: the closing words are the same in all."""


def closing_tokens(rows: Sequence[EncodedRow]) -> int:
    """How many tokens before the answer all rows' first inputs end with; 0 for a single one, which may be the full
    stop of every text."""
    ends = [row.inputs[row.targets[0].input][row.targets[0].places[0] :: -1] for row in rows]
    shortest = min(map(len, ends))
    shared = next((i for i in range(shortest) if len({own[i] for own in ends}) > 1), shortest)
    return shared if shared > 1 else 0


@torch.no_grad()
def mean_inputs(model: TextModel, prompted: EncodedPrompt, layers: Sequence[nn.Module]) -> dict[nn.Module, Tensor]:
    """What each layer is given at the closing tokens [tokens, width], the mean of some rows; nothing of a layer that is
    not given [sequences, columns, width]."""
    count = closing_tokens(prompted.rows)
    rows = range(0, len(prompted), max(1, len(prompted) // SOME_ROWS))[:SOME_ROWS]
    total: dict[nn.Module, Tensor] = {}

    def run(part: Sequence[int]) -> dict[nn.Module, Tensor]:
        batch = model.batch(prompted, part)
        assert batch.targets is not None  # noqa: S101
        first = batch.targets.first
        columns = batch.targets.column[first][:, None] - torch.arange(count, device=model.device)
        with _given(layers, batch.targets.sequence[first][:, None], columns, batch.ids.shape) as found:
            model.scores(batch)
        return found

    for _, found in model.in_memory(rows, run) if count else ():
        total = {layer: total.get(layer, 0) + own for layer, own in found.items()}
    return {layer: own / len(rows) for layer, own in total.items()}


@contextmanager
def _given(
    layers: Sequence[nn.Module], sequences: Tensor, columns: Tensor, shape: torch.Size
) -> Iterator[dict[nn.Module, Tensor]]:
    """Inside the context passes put in what each layer is given in those places, summed over the sequences."""
    found: dict[nn.Module, Tensor] = {}

    def keep(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        if given[0].shape[:-1] == shape:
            found[layer] = given[0][sequences, columns].float().sum(0)

    with hooked([layer.register_forward_pre_hook(keep) for layer in layers]):
        yield found
