"""Checks of a loaded network: its output layer, and short passes that show whether padding changes scores."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from autoprompt.errors import InputError
from autoprompt.models.acceleration.lm_head import OutputLayer
from autoprompt.models.passes import Passes
from autoprompt.models.prompts.batching import Batch, EncodedPrompt
from autoprompt.models.prompts.encoding import Encoder
from autoprompt.models.prompts.tokenized import EncodedRow, Target


def output_layer(network: Any) -> OutputLayer:
    """The network's output layer. Raises InputError for a network without a plain one over its vocabulary."""
    layer = network.get_output_embeddings()
    if layer is None or layer.weight.shape[0] != network.config.get_text_config().vocab_size:
        raise no_output_layer(network)
    return OutputLayer(layer)


def no_output_layer(network: Any) -> InputError:
    """The error for a network without a plain output layer."""
    kind = network.config.model_type
    return InputError(
        f"A model of type {kind!r} has no plain output layer over its vocabulary; use a model of another type."
    )


def trial_ids(encoder: Encoder, short: str) -> list[tuple[int, ...]]:
    """Token ids of a short text and a longer one."""
    texts = (short, encoder.cut("It was good all day, from start to end. " * 8, 32))
    return [tuple(chain(*encoder.with_special_tokens(text))) for text in texts]


def last_token_target(ids: tuple[int, ...]) -> Target:
    """A target that is predicted at the last of these ids; its token is the first one."""
    return Target(0, (len(ids) - 1,), ids[:1])


@torch.no_grad()
def check_padding(
    network: Any, encoder: Encoder, passes: Passes, scores: Callable[[Batch], Tensor], *, targets: bool
) -> None:
    """Raise InputError if a row has other scores beside a longer row than alone.

    ``scores`` runs a pass; the rows have ``targets`` unless the network's head gives the labels' scores.
    """
    texts = trial_ids(encoder, "a")
    rows = [EncodedRow((ids,), (last_token_target(ids),) if targets else (), 0, ids) for ids in texts]
    alone, beside = (scores(passes.batch(EncodedPrompt(rows), few))[0] for few in ([0], [0, 1]))
    if not equal_up_to_rounding(alone, beside):
        kind = network.config.model_type
        raise InputError(
            f"A model of type {kind!r} gives a row different scores in a batch with longer rows; use a model of "
            "another type."
        )


def equal_up_to_rounding(one: Tensor, other: Tensor) -> bool:
    """Whether scores differ only by rounding; on other devices than the CPU, by that of bf16."""
    tolerance = 2e-3 if one.device.type == "cpu" else 5e-2
    one, other = one.float(), other.float()
    return not bool(((one - other).abs() > tolerance * (1 + one.abs())).any())
