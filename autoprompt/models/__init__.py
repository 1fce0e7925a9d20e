"""Language models of all families behind one interface, and ``load_model``.

Names whose modules import torch are imported on first use, so that ``import autoprompt.models`` costs little.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoprompt.models.families.registry import DEFAULT_TUNING, FAMILIES
from autoprompt.models.loading import check_device, load_safely, locate_model
from autoprompt.models.locks import PROCESS_LOCK, ReentrantLock
from autoprompt.models.types import (
    CandidateFailedError,
    Delta,
    Features,
    Label,
    LoadOptions,
    ModelSource,
    TokenProposals,
)

if TYPE_CHECKING:
    from autoprompt.models.acceleration.micro_batches import is_short_memory
    from autoprompt.models.adaptation.peft_io import load_delta, read_delta, write_delta
    from autoprompt.models.families.base import LanguageModel
    from autoprompt.models.prompts.batching import EncodedPrompt
    from autoprompt.models.prompts.encoding import Encoder
    from autoprompt.models.prompts.special_tokens import chat_format
    from autoprompt.models.saving import save, writing
    from autoprompt.models.token_gradients import propose_tokens

__all__ = [
    "DEFAULT_TUNING",
    "FAMILIES",
    "CandidateFailedError",
    "Delta",
    "EncodedPrompt",
    "Encoder",
    "Features",
    "Label",
    "LanguageModel",
    "LoadOptions",
    "ModelSource",
    "ReentrantLock",
    "TokenProposals",
    "chat_format",
    "check_device",
    "is_short_memory",
    "load_delta",
    "load_model",
    "load_safely",
    "locate_model",
    "propose_tokens",
    "read_delta",
    "save",
    "write_delta",
    "writing",
]

_HOME = {
    "EncodedPrompt": "prompts.batching",
    "Encoder": "prompts.encoding",
    "LanguageModel": "families.base",
    "chat_format": "prompts.special_tokens",
    "is_short_memory": "acceleration.micro_batches",
    "load_delta": "adaptation.peft_io",
    "propose_tokens": "token_gradients",
    "read_delta": "adaptation.peft_io",
    "save": "saving",
    "write_delta": "adaptation.peft_io",
    "writing": "saving",
}
"""Modules of the names that are imported on first use."""


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def load_model(
    folder: Path,
    *,
    device: str = "cpu",
    max_length: int = 128,
    labels: tuple[str, ...] = (),
    prefix_folder: Path | None = None,
    family: str | None = None,
    chat: bool = False,
) -> LanguageModel:
    """Load the model in a local folder (see ``locate_model``).

    ``max_length``: tokens to which a field is cut. ``labels``: the labels of the data, for a classifier's head.
    ``prefix_folder``: folder of the prefix cache that processes share; None caches in memory. ``family``: None means
    the family that the checkpoint was saved as. ``chat``: wrap prompts in the tokenizer's chat format. Raises
    InputError when the model cannot be used. Threads load models one after another, because transformers replaces
    functions of torch while it loads one.
    """
    options = LoadOptions(device, max_length, labels, chat, prefix_folder, family)
    with PROCESS_LOCK:
        return _load(folder, options)


def _load(folder: Path, options: LoadOptions) -> LanguageModel:
    from transformers import AutoTokenizer

    from autoprompt.models.loading import read_family

    module, _, name = FAMILIES[options.family or read_family(folder)].home.partition(":")
    kind: Any = getattr(import_module(module), name)
    model: LanguageModel = kind.load(folder, load_safely(folder, AutoTokenizer.from_pretrained), options)
    return model
