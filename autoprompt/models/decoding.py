"""Greedy decoding with a causal model, going on from kept prefixes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from autoprompt.models.batching import EncodedPrompt

if TYPE_CHECKING:
    from autoprompt.models.causal import CausalModel


def greedy(model: CausalModel, prompted: EncodedPrompt, length: int) -> list[str]:
    """What the model writes after each row's only input: at most ``length`` tokens, up to its sign of an end."""
    out = [""] * len(prompted)
    ends = _ends(model)
    for rows in model.row_blocks(prompted):
        tokens = _block(model, prompted, rows, length, ends)
        for row, ids in zip(rows, tokens.tolist(), strict=True):
            stop = next((i for i, token in enumerate(ids) if token in ends), len(ids))
            out[row] = model.encoder.tokenizer.decode(ids[:stop], skip_special_tokens=True).strip()
    return out


def _ends(model: CausalModel) -> set[int]:
    """Ids that end a text: the tokenizer's, and those that the model's own generation stops at."""
    declared = getattr(getattr(model.model, "generation_config", None), "eos_token_id", None)
    listed = declared if isinstance(declared, list) else [declared]
    return {token for token in (model.encoder.tokenizer.eos_token_id, *listed) if token is not None}


def _block(model: CausalModel, prompted: EncodedPrompt, rows: list[int], length: int, ends: set[int]) -> Tensor:
    """Written ids [rows, at most length]."""
    batch = model.batch(prompted, rows)
    inputs = model.embeds(batch.ids)
    cache = batch.past.growing() if batch.past is not None else None
    mask, positions = batch.mask, batch.positions
    ended = torch.zeros(len(rows), dtype=torch.bool, device=model.device)
    stop = torch.tensor(sorted(ends), device=model.device)
    written = []
    model.tokens_processed += batch.tokens
    for _ in range(length):
        with model.on_device():
            output = model.model(
                **inputs,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        token = output.logits[:, -1].argmax(-1)
        written.append(token)
        ended |= torch.isin(token, stop)
        if bool(ended.all()):
            break
        cache, inputs = output.past_key_values, {"input_ids": token[:, None]}
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], 1)
        positions = positions[:, -1:] + 1
        model.tokens_processed += int((~ended).sum())
    return torch.stack(written, 1)
