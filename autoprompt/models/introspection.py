"""What is read off a network of transformers and its tokenizer."""

from __future__ import annotations

import inspect
from typing import Any

_STATE_SPACES = ("mamba", "mamba2", "falcon_mamba", "falcon_h1")


def linear_names(model: Any) -> list[str]:
    """Full names of the linear layers, but for the output's."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    output = model.get_output_embeddings()
    # Adapters on these would be passed by: such models read the weights themselves.
    left_out = "out_proj" if model.config.model_type in _STATE_SPACES else None
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not output and name.rpartition(".")[2] != left_out
    ]


def cache_name(model: Any) -> str:
    """What a network's ``forward`` calls the keys and values that it is given; transformers 5.24 renamed them."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


def cache_of(output: Any) -> Any:
    """The keys and values that a pass came to; None where there are none, as in a state space's cache."""
    cache = output.cache if hasattr(output, "cache") else getattr(output, "past_key_values", None)
    layers = getattr(cache, "layers", None)
    return cache if layers is None or any(hasattr(layer, "keys") for layer in layers) else None


def embedding(model: Any) -> Any:
    """The layer that reads a prompt's ids."""
    reads = model.get_encoder() if model.config.is_encoder_decoder else model
    return reads.get_input_embeddings()


def padding(model: Any, tokenizer: Any) -> int:
    """An id for what is masked out: the one by which the model tells padding, otherwise one that no text holds."""
    known = (model.config.get_text_config().pad_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id)
    size = embedding(model).weight.shape[0]  # some tokenizers got a token that their model never did
    return next((token for token in known if token is not None and 0 <= token < size), 0)


def ordinary(model: Any, tokenizer: Any) -> int:
    """An id that is no special token's."""
    special = {*tokenizer.all_special_ids, padding(model, tokenizer)}
    return next(token for token in range(len(tokenizer)) if token not in special)


def limit(model: Any, tokenizer: Any) -> int:
    """Most tokens of a prompt: what positions and tokenizer allow; no limit where neither says."""
    text = model.config.get_text_config()
    limits = [getattr(text, name, None) for name in ("max_position_embeddings", "n_positions")]
    for name, module in model.named_modules():
        # RoBERTa counts positions from the padding's id + 1.
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            limits.append(module.num_embeddings - module.padding_idx - 1)
    length = tokenizer.model_max_length
    return min([n for n in (*limits, length) if isinstance(n, int) and 0 < n < 1 << 20], default=1 << 30)
