"""Greedy decoding with a causal model, continued from cached prefixes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor

from autoprompt.models.introspection import cache_of
from autoprompt.models.prompts.batching import Batch


def end_tokens(network: Any, tokenizer: Any) -> set[int]:
    """Ids that end a text: the tokenizer's, and those of the network's generation config."""
    declared = getattr(getattr(network, "generation_config", None), "eos_token_id", None)
    listed = declared if isinstance(declared, list) else [declared]
    return {token for token in (tokenizer.eos_token_id, *listed) if token is not None}


def greedy(
    batch: Batch,
    step: Callable[[Tensor, Tensor, Tensor, Any], Any],
    count: Callable[[int], None],
    length: int,
    *,
    ends: Collection[int],
    limit: int,
) -> list[list[int]]:
    """Generated ids of each sequence, at most ``length``; fewer once every sequence has ended.

    ``step``: runs a pass over ids, mask, positions and cache, and returns the network's output. ``count``: called with
    the number of tokens that a pass processes. ``ends``: ids that end a text. ``limit``: the network's positions. Ids
    after a sequence's end, or beyond the last position, have no meaning.
    """
    cache = batch.prefix.growing_cache(batch.ids.shape[1] + length) if batch.prefix is not None else None
    mask, positions, last = batch.mask, batch.positions, limit - 1
    ended = torch.zeros(len(batch.ids), dtype=torch.bool, device=batch.ids.device)
    stop = torch.tensor(sorted(ends), device=batch.ids.device)
    written: list[Tensor] = []
    given = batch.ids
    count(batch.tokens)
    while len(written) < length and not bool(ended.all()):
        output = step(given, mask, positions.clamp(max=last), cache)
        written.append(output.logits[:, -1].argmax(-1))
        ended |= torch.isin(written[-1], stop) | (positions[:, -1] >= last)
        cache = cache_of(output)
        # Without cached keys and values, the whole sequence is read again.
        given = written[-1][:, None] if cache is not None else torch.cat([given, written[-1][:, None]], 1)
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        positions = torch.cat([positions, positions[:, -1:] + 1], 1)[:, -given.shape[1] :]
        count(int((~ended).sum()))
    ids: list[list[int]] = torch.stack(written, 1).tolist()
    return ids
