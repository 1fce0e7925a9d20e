"""Language models of four families behind one interface, and ``load_model``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autoprompt.errors import InputError
from autoprompt.models.families.registry import DEFAULT_TUNING, FAMILIES, TASKS, TUNING
from autoprompt.models.loading import check_device, locate_model
from autoprompt.models.locks import PROCESS
from autoprompt.models.types import Features, FitFailedError, LanguageModel, LoadOptions, Prompted, TokenProposals

__all__ = [
    "DEFAULT_TUNING",
    "FAMILIES",
    "TASKS",
    "TUNING",
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
    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForMaskedLM,
        AutoModelForSeq2SeqLM,
        AutoModelForSequenceClassification,
        AutoTokenizer,
    )

    from autoprompt.models.families.causal import CausalModel
    from autoprompt.models.families.classifier import ClassifierModel, load_network, mostly_missing
    from autoprompt.models.families.masked import MaskedModel
    from autoprompt.models.families.seq2seq import Seq2SeqModel
    from autoprompt.models.library_errors import translated
    from autoprompt.models.loading import loaded, read_family

    family = options.family or read_family(folder)
    tokenizer = loaded(folder, AutoTokenizer.from_pretrained)
    if family == "classifier":
        if not options.labels:
            raise InputError("A classifier needs labels, and the data has none; use a causal or encoder-decoder model.")
        network, missing = loaded(
            folder,
            lambda *a, **k: load_network(options.labels, AutoModelForSequenceClassification.from_pretrained, *a, **k),
            dtype=torch.float32,
        )
        if mostly_missing(network, missing):
            raise InputError(
                f"The weights in {folder} are not those of its config ({min(missing)} and most others are missing); "
                "save the model again."
            )
        with translated(f"The model in {folder} cannot be used"):
            return ClassifierModel(network, tokenizer, options, missing)
    kinds: dict[str, tuple[type[Any], type[Any]]] = {
        "causal": (AutoModelForCausalLM, CausalModel),
        "masked": (AutoModelForMaskedLM, MaskedModel),
        "seq2seq": (AutoModelForSeq2SeqLM, Seq2SeqModel),
    }
    auto, kind = kinds[family]
    network, report = loaded(folder, auto.from_pretrained, dtype=torch.float32, output_loading_info=True)
    if report["missing_keys"]:
        raise InputError(
            f"The model in {folder} lacks weights that a {family} model needs ({min(report['missing_keys'])}); use "
            "another model, or this one as a classifier."
        )
    with translated(f"The model in {folder} cannot be used"):
        model: LanguageModel = kind(network, tokenizer, options)
        return model
