"""What ``LanguageModel`` is loaded with and returns: options, features, fine-tuned weights, proposed edits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from autoprompt.template import Template

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Delta: TypeAlias = "Mapping[str, Tensor]"
"""Result of a fine-tune: the trained values by parameter name."""

Label: TypeAlias = "int | tuple[float, ...]"
"""What a row is to answer: a label's index, or the probability of each label."""


class CandidateFailedError(Exception):
    """One candidate could not be fine-tuned or scored (for example, a non-finite loss); the model stays usable."""


@dataclass(frozen=True)
class Features:
    """Features of the frozen model at the predicted place, in the order of the rows.

    ``hidden``: [rows, width]. ``label_scores``: [rows, labels], unnormalised mean log-probabilities. ``vocabulary``:
    [rows, vocabulary] logits of the first predicted token. A classifier has no label words: the last two have no
    columns, and ``hidden`` is the mean of the last layer's states.
    """

    hidden: Tensor
    label_scores: Tensor
    vocabulary: Tensor


@dataclass(frozen=True)
class TokenProposals:
    """Single-token edits of a template's literal text, best first.

    ``replacements``: from gradients, each with its predicted first-order change of the loss. ``infills``: insertions
    and replacements that the model itself rates as likely, each with its log-probability.
    """

    replacements: list[tuple[Template, float]]
    infills: list[tuple[Template, float]]


@dataclass(frozen=True)
class LoadOptions:
    """How a model is loaded.

    ``max_length``: tokens to which a field or a target text is cut; a cut target text gets no end-of-text token.
    ``labels``: the labels of the data, for a classifier's head. ``chat``: wrap prompts in the tokenizer's chat format.
    ``prefix_folder``: folder of the prefix cache that processes share; None caches in memory. ``family``: None means
    the family that the checkpoint was saved as.
    """

    device: str = "cpu"
    max_length: int = 128
    labels: tuple[str, ...] = ()
    chat: bool = False
    prefix_folder: Path | None = None
    family: str | None = None


@dataclass(frozen=True)
class ModelSource:
    """A model that was found: its name, folder, config and family."""

    name: str
    folder: Path
    config: Mapping[str, Any]
    family: str
    revision: str = ""
    """The commit of a Hub model."""


def pick_device(device: str) -> torch.device:
    """The torch device of this name; ``auto`` means CUDA, else MPS, else the CPU."""
    import torch

    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
