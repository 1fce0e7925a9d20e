"""Model folders from strangers: what is not the model's own, or not what it says, is refused before it is loaded."""

import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import commands
import pytest
import runs
import tiny
import tiny_families
import torch
from safetensors.torch import load_file, save_file

from autoprompt.errors import InputError
from autoprompt.manifest import files_of
from autoprompt.model_folder import check_folder, model_files, weight_files
from autoprompt.models import load_model, locate_model
from autoprompt.template import LabelWords, Template

LABELS = ("negative", "positive")
TEMPLATE = Template.parse("{text}\nSo: {label}")
WORDS = LabelWords.of(tiny.WORDS, tiny.LABELS)


@pytest.fixture
def folder(model_folders, tmp_path) -> Path:
    return Path(shutil.copytree(model_folders["llama"], tmp_path / "model"))


def edit(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def refused(folder: Path, *parts: str, labels: tuple[str, ...] = ()) -> None:
    """Located or loaded, it ends in one sentence with these parts."""
    with pytest.raises(InputError) as caught:
        load_model(locate_model(str(folder)).folder, labels=labels)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


# Files


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "name",
    ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "special_tokens_map.json",
     "added_tokens.json", "vocab.json", "merges.txt", "spiece.model", "chat_template.jinja", "chat_template.json",
     "processor_config.json", "additional_chat_templates/x.jinja", "model.safetensors", "model.safetensors.index.json"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["pipe", "device", "loop", "terabyte"])
def test_what_is_no_file_of_a_sensible_size_is_refused(folder, name, kind):
    if name == "model.safetensors.index.json" or (name == "model.safetensors" and kind == "terabyte"):
        (folder / "model.safetensors").unlink()
    place = folder / name
    place.parent.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "terabyte":
        with place.open("wb") as file:
            file.truncate(1 << 40)
    else:
        place.symlink_to("/dev/zero" if kind == "device" else place.name)
    refused(folder)


def test_links_to_files_are_a_model_s_files(folder, tmp_path):
    """As the Hub's cache keeps them."""
    (tmp_path / "linked").mkdir()
    for path in folder.iterdir():
        (tmp_path / "linked" / path.name).symlink_to(path)
    assert files_of(tmp_path / "linked") == files_of(folder)
    assert load_model(locate_model(str(tmp_path / "linked")).folder).family == "causal"


@pytest.mark.parametrize("text", ["{", "[]", "null", '{"a": NaN}', '{"a": 1, "a": 2}', "[" * 5_000, "\ufeff{}", ""])
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "tokenizer.json", "generation_config.json"])
def test_json_that_is_none_is_refused(folder, name, text):
    (folder / name).write_text(text)
    refused(folder, name)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "name",
    ["🙂" * 1_000, "x" * 5_000, "./" + "x" * 300, "/" + "y" * 5_000, "a\0b", "./a\0b", "~\0", "~nobody-of-this-name/x",
     "a/" * 2_000 + "b", "\x1b[2J", "", "@"],
    ids=lambda name: ascii(name[:9]),
)  # fmt: skip
def test_a_name_that_no_folder_can_have_is_refused(name):
    """A stranger's prompt file names its model."""
    with pytest.raises(InputError) as caught:
        locate_model(name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1_500


# What would run, or load something else


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"auto_map": {"AutoModelForCausalLM": "code.Model"}}, "auto_map"),
        ({"text_config": {"auto_map": {"AutoConfig": "evil/model--code.Config"}}}, "auto_map"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}, "quantization_config"),
        ({"compression_config": {"a": 1}}, "compression_config"),
        ({"transformers_weights": "../model.safetensors"}, "transformers_weights"),
        ({"attn_implementation": "evil/kernel"}, "attn_implementation"),
        ({"_attn_implementation": "kernels-community/flash"}, "attn_implementation"),
        ({"attn_implementation": {"": "evil/kernel"}}, "attn_implementation"),
        ({"dtype": "load"}, "dtype"),
        ({"torch_dtype": "int8"}, "torch_dtype"),
        ({"dtype": ["float32"]}, "dtype"),
    ],
)
def test_a_config_that_names_code_or_other_weights_is_refused(folder, values, part):
    edit(folder / "config.json", **values)
    refused(folder, part)


