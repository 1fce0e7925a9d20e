"""Prompt files, bundles, configurations and model folders from somebody who wishes us ill, by the thousand.

``python tests/soak/hostile_files.py --variants 1200`` makes variants of valid files: other types, sizes, depths,
unicode, control characters, named pipes, links, devices, paths that lead out, shapes, pickles, endless chat templates.
Commands (predict, export, search) are given each of them in a process of its own, which begins anew after a variant
that hangs. No command may end with a traceback, take more than ten seconds or a gigabyte, or run anything of the
file's. Prints a line a finding, and a summary as JSON; the exit code is 1 where there is a finding.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import random
import shutil
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import commands
import hostile_changes as change
import runs
import tiny
import tiny_families
from memory import peak

KINDS = ("prompt", "weights", "bundle", "config", "model", "chat", "search")
SHARES = (30, 8, 16, 8, 28, 7, 3)
MOST_SECONDS = 10
"""More than the same command takes with valid files, on a machine that is as busy."""
MOST_WAIT = 60
MOST_COMMANDS = 200
"""Of one process, whose memory grows with every model; users give it one."""
MOST_MEGABYTES = 1024
CODES = {0, 2, 3, 4, 5, 6}
TEXT = "The soup was lovely."
JSONS = ("config.json", "tokenizer_config.json", "tokenizer.json", "generation_config.json")
CONFIG = """
[settings]
learning_rate = [2e-4, 1e-3]
batch_size = [8]
epochs = [1]
[template]
max_length = 80
[search]
pool = 6
"""


@dataclass(frozen=True)
class World:
    """Valid files, made once: a model with a chat format, data, a leaderboard, an export with weights, a bundle."""

    folder: Path

    @property
    def subject(self) -> Path:
        """Where a variant lies; the leaderboard's model is in there, too."""
        return self.folder / "subject"

    @property
    def model(self) -> Path:
        return self.subject / "model"

    @property
    def canary(self) -> Path:
        return self.folder / "canary"

    @property
    def board(self) -> Path:
        return self.folder / "lb.sqlite"

    def make(self) -> World:
        """Build all of it."""
        from dataclasses import replace

        from autoprompt import run
        from autoprompt.api import Silent
        from autoprompt.leaderboard import Leaderboard
        from autoprompt.run.warm_start import export_bundle

        self.model.parent.mkdir(parents=True)
        tiny.save_llama(self.model, tiny_families.chatting())
        (self.folder / "corpus").mkdir()
        tiny.write_corpus(self.folder / "corpus")
        options = runs.small(self.model, self.folder / "corpus", self.folder)
        options = replace(options, model=replace(options.model, chat=True), max_evaluations=4)
        with commands.inline():
            result = run.search(options, Silent()).to_dict()
        (self.folder / "entry").write_text(result["best"]["entry"])
        with Leaderboard.open(self.board, read_only=True) as opened:
            run.export(opened, result["best"]["entry"], self.subject / "best.json", with_weights=True)
            export_bundle(opened, None, self.subject / "bundle.json")
        (self.subject / "search.toml").write_text(CONFIG)
        shutil.copytree(self.subject, self.folder / "valid")
        return self

    def restore(self) -> None:
        """What was valid is so again."""
        shutil.rmtree(self.subject, ignore_errors=True)
        shutil.copytree(self.folder / "valid", self.subject)

    def json(self, name: str) -> Any:
        return json.loads((self.folder / "valid" / name).read_text())


def make(world: World, kind: str, rng: random.Random) -> tuple[str, list[str]]:
    """Put one variant in its place; what it is, and the command that is given it."""
    world.restore()
    makers: dict[str, Callable[[World, random.Random], tuple[str, list[str]]]] = {
        "prompt": _prompt, "weights": _weights, "bundle": _bundle, "config": _config, "model": _model, "chat": _chat,
        "search": _search,
    }  # fmt: skip
    return makers[kind](world, rng)


def _file(world: World, name: str, rng: random.Random) -> str:
    """One file made hostile, as JSON, as bytes, or as no file at all."""
    path = world.subject / name
    kind = rng.random()
    if kind < 0.12:
        what = rng.choice(list(change.NO_FILES))
        change.put(path, change.NO_FILES[what])
        return f"{name}: {what}"
    if kind < 0.25 or path.suffix != ".json":
        path.write_bytes(change.changed_bytes(rng, path.read_bytes()))
        return f"{name}: bytes"
    path.write_bytes(change.changed_json(rng, world.json(name)))
    return f"{name}: JSON"


