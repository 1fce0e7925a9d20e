"""Files of a fine-tune's result: its adapters in peft's format, all other changed weights in a second file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from autoprompt.candidate import Settings
from autoprompt.errors import InputError
from autoprompt.models.adaptation.lora import adapter_name
from autoprompt.models.saving import save
from autoprompt.models.types import Delta

ADAPTERS, OTHERS = "adapter_model.safetensors", "other_parts.safetensors"
_PREFIX = "base_model.model."
"""Prefix that peft adds to the names of a model's own parts."""


def write_delta(delta: Delta, settings: Settings, base_model: str, revision: str, folder: Path) -> list[Path]:
    """Write what a fine-tune changed into an existing folder; return the files.

    peft reads only the adapters. It applies those of ``tail`` to all tokens, whereas a search applied them only to the
    tokens after the text. Raises StorageError.
    """
    mine = re.compile(rf"\.lora_([AB])\.{re.escape(adapter_name(settings))}\.weight$")
    adapters = {_PREFIX + mine.sub(r".lora_\1.weight", name): values for name, values in delta.items()
                if mine.search(name)}  # fmt: skip
    others = {name: values for name, values in delta.items() if not mine.search(name)}
    files = []
    if adapters:
        from peft import LoraConfig

        layers = sorted({mine.sub("", name) for name in delta if mine.search(name)})
        LoraConfig(
            r=settings.rank, lora_alpha=2 * settings.rank, target_modules=layers, inference_mode=True,
            base_model_name_or_path=base_model, revision=revision or None,
        ).save_pretrained(str(folder))  # fmt: skip
        files += [folder / "adapter_config.json", folder / ADAPTERS]
        save(adapters, folder / ADAPTERS, "The adapters")
    if others:
        files.append(folder / OTHERS)
        save(others, folder / OTHERS, "The fine-tuned weights")
    return files


def load_delta(file: Path) -> Delta:
    """What a fine-tune changed, by parameter name, from one file. Raises InputError if it cannot be read."""
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise InputError(f"The weights {file} cannot be read ({error}); export them again.") from error


def read_delta(files: Iterable[Path], settings: Settings) -> Delta:
    """Read what ``write_delta`` wrote into these files.

    Raises InputError for a file that cannot be read, and if none of them contains weights.
    """
    delta: dict[str, Tensor] = {}
    name = adapter_name(settings)
    for file in files:
        if file.name not in (ADAPTERS, OTHERS):
            continue
        for key, tensor in load_delta(file).items():
            own = re.sub(r"\.lora_([AB])\.weight$", rf".lora_\1.{name}.weight", key.removeprefix(_PREFIX))
            delta[own if file.name == ADAPTERS else key] = tensor
    if not delta:
        raise InputError("The file with the prompt's weights is empty; export them again.")
    return delta
