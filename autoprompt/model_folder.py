"""Checks of a model folder before anything is loaded from it: its files, and the values in their JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from autoprompt.errors import InputError
from autoprompt.safetensors_header import held, memory
from autoprompt.untrusted import is_regular, read_bytes, read_json, relative_parts

SUFFIXES = (".safetensors", ".json", ".txt", ".model", ".jinja")
"""Suffixes of the files that a model is loaded from."""
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
ADAPTER = "adapter_config.json"
CONFIGS = ("config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json")
"""Files in which transformers looks for code to load; other JSON files in the folder may be of other programs."""
TOKENIZERS = ("tokenizer_config.json", "tokenizer.json", "vocab.*", "*.model")
_PARSED = (*CONFIGS, "generation_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.json")
_TEMPLATES = "additional_chat_templates"
MAX_JSON = 8 << 20
MAX_VOCABULARY = 64 << 20
"""Maximum bytes of a tokenizer file."""
MAX_TEMPLATE = 256 << 10
"""Maximum bytes of a chat template."""
_MAX_SHARDS = 10_000
_MEMORIES = 2
"""Maximum size of the weights as float32, in multiples of the machine's memory: some of it may be swapped out."""

_DTYPES = {"float16", "bfloat16", "float32", "float64", "auto", "half", "float", "double"}
_ATTENTION = {"eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"}
_REFUSED = {
    "auto_map": "needs code of its own (auto_map in {file}), which is never run; use another",
    "custom_pipelines": "needs code of its own (custom_pipelines in {file}), which is never run; use another",
    "custom_generate": "needs code of its own (custom_generate in {file}), which is never run; use another",
    "quantization_config": "is quantised (quantization_config in {file}) and cannot be fine-tuned; use its original",
    "compression_config": "is compressed (compression_config in {file}) and cannot be fine-tuned; use its original",
    "transformers_weights": f"names weights of its own (transformers_weights in {{file}}); call them {WEIGHTS}",
    "kernel_config": "needs kernels of its own (kernel_config in {file}), which are never run; use another",
}
_TOKENS = ("extra_special_tokens", "additional_special_tokens", "added_tokens", "added_tokens_decoder")
_MOST_TOKENS = 10_000
"""Maximum tokens in addition to the vocabulary; no tokenizer of a well-known model has 7,000."""
_COUNTS = re.compile(r"(layer|block|depth|stage|expert|head|label|group|bucket|codebook)s?$")
_MOST_COUNTED = 100_000
_MOST_INT = 1 << 40
_POSITIONS = re.compile(r"position|n_ctx|seq_len|max_length")
_MOST_POSITIONS = 1 << 24
_WRITTEN = ("content", "prepend", "prefix", "suffix")
_MOST_GROWTH = 1_000
"""Maximum factor by which a tokenizer may lengthen a text, and maximum parts that it may put around a text."""
_MOST_SINUSOIDS = 1 << 23
"""Maximum values of a sinusoidal position table, which transformers computes one by one."""


def model_files(folder: Path) -> list[str]:
    """Names of the files that loading can touch; shards in subfolders with ``/``. Raises InputError."""
    found = {path.name for path in folder.iterdir() if path.suffix in SUFFIXES and not path.is_dir()}
    return sorted(found | set(shards(folder)))


def shards(folder: Path) -> list[str]:
    """Names of the weight files in the index of sharded weights; empty without an index.

    Raises InputError for names that lead out of the folder, and for files that are not safetensors.
    """
    index = folder / INDEX
    if not index.exists():
        return []
    values = read_json(index, "The index", MAX_JSON)
    parts = values.get("weight_map") if isinstance(values, dict) else None
    if not isinstance(parts, dict) or not all(isinstance(name, str) for name in parts.values()):
        raise InputError(f"The index {index} has no weight_map of file names; save the model again.")
    names = sorted(set(parts.values()))
    for name in names[: _MAX_SHARDS + 1]:
        try:
            relative_parts(name, most=8)
        except ValueError as error:
            raise InputError(
                f"The index {index} names weights outside of its folder ({error}); use another."
            ) from error
        if not name.endswith(".safetensors"):
            raise InputError(f"The index {index} names {name[:80]!r}, which is no safetensors file; convert it first.")
    if len(names) > _MAX_SHARDS:
        raise InputError(f"The index {index} names {len(names)} files, and {_MAX_SHARDS} are the most; use another.")
    return names


def weight_files(folder: Path) -> list[Path]:
    """The weight files that transformers loads: the single file, or the files of the index. Raises InputError."""
    if (folder / WEIGHTS).exists():
        return [folder / WEIGHTS]
    return [folder / name for name in shards(folder)]


def check_folder(folder: Path, name: str) -> Mapping[str, Any]:
    """Check a model's folder, and return its config. ``name``: the user's name for the model.

    Raises InputError for a folder without config, safetensors weights or tokenizer, for a model that needs its own code
    or files from elsewhere, for an adapter, for files that are too large or not regular, and for values that no
    sensible model has.
    """
    if not (folder / "config.json").exists():
        raise InputError(f"The model folder {folder} has no config.json; name a folder saved by save_pretrained.")
    _check_files(folder)
    configs = {file: _config(folder / file) for file in _PARSED if (folder / file).exists()}
    for file, config in configs.items():
        _check_values(config, name, file)
    if (folder / ADAPTER).exists():
        raise InputError(
            f"The model {name!r} is an adapter of another model ({ADAPTER}); merge it into that one and save the whole."
        )
    if not list(folder.glob("*.safetensors")) and not shards(folder):
        raise InputError(f"The model {name!r} has no safetensors weights; convert them to safetensors first.")
    if not any(path for pattern in TOKENIZERS for path in folder.glob(pattern)):
        raise InputError(f"The model {name!r} has no tokenizer beside its weights; save it there.")
    for weights in weight_files(folder):
        if not is_regular(weights):
            raise InputError(f"The weights {weights} are no regular file, or are missing; download the model again.")
    _check_config(configs["config.json"], name)
    return configs["config.json"]


