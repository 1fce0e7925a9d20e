"""Facts about a transformers network and its tokenizer: linear layers, embedding, cache, padding, length limit."""

from __future__ import annotations

import inspect
from typing import Any

_STATE_SPACES = ("mamba", "mamba2", "falcon_mamba", "falcon_h1")


def linear_names(model: Any) -> list[str]:
    """Full names of the linear layers, without the output layer."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    output = model.get_output_embeddings()
    # These models use the weight of this layer directly, so an adapter on it would have no effect.
    left_out = "out_proj" if model.config.model_type in _STATE_SPACES else None
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not output and name.rpartition(".")[2] != left_out
    ]


def cache_name(model: Any) -> str:
    """Name of the ``forward`` argument that takes cached keys and values; transformers 5.24 renamed it."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


def cache_of(output: Any) -> Any:
    """The cache of keys and values that a pass returned; None where it has none, as in a state space model."""
    cache = output.cache if hasattr(output, "cache") else getattr(output, "past_key_values", None)
    layers = getattr(cache, "layers", None)
    return cache if layers is None or any(hasattr(layer, "keys") for layer in layers) else None


def input_embedding(model: Any) -> Any:
    """The embedding layer that reads a prompt's ids; of an encoder-decoder, the encoder's."""
    reads = model.get_encoder() if model.config.is_encoder_decoder else model
    return reads.get_input_embeddings()


def padding_id(model: Any, tokenizer: Any) -> int:
    """Token id for masked-out positions.

    The first of these with a row in the embedding: the model's padding id, the tokenizer's padding id, its end-of-text
    id. Without one, 0. No text contains the first three.
    """
    known = (model.config.get_text_config().pad_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id)
    size = input_embedding(model).weight.shape[0]  # some tokenizers have tokens without a row in the embedding
    return next((token for token in known if token is not None and 0 <= token < size), 0)


def ordinary_token(model: Any, tokenizer: Any) -> int:
    """An id that is neither a special token nor the padding id."""
    special = {*tokenizer.all_special_ids, padding_id(model, tokenizer)}
    return next(token for token in range(len(tokenizer)) if token not in special)


def token_limit(model: Any, tokenizer: Any) -> int:
    """Maximum tokens of a prompt, by the model's positions and the tokenizer; 2**30 where neither sets a limit."""
    text = model.config.get_text_config()
    limits = [getattr(text, name, None) for name in ("max_position_embeddings", "n_positions")]
    for name, module in model.named_modules():
        # RoBERTa counts positions from the padding id + 1.
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            limits.append(module.num_embeddings - module.padding_idx - 1)
    length = tokenizer.model_max_length
    return min([n for n in (*limits, length) if isinstance(n, int) and 0 < n < 1 << 20], default=1 << 30)