def test_an_adapter_s_folder_does_not_lead_to_another_model(folder, model_folders):
    values = {"base_model_name_or_path": str(model_folders["gpt2"]), "peft_type": "LORA"}
    (folder / "adapter_config.json").write_text(json.dumps(values))
    refused(folder, "adapter_config.json", "merge it")


class _Touch:
    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.place}",)


def test_pickles_and_code_beside_the_weights_are_never_opened(folder, tmp_path):
    evil = pickle.dumps(_Touch(tmp_path / "ran"))
    for name in ("pytorch_model.bin", "training_args.bin", "adapter_model.bin", "optimizer.pt", "rng_state.pth"):
        (folder / name).write_bytes(evil)
    (folder / "custom_generate").mkdir()
    for name in ("modeling_llama.py", "custom_generate/generate.py", "sitecustomize.py", "torch.py"):
        (folder / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    assert load_model(locate_model(str(folder)).folder).family == "causal"
    for weights in ("pytorch_model.bin", "model.safetensors"):
        (folder / "model.safetensors").unlink(missing_ok=True)
        (folder / weights).write_bytes(evil)
        refused(folder)
    assert not (tmp_path / "ran").exists()


# Sizes


@pytest.mark.parametrize(
    "values",
    [{"vocab_size": 10**9}, {"hidden_size": 10**6}, {"num_hidden_layers": 10**5}, {"num_hidden_layers": 10**9},
     {"intermediate_size": 2**31}, {"num_attention_heads": 10**6}, {"num_labels": 10**8}, {"head_dim": 2**20},
     {"max_position_embeddings": 2**40}, {"num_hidden_layers": 3e9}, {"vocab_size": "many"}, {"hidden_size": None},
     {"pad_token_id": 10**9}, {"num_hidden_layers": -1}, {"hidden_size": 0}, {"layer_types": ["x"] * 50}],
    ids=str,
)  # fmt: skip
def test_a_config_that_does_not_fit_its_weights_is_refused(folder, values):
    edit(folder / "config.json", **values)
    refused(folder)


def test_weights_of_another_kind_of_model_are_no_classifier(folder):
    """Not one of them fits: a network of random numbers would be fine-tuned."""
    edit(folder / "config.json", model_type="distilbert", architectures=["DistilBertModel"])
    refused(folder, "not those of its config", labels=LABELS)


def test_a_vocabulary_without_words_is_searched(capsys, family_folder, corpus_folder, tmp_path):
    """One of another script has none that could stand for a label."""
    folder = Path(shutil.copytree(family_folder("llama"), tmp_path / "model"))
    edit(folder / "tokenizer.json", decoder=None)
    done = commands.call(capsys, "search", corpus_folder, "--model", folder, "--max-evaluations", 2, "--fix",
                         "epochs=1", "--leaderboard", tmp_path / "lb.sqlite")  # fmt: skip
    assert done.code == 0, done.err


@pytest.mark.parametrize("family", ["distilbert-head", "gpt2", "bert", "t5", "bart"])
@pytest.mark.parametrize("key", ["max_position_embeddings", "n_positions", "vocab_size", "d_model", "dim"])
def test_a_table_of_a_billion_is_never_made(family_folder, tmp_path, family, key):
    """Refused, or without meaning for the family."""
    folder = Path(shutil.copytree(family_folder(family), tmp_path / "model"))
    values = {key: 2**23, "sinusoidal_pos_embds": True, "num_labels": 2}
    edit(folder / "config.json", **values)
    with suppress(InputError):
        load_model(locate_model(str(folder)).folder, labels=LABELS)


def test_a_model_whose_tokenizer_has_more_tokens_is_refused_where_it_counts(folder):
    names = json.loads((folder / "tokenizer.json").read_text())
    token = {"id": 5_000, "content": "soup", "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": False}  # fmt: skip
    names["added_tokens"].append(token)
    (folder / "tokenizer.json").write_text(json.dumps(names))
    model = load_model(locate_model(str(folder)).folder)
    prompt = tiny.prompt_of(TEMPLATE, WORDS)
    with pytest.raises(InputError, match="embedding has"):
        model.prompt(prompt, tiny.examples("The soup was good"))
    model.prompt(prompt, tiny.examples("The walk was good"))


@pytest.mark.parametrize("name", ["bos_token", "eos_token", "mask_token", "cls_token", "sep_token"])
def test_a_special_token_that_the_model_does_not_know_is_refused(folder, name):
    edit(folder / "tokenizer_config.json", **{name: "<new>"})
    refused(folder, "embedding has")


def test_a_padding_token_that_the_model_does_not_know_is_none(folder):
    """Many fine-tuned models have one, and padding may be any token."""
    edit(folder / "tokenizer_config.json", pad_token="<new>")  # noqa: S106
    model = load_model(locate_model(str(folder)).folder)
    prompted = model.prompt(tiny.prompt_of(TEMPLATE, WORDS), tiny.examples("The walk was good", "bad"))
    assert torch.isfinite(model.score(prompted)).all()


# Tokenizers


@pytest.mark.parametrize(
    "values",
    [
        {"normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}] * 40}},
        {"normalizer": {"type": "Prepend", "prepend": "x" * 10**5}},
        {"post_processor": {"type": "TemplateProcessing", "pair": [], "special_tokens": {}, "single": [
            {"SpecialToken": {"id": "<s>", "type_id": 0}}] * 100_000}},
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}] * 30}},
    ],
    ids=["replace", "prepend", "template", "bytes"],
)  # fmt: skip
def test_a_tokenizer_that_makes_texts_endless_is_refused(folder, values):
    edit(folder / "tokenizer.json", **values)
    refused(folder, "tokenizer.json", "many times as long")


