"""Greedy decoding with a causal model, continued from cached prefixes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from autoprompt.models.introspection import cache_of
from autoprompt.models.prompts.batching import EncodedPrompt

if TYPE_CHECKING:
    from autoprompt.models.families.causal import CausalModel


def greedy(model: CausalModel, prompted: EncodedPrompt, length: int) -> list[str]:
    """Generate the text after each row's only input: at most ``length`` tokens, up to an end-of-text token."""
    out = [""] * len(prompted)
    ends = _ends(model)
    for rows in model.row_blocks(prompted):
        for part, tokens in model.in_memory(rows, lambda some: _block(model, prompted, some, length, ends).tolist()):
            for row, ids in zip(part, tokens, strict=True):
                stop = next((i for i, token in enumerate(ids) if token in ends), len(ids))
                # The last token is generated but not read, so it needs no position.
                room = model.encoder.limit + 1 - prompted.rows[row].keep - len(prompted.rows[row].inputs[0])
                out[row] = model.encoder.tokenizer.decode(ids[: min(stop, room)], skip_special_tokens=True).strip()
    return out


def _ends(model: CausalModel) -> set[int]:
    """Ids that end a text: the tokenizer's, and those of the model's generation config."""
    declared = getattr(getattr(model.model, "generation_config", None), "eos_token_id", None)
    listed = declared if isinstance(declared, list) else [declared]
    return {token for token in (model.encoder.tokenizer.eos_token_id, *listed) if token is not None}


def _block(model: CausalModel, prompted: EncodedPrompt, rows: Sequence[int], length: int, ends: set[int]) -> Tensor:
    """Generated ids [rows, at most length].

    Ids after a row's end, or beyond the model's last position, have no meaning.
    """
    batch = model.batch(prompted, rows)
    cache = batch.past.growing(batch.ids.shape[1] + length) if batch.past is not None else None
    mask, positions, last = batch.mask, batch.positions, model.encoder.limit - 1
    ended = torch.zeros(len(rows), dtype=torch.bool, device=model.device)
    stop = torch.tensor(sorted(ends), device=model.device)
    written: list[Tensor] = []
    given = batch.ids
    model.tokens_processed += batch.tokens
    while len(written) < length and not bool(ended.all()):
        with model.on_device(), model.vectors.placed(given) as ids:
            output = model.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions.clamp(max=last),
                use_cache=True,
                logits_to_keep=1,
                **{model.cache_name: cache},
            )
        written.append(output.logits[:, -1].argmax(-1))
        ended |= torch.isin(written[-1], stop) | (positions[:, -1] >= last)
        cache = cache_of(output)
        # Without cached keys and values, the whole sequence is read again.
        given = written[-1][:, None] if cache is not None else torch.cat([given, written[-1][:, None]], 1)
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], 1)
        positions = torch.cat([positions, positions[:, -1:] + 1], 1)[:, -given.shape[1] :]
        model.tokens_processed += int((~ended).sum())
    return torch.stack(written, 1)