def check_weights(folder: Path, name: str) -> None:
    """Raise InputError for weights that are cut off or too large for this machine's memory."""
    size = held(weight_files(folder)).size
    most = memory()
    if most is not None and size > _MEMORIES * most:
        raise InputError(
            f"The model {name!r} takes {size >> 30} GiB, and this machine has {most >> 30} GiB of memory; use a "
            "smaller one."
        )


def _check_files(folder: Path) -> None:
    """Raise InputError unless all files that transformers may open are regular files of a sensible size."""
    more = folder / _TEMPLATES
    inside = list(more.iterdir()) if more.is_dir() else []
    for path in [*sorted(folder.iterdir()), *inside]:
        if path.suffix not in SUFFIXES or path.suffix == ".safetensors" or path.is_dir():
            continue
        if not is_regular(path):
            raise InputError(f"{path} is not a regular file; save the model again.")
        most = MAX_TEMPLATE if path.suffix == ".jinja" else MAX_JSON if path.name in _PARSED else MAX_VOCABULARY
        if path.stat().st_size > most:
            raise InputError(f"{path} has more than {most >> 10} KiB, the most that is read; use another model.")
        if path.suffix == ".jinja":
            read_text(path, most)
    tokenizer = folder / "tokenizer.json"
    if tokenizer.exists():
        _check_tokenizer(_config(tokenizer, MAX_VOCABULARY), tokenizer)


def read_text(path: Path, most: int) -> str:
    """A UTF-8 text file. Raises InputError."""
    try:
        return read_bytes(path, "The file", most).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 ({error.reason}); save the model again.") from error


def _config(file: Path, most: int = MAX_JSON) -> dict[str, Any]:
    """The JSON object in a file of the model, its tokenizer or its processor. Raises InputError."""
    config = read_json(file, "The file", most)
    if not isinstance(config, dict):
        raise InputError(f"{file} holds no JSON object; save the model again.")
    return config


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """All keys with their values, at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from _items(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _items(inner)


def _check_values(config: Mapping[str, Any], name: str, file: str) -> None:
    """Raise InputError for values that need code or weights from elsewhere, quantisation, or too many added tokens."""
    for key, value in _items(config):
        if key in _REFUSED and value:
            raise InputError(f"The model {name!r} {_REFUSED[key].format(file=file)}.")
        if key in _TOKENS and isinstance(value, list | dict) and len(value) > _MOST_TOKENS:
            raise InputError(f"The model {name!r} has {len(value)} {key} in {file}; use another.")
        if not _is_known(key, value):
            raise InputError(f"The model {name!r} asks for {key} = {value!r:.60} in {file}; use another.")


def _is_known(key: str, value: Any) -> bool:
    """Whether a value names an implementation or dtype of transformers' own: others may be code on the Hub."""
    if "attn_implementation" in key or "experts_implementation" in key:
        return value is None or (isinstance(value, str) and value in _ATTENTION)
    if key in ("dtype", "torch_dtype"):
        return value is None or (isinstance(value, str) and value.removeprefix("torch.") in _DTYPES)
    return True


def _check_config(config: Mapping[str, Any], name: str) -> None:
    """Raise InputError for numbers that no model has: transformers makes lists that long before reading weights."""
    sizes, positions, computed = [1], [1], False
    for key, value in _items(config):
        if "sinusoidal" in key and value:
            computed = True
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, bool) or not isinstance(number, int | float):
                continue
            most = _MOST_COUNTED if _COUNTS.search(key) else _MOST_POSITIONS if _POSITIONS.search(key) else _MOST_INT
            if abs(number) > most and not (isinstance(number, float) and most == _MOST_INT):
                raise InputError(f"The model {name!r} has {key} = {number!r:.40} in config.json; use another.")
            (positions if _POSITIONS.search(key) else sizes).append(int(min(abs(number), _MOST_INT)))
    if computed and max(positions) * max(s for s in sizes if s <= _MOST_COUNTED) > _MOST_SINUSOIDS:
        raise InputError(f"The model {name!r} has too large a table of positions in config.json; use another.")


def _check_tokenizer(tokenizer: Mapping[str, Any], file: Path) -> None:
    """Raise InputError for a tokenizer that can lengthen texts too much.

    A chain of replacements can make a short text endless; a template of special tokens can do so with any text.
    """
    _check_values({"added_tokens": tokenizer.get("added_tokens")}, str(file.parent), file.name)
    growth = 1
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        for key, value in _items(tokenizer.get(part)):
            if isinstance(value, str) and key in _WRITTEN:
                growth = min(growth * max(1, len(value)), _MOST_INT)
            elif value == "ByteLevel":
                growth *= 2
    pieces = sum(len(value) for _, value in _items(tokenizer.get("post_processor")) if isinstance(value, list))
    if growth > _MOST_GROWTH or pieces > _MOST_GROWTH:
        raise InputError(f"{file} makes texts many times as long as they are; use another model.")