@pytest.mark.parametrize("key", ["extra_special_tokens", "additional_special_tokens"])
def test_a_tokenizer_of_very_many_special_tokens_is_refused(folder, key):
    edit(folder / "tokenizer_config.json", **{key: [f"<{number}>" for number in range(10_001)]})
    refused(folder, key)
    edit(folder / "tokenizer_config.json", **{key: ["<1>", "<2>"]})
    load_model(locate_model(str(folder)).folder)


def test_a_tokenizer_that_panics_on_a_text_ends_in_a_sentence(folder):
    pattern = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    edit(folder / "tokenizer.json", pre_tokenizer=pattern)
    model = load_model(locate_model(str(folder)).folder)
    with pytest.raises(InputError, match="tokenizer fails on a text") as caught:
        model.prompt(tiny.prompt_of(TEMPLATE, WORDS), tiny.examples("a" * 40 + "b"))
    assert "\n" not in str(caught.value)


# Weights in parts


def sharded(folder: Path, *names: str) -> None:
    """The weights in files of these names, with an index."""
    held = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    placed = {tensor: names[number % len(names)] for number, tensor in enumerate(sorted(held))}
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        save_file({t: held[t] for t, own in placed.items() if own == name}, folder / name, metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": placed}))


def test_weights_in_parts_are_loaded_and_each_part_is_hashed(folder, model_folders):
    whole = load_model(model_folders["llama"]).model.state_dict()  # type: ignore[attr-defined]
    sharded(folder, "a.safetensors", "parts/b.safetensors", "parts/deep/c.safetensors")
    found = load_model(locate_model(str(folder)).folder).model.state_dict()  # type: ignore[attr-defined]
    assert all(torch.equal(found[name], whole[name]) for name in whole)
    files = files_of(folder)
    parts = {"a.safetensors", "parts/b.safetensors", "parts/deep/c.safetensors", "model.safetensors.index.json"}
    assert parts <= set(files)
    assert set(model_files(folder)) == set(files)
    assert {path.relative_to(folder).as_posix() for path in weight_files(folder)} == parts - {
        "model.safetensors.index.json"
    }
    part = folder / "parts" / "deep" / "c.safetensors"
    data = bytearray(part.read_bytes())
    data[-1] ^= 1
    part.write_bytes(data)
    changed = files_of(folder)
    assert [name for name in files if files[name] != changed[name]] == ["parts/deep/c.safetensors"]


@pytest.mark.parametrize(
    "name",
    ["../outside.safetensors", "/etc/outside.safetensors", "parts/../../outside.safetensors", "a.bin", "", ".",
     "a\\b.safetensors", "\0.safetensors", "x" * 300 + ".safetensors", 7, None, ["a"]],
    ids=str,
)  # fmt: skip
def test_parts_that_lie_elsewhere_are_refused(folder, name):
    shutil.copy(folder / "model.safetensors", folder.parent / "outside.safetensors")
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"lm_head.weight": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(folder, "index")
    with pytest.raises(InputError):
        files_of(folder)


def test_a_part_that_is_missing_or_a_pipe_is_refused(folder):
    sharded(folder, "a.safetensors", "b.safetensors")
    (folder / "b.safetensors").unlink()
    refused(folder, "b.safetensors")
    os.mkfifo(folder / "b.safetensors")
    refused(folder, "b.safetensors")
    with pytest.raises(InputError, match="cannot be read"):
        files_of(folder)


@pytest.mark.parametrize(
    "header",
    [b"", b"{", b"[]", b"null", b'{"a": 1}',
     b'{"a": {"dtype": "F32", "shape": [1099511627776], "data_offsets": [0, 4]}}',
     b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}', b'{"a": {"dtype": 7, "shape": [1]}}',
     b'{"a": {"dtype": "F32", "shape": "x"}}'],
)  # fmt: skip
@pytest.mark.parametrize("stated", [None, 0, 2**40, 2**63])
def test_weights_whose_header_lies_are_refused(folder, header, stated):
    length = len(header) if stated is None else stated
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", length) + header + b"\0" * 64)
    refused(folder, "cannot be loaded")