def _predict(world: World, *more: str) -> list[str]:
    return ["predict", str(world.subject / "best.json"), TEXT, "--json", *more]


def _searched(world: World, *more: str) -> list[str]:
    return [
        "search", str(world.folder / "corpus"), "--model", str(world.model), "--max-evaluations", "1", "--fix",
        "epochs=1", "--leaderboard", str(world.subject / "new.sqlite"), "--json", *more,
    ]  # fmt: skip


def _prompt(world: World, rng: random.Random) -> tuple[str, list[str]]:
    what = _file(world, "best.json", rng)
    if rng.random() < 0.3 and (world.subject / "best.json").is_file():  # a forger binds what he changed
        with contextlib.suppress(Exception):
            from autoprompt.export import Prompt

            prompt = Prompt.model_validate(json.loads((world.subject / "best.json").read_bytes()))
            assert prompt.weights is not None
            bound = prompt.with_weights(prompt.weights.folder, prompt.weights.files)
            (world.subject / "best.json").write_text(json.dumps(bound.model_dump()))
            what += ", bound"
    return what, _predict(world, *(["--frozen"] if rng.random() < 0.5 else []))


def _weights(world: World, rng: random.Random) -> tuple[str, list[str]]:
    """Weights that the prompt file vouches for, of other shapes, names, types and values."""
    from autoprompt.export import load
    from autoprompt.files import sha256

    (folder,) = (world.subject / "best.weights").iterdir()
    file = folder / "adapter_model.safetensors"
    what = "bytes"
    if rng.random() < 0.2:
        what = rng.choice(list(change.NO_FILES))
        change.put(file, change.NO_FILES[what])
    elif rng.random() < 0.3:
        file.write_bytes(change.changed_bytes(rng, file.read_bytes()))
    else:
        what = _tensors(file, rng)
    prompt = load(world.subject / "best.json")
    assert prompt.weights is not None
    with contextlib.suppress(OSError):
        named = {
            name: sha256(folder / name) for name in prompt.weights.files if (folder / name).stat().st_size < 1 << 30
        }
        bound = prompt.with_weights(prompt.weights.folder, named)
        (world.subject / "best.json").write_text(json.dumps(bound.model_dump()))
    return f"weights: {what}", _predict(world)


def _tensors(file: Path, rng: random.Random) -> str:
    import torch
    from safetensors.torch import load_file, save_file

    held = load_file(file)
    name = rng.choice(sorted(held))
    tensor = held.pop(name)
    what = rng.choice(("shape", "name", "type", "value", "missing", "more"))
    if what == "shape":
        held[name] = rng.choice(
            (tensor.T.contiguous(), tensor[:1], tensor.flatten(), torch.ones(64, 64), torch.ones(0))
        )
    elif what == "name":
        held[rng.choice(("", "x", "../x", "\x1b", "lm_head.weight", name * 10))] = tensor
    elif what == "type":
        held[name] = tensor.to(rng.choice((torch.int64, torch.bool, torch.float16, torch.float64, torch.int8)))
    elif what == "value":
        held[name] = torch.full_like(tensor, rng.choice((float("nan"), float("inf"), 1e38, -1e38, 0.0)))
    elif what == "more":
        held |= {name: tensor, "soft_vectors": torch.ones(3, 32), f"{name}.x": tensor.clone()}
    save_file(held or {"x": torch.ones(1)}, file)
    return what


def _bundle(world: World, rng: random.Random) -> tuple[str, list[str]]:
    what = _file(world, "bundle.json", rng)
    return what, _searched(world, "--warm-start", str(world.subject / "bundle.json"))


def _config(world: World, rng: random.Random) -> tuple[str, list[str]]:
    path = world.subject / "search.toml"
    if rng.random() < 0.3:
        what = _file(world, "search.toml", rng)
    else:
        lines = CONFIG.strip().splitlines()
        place = rng.randrange(len(lines))
        value = json.dumps(rng.choice(change.VALUES))
        lines[place] = (
            f"{lines[place].partition('=')[0]}= {rng.choice((value, f'[{value}]', '[' * 2000, '{a.b.c = 1}'))}"
        )
        path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
        what = "search.toml: values"
    return what, _searched(world, "--config", str(path))


def _model(world: World, rng: random.Random) -> tuple[str, list[str]]:
    kind = rng.randrange(10)
    if kind < 5:
        what = _file(world, f"model/{rng.choice(JSONS)}", rng)
    elif kind == 5:
        what = _huge(world, rng)
    elif kind == 6:
        what = _sharded(world, rng)
    elif kind == 7:
        what = _beside(world, rng)
    elif kind == 8:
        what = _tokenizer(world, rng)
    else:
        what = _header(world, rng)
    prompt = world.json("best.json")
    del prompt["weights"]
    (world.subject / "best.json").write_text(json.dumps(prompt | {"chat": None}))
    return f"model/{what}" if not what.startswith("model/") else what, _predict(world, "--frozen")


