"""Language models of all families behind one interface, and ``load_model``."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from autoprompt.models.families.registry import FAMILIES
from autoprompt.models.loading import check_device, locate_model
from autoprompt.models.locks import PROCESS
from autoprompt.models.types import Features, FitFailedError, LanguageModel, LoadOptions, Prompted, TokenProposals

__all__ = [
    "FAMILIES",
    "Features",
    "FitFailedError",
    "LanguageModel",
    "Prompted",
    "TokenProposals",
    "check_device",
    "load_model",
    "locate_model",
]


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
    with PROCESS:
        return _loaded(folder, options)


def _loaded(folder: Path, options: LoadOptions) -> LanguageModel:
    from transformers import AutoTokenizer

    from autoprompt.models.loading import loaded, read_family

    module, _, name = FAMILIES[options.family or read_family(folder)].home.partition(":")
    kind: Any = getattr(import_module(module), name)
    model: LanguageModel = kind.load(folder, loaded(folder, AutoTokenizer.from_pretrained), options)
    return model