def test_all_families_pass_the_check(family_folder):
    for name in sorted(tiny_families.FAMILY):
        found = check_folder(family_folder(name), name)
        assert found["model_type"]


def test_a_prompt_s_model_changed_in_a_part_is_noticed(capsys, folder, corpus_folder, tmp_path):
    """Weights of a fine-tune go with all parts of the model that they were trained on."""
    sharded(folder, "a.safetensors", "parts/b.safetensors")
    out = tmp_path / "best.json"
    board = tmp_path / "lb.sqlite"
    small = tmp_path / "small.toml"
    small.write_text(runs.SMALL)
    for arguments in (
        ("search", corpus_folder, "--model", folder, "--max-evaluations", 2, "--fix", "epochs=1", "--name", "it",
         "--config", small, "--leaderboard", board),
        ("export", "--run", "it", "--out", out, "--with-weights", "--leaderboard", board),
        ("predict", out, "a fine film"),
    ):  # fmt: skip
        done = commands.call(capsys, *arguments)
        assert done.code == 0, done.err
    assert "parts/b.safetensors" in json.loads(out.read_text())["model_files"]
    part = folder / "parts" / "b.safetensors"
    held = load_file(part)
    save_file({name: values * 1.01 for name, values in held.items()}, part, metadata={"format": "pt"})
    commands.refused(commands.call(capsys, "predict", out, "a fine film"), 3, "parts/b.safetensors is another")