def _edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def _huge(world: World, rng: random.Random) -> str:
    """A config of a kilobyte that asks for a terabyte, for code, or for another model."""
    what: tuple[str, Any] = rng.choice((
        ("vocab_size", 10**9), ("hidden_size", 10**6), ("num_hidden_layers", 10**5), ("num_hidden_layers", 10**9),
        ("num_attention_heads", 10**6), ("intermediate_size", 2**31),
        ("max_position_embeddings", 2**40),
        ("num_labels", 10**8), ("head_dim", 2**20), ("num_key_value_heads", 10**7), ("pad_token_id", 10**9),
        ("auto_map", {"AutoModelForCausalLM": "code.Model"}), ("quantization_config", {"quant_method": "bitsandbytes"}),
        ("dtype", "load"), ("dtype", "int8"), ("torch_dtype", ["float32"]), ("attn_implementation", "evil/kernel"),
        ("_name_or_path", "/etc"), ("transformers_weights", "../x.safetensors"), ("model_type", "../../x"),
        ("model_type", "distilbert"), ("architectures", ["Evil"]), ("tie_word_embeddings", "x"),
        ("rope_parameters", {}),
        ("layer_types", ["x"] * 1000), ("is_encoder_decoder", True), ("hidden_act", "__import__"),
        ("use_cache", []),
        ("rms_norm_eps", "x"), ("sub_configs", {"a": 1}), ("pruned_heads", {"0": [0, 1]}),
        ("chunk_size_feed_forward", 1),
        ("id2label", {str(n): "x" for n in range(100_000)}), ("problem_type", "x"), ("vocab_size", 10),
        ("bos_token_id", -5),
    ))  # fmt: skip
    _edit(world.model / "config.json", **{what[0]: what[1]})
    (world.model / "code.py").write_text(f"open({str(world.canary)!r}, 'w')\n")
    return f"config.json: {what[0]} = {str(what[1])[:30]}"


def _sharded(world: World, rng: random.Random) -> str:
    """An index whose shards lie elsewhere, are no files, or no safetensors."""
    weights = world.model / "model.safetensors"
    names = [name for name in _listed(weights) if name != "__metadata__"]
    shard = rng.choice((
        "parts/a.safetensors", "../outside.safetensors", "/etc/outside.safetensors", "a.bin",
        "parts/../../a.safetensors",
        "pipe.safetensors", "", ".", "x" * 5000 + ".safetensors", "parts", "\0.safetensors", "a\\b.safetensors",
    ))  # fmt: skip
    target = rng.choice((shard, shard, 7, None, [shard]))
    with contextlib.suppress(OSError, ValueError):
        if shard == "pipe.safetensors":
            os.mkfifo(world.model / shard)
        elif not shard.startswith("/"):
            (world.model / shard).parent.mkdir(exist_ok=True)
            shutil.copy(weights, world.model / shard)
    weights.unlink()
    (world.model / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, target)})
    )
    return f"index: {str(target)[:40]!r}"


def _beside(world: World, rng: random.Random) -> str:
    """Files that others would open: pickles, code, adapters, templates."""
    evil = change.pickled(world.canary)
    what = rng.choice(("pickles alone", "pickles", "adapter", "code", "generate", "templates", "pipes", "vocabulary"))
    if what == "pickles alone":
        (world.model / "model.safetensors").unlink()
    for name in ("pytorch_model.bin", "training_args.bin", "adapter_model.bin", "optimizer.pt", "scheduler.pt"):
        (world.model / name).write_bytes(evil)
    if what == "adapter":
        values = {"base_model_name_or_path": rng.choice(("/etc", "evil/model", "../model", 7)), "peft_type": "LORA"}
        (world.model / "adapter_config.json").write_text(json.dumps(values))
    elif what == "code":
        for name in (
            "code.py",
            "modeling_llama.py",
            "tokenization_llama.py",
            "sitecustomize.py",
            "torch.py",
            "jinja2.py",
        ):
            (world.model / name).write_text(f"open({str(world.canary)!r}, 'w')\n")
        _edit(world.model / "tokenizer_config.json", auto_map={"AutoTokenizer": ["code.Own", None]})
    elif what == "generate":
        (world.model / "custom_generate").mkdir()
        (world.model / "custom_generate" / "generate.py").write_text(f"open({str(world.canary)!r}, 'w')\n")
    elif what == "templates":
        (world.model / "additional_chat_templates").mkdir()
        change.put(world.model / "additional_chat_templates" / "default.jinja",
                   change.NO_FILES[rng.choice(list(change.NO_FILES))])  # fmt: skip
    elif what == "pipes":
        name = rng.choice(("vocab.json", "merges.txt", "special_tokens_map.json", "added_tokens.json", "x.model"))
        change.put(world.model / name, change.NO_FILES[rng.choice(list(change.NO_FILES))])
    elif what == "vocabulary":
        (world.model / "tokenizer.json").unlink()
        (world.model / "vocab.json").write_bytes(change.changed_bytes(rng, b'{"a": 0, "b": 1}'))
    return f"beside: {what}"


