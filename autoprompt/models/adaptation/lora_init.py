"""Mean layer inputs at the template's closing words, used to initialise the adapters of ``tail``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from autoprompt.models.acceleration.layer_replay import temporary_hooks
from autoprompt.models.passes import Passes
from autoprompt.models.prompts.batching import Batch, EncodedPrompt
from autoprompt.models.prompts.tokenized import EncodedRow

SOME_ROWS = 8
"""Rows to average over; few are enough, because the closing words are the same in all rows."""


def common_ending(rows: Sequence[EncodedRow]) -> int:
    """Number of tokens before the answer that the first inputs of all rows end with.

    A single one counts as 0, because it may be the full stop at the end of every text.
    """
    ends = [row.inputs[row.targets[0].input][row.targets[0].places[0] :: -1] for row in rows]
    shortest = min(map(len, ends))
    shared = next((i for i in range(shortest) if len({own[i] for own in ends}) > 1), shortest)
    return shared if shared > 1 else 0


@torch.no_grad()
def mean_inputs(
    layers: Sequence[nn.Module], prompted: EncodedPrompt, passes: Passes, scores: Callable[[Batch], Tensor]
) -> dict[nn.Module, Tensor]:
    """Mean input of each layer at the template's closing words [tokens, width], over some rows.

    ``scores`` runs a pass over a batch. Leaves out layers whose input is not [sequences, columns, width].
    """
    count = common_ending(prompted.rows)
    rows = range(0, len(prompted), max(1, len(prompted) // SOME_ROWS))[:SOME_ROWS]
    total: dict[nn.Module, Tensor] = {}

    def run(part: Sequence[int]) -> dict[nn.Module, Tensor]:
        batch = passes.batch(prompted, part)
        assert batch.targets is not None  # noqa: S101
        first = batch.targets.first
        columns = batch.targets.column[first][:, None] - torch.arange(count, device=passes.device)
        with _recorded_inputs(layers, batch.targets.sequence[first][:, None], columns, batch.ids.shape) as found:
            scores(batch)
        return found

    for _, found in passes.in_parts(rows, run) if count else ():
        total = {layer: total.get(layer, 0) + own for layer, own in found.items()}
    return {layer: own / len(rows) for layer, own in total.items()}


@contextmanager
def _recorded_inputs(
    layers: Sequence[nn.Module], sequences: Tensor, columns: Tensor, shape: torch.Size
) -> Iterator[dict[nn.Module, Tensor]]:
    """Inside the context a pass puts each layer's inputs at these places, summed over the sequences, into the dict."""
    found: dict[nn.Module, Tensor] = {}

    def keep(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        if given[0].shape[:-1] == shape:
            found[layer] = given[0][sequences, columns].float().sum(0)

    with temporary_hooks([layer.register_forward_pre_hook(keep) for layer in layers]):
        yield found