def _tokenizer(world: World, rng: random.Random) -> str:
    """A tokenizer that makes texts endless, has tokens that the model does not, or never ends."""
    path = world.model / "tokenizer.json"
    doubling = {"type": "Sequence", "normalizers": [
        {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}] * 40}  # fmt: skip
    regex = {"type": "Split", "pattern": {"Regex": rng.choice(("(a+)+$", "(.+)+z", "(?:a|a)*b", "("))},
             "behavior": "Isolated", "invert": False}  # fmt: skip
    pieces = [{"SpecialToken": {"id": "<s>", "type_id": 0}}] * 100_000
    many = {"type": "TemplateProcessing", "single": [*pieces, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}  # fmt: skip
    token = {"id": 10**6, "content": "soup", "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": False}  # fmt: skip
    padding = {"strategy": {"Fixed": 10**9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
               "pad_type_id": 0, "pad_token": "<unk>"}  # fmt: skip
    what: dict[str, Any] = rng.choice((
        {"normalizer": doubling}, {"pre_tokenizer": regex}, {"post_processor": many}, {"added_tokens": [token]},
        {"padding": padding}, {"truncation": {"max_length": 0, "strategy": "LongestFirst", "stride": 10**9}},
        {"normalizer": {"type": "Prepend", "prepend": "x" * 10**6}},
        {"model": {"type": "BPE", "vocab": {}, "merges": []}},
        {"model": {"type": "WordLevel", "vocab": {"a": 10**9}, "unk_token": "a"}}, {"decoder": None}, {"version": "9"},
        {"model": {"type": "Unigram", "vocab": [["<unk>", 1e300]], "unk_id": 7}},
    ))  # fmt: skip
    _edit(path, **what)
    return f"tokenizer.json: {next(iter(what))}"


def _listed(file: Path) -> dict[str, Any]:
    data = file.read_bytes()
    return dict(json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]]))


def _header(world: World, rng: random.Random) -> str:
    """Safetensors whose header does not fit its data."""
    file = world.model / "model.safetensors"
    data = file.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = change.changed_json(rng, json.loads(data[8 : 8 + length]))
    stated = rng.choice((len(header), len(header), 2**63, 10**9, 0))
    file.write_bytes(struct.pack("<Q", stated) + header + data[8 + length :])
    return "model.safetensors: header"


def _chat(world: World, rng: random.Random) -> tuple[str, list[str]]:
    template = rng.choice(change.LOOPS)
    tokenizer = world.model / "tokenizer_config.json"
    where = rng.randrange(3)
    if where == 0:
        (world.model / "chat_template.jinja").write_text(template)
    else:
        (world.model / "chat_template.jinja").unlink(missing_ok=True)
        named = [{"name": "default", "template": template}, {"name": "tool_use", "template": 7}]
        _edit(tokenizer, chat_template=template if where == 1 else named)
    entry = (world.folder / "entry").read_text()
    command = ["export", entry, "--out", str(world.subject / "new.json"), "--leaderboard", str(world.board)]
    if rng.random() < 0.5:
        prompt = world.json("best.json")
        del prompt["weights"]
        (world.subject / "best.json").write_text(json.dumps(prompt))
        command = _predict(world, "--frozen")
    return f"chat template: {template[:50]}", command


def _search(world: World, rng: random.Random) -> tuple[str, list[str]]:
    what, _ = _model(world, rng)
    return f"search: {what}", _searched(world)


# The process that is given them


def _command(arguments: list[str]) -> tuple[int, str]:
    """The command in this process; its exit code, and what it wrote to standard error."""
    from autoprompt.cli import main

    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["autoprompt", *arguments]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), commands.inline():
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        except BaseException:
            return -1, traceback.format_exc()
    return code, err.getvalue()


def _serve(folder: Path, pipe: Connection) -> None:
    """Take kinds and seeds until the pipe ends."""
    os.environ["AUTOPROMPT_CACHE"] = str(folder / "cache")
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.chdir(folder)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)  # panics of tokenizers
    import torch

    torch.set_num_threads(1)
    world = World(folder)
    world.restore()
    search = _searched(world, "--warm-start", str(world.subject / "bundle.json"))
    taken = []
    for arguments in (_predict(world, "--frozen"), search, _predict(world, "--frozen"), search):
        started = time.monotonic()
        (world.subject / "new.sqlite").unlink(missing_ok=True)
        assert _command(arguments)[0] == 0
        taken.append(time.monotonic() - started)
    pipe.send(dict(zip(("predict", "search"), taken[2:], strict=True)))  # by then all is imported
    with contextlib.suppress(EOFError):
        while True:
            kind, seed = pipe.recv()
            what, arguments = make(world, kind, random.Random(seed))  # noqa: S311
            pipe.send((what, arguments[0]))
            started = time.monotonic()
            code, err = _command(arguments)
            most = peak()
            pipe.send((code, err[-2000:], time.monotonic() - started, most))


@dataclass
class Suite:
    """Variants fed to a process; ``findings``: what must not be."""

    world: World
    ends: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    most_seconds: float = 0.0
    most_megabytes: int = 0
    _process: Any = None
    _pipe: Any = None
    _given: int = 0
    _taken: dict[str, float] = field(default_factory=dict)

    def run(self, kind: str, seed: str) -> None:
        """One variant."""
        if self._process is not None and self._given >= MOST_COMMANDS:
            self.close()
        if self._process is None:
            self._start()
        self._given += 1
        self._pipe.send((kind, seed))
        assert self._pipe.poll(MOST_WAIT), f"the variant {kind} {seed} cannot be made"
        what, command = self._pipe.recv()
        seconds = MOST_SECONDS + self._taken.get(command, 0)
        try:
            if not self._pipe.poll(seconds):
                self._end(kind, seed, what, f"takes more than {seconds:.1f} s")
                return
            code, err, seconds, most = self._pipe.recv()
        except EOFError:
            self._end(kind, seed, what, "ends the process")
            return
        self.most_seconds, self.most_megabytes = max(self.most_seconds, seconds), max(self.most_megabytes, most)
        self.ends["accepted" if code == 0 else f"exit {code}"] += 1
        if code not in CODES or "Traceback" in err:
            self._found(kind, seed, what, f"ends with {code}: {err.strip()[-400:]}")
        elif code and not err.strip().splitlines()[-1].startswith("Error: "):
            self._found(kind, seed, what, f"says {err.strip()[-200:]!r}")
        if most > MOST_MEGABYTES:
            self._end(kind, seed, what, f"takes {most} MB")
        if self.world.canary.exists():
            self._found(kind, seed, what, "runs code")
            self.world.canary.unlink()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(self.world.folder, theirs), daemon=True)
        self._process.start()
        theirs.close()
        assert self._pipe.poll(5 * MOST_WAIT), "the process does not start"
        self._taken, self._given = self._pipe.recv(), 0

    def _found(self, kind: str, seed: str, what: str, why: str) -> None:
        self.findings.append(f"{kind} {seed} ({what}) {why}")
        print(self.findings[-1], flush=True)

    def _end(self, kind: str, seed: str, what: str, why: str) -> None:
        self._found(kind, seed, what, why)
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def attack(variants: int, seed: int, kinds: tuple[str, ...] = KINDS) -> dict[str, Any]:
    """Feed so many variants; what came of them."""
    started = time.monotonic()
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with tempfile.TemporaryDirectory() as folder:
        suite = Suite(World(Path(folder)).make())
        rng = random.Random(seed)  # noqa: S311
        counts: Counter[str] = Counter()
        try:
            for number in range(variants):
                kind = rng.choices(KINDS, SHARES)[0]
                if kind not in kinds:
                    kind = kinds[number % len(kinds)]
                counts[kind] += 1
                suite.run(kind, f"{seed}.{number}")
        finally:
            suite.close()
    return {
        "variants": variants, "kinds": dict(counts), "ends": dict(suite.ends), "findings": len(suite.findings),
        "slowest": round(suite.most_seconds, 1), "mb": suite.most_megabytes, "seed": seed,
        "seconds": round(time.monotonic() - started),
    }  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", type=int, default=1_200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=KINDS)
    given = parser.parse_args()
    result = attack(given.variants, given.seed, tuple(given.kind or KINDS))
    print(json.dumps(result))
    sys.exit(1 if result["findings"] else 0)
