"""Feed broken input to everything that reads what strangers wrote: only declared errors may come out.

``python tests/soak/fuzz.py --inputs 100000``; a target's time is in what it prints. Inputs are valid ones with bytes
flipped, cut out, repeated, mixed with others and with words that mean something to the target. ``--atheris`` lets
coverage guide the changes instead (``pip install atheris``; one ``--target``). Each target says what it does with one
input; a finding is saved and printed with its seed. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import lzma
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fuzz_rows
import odd_tables
import torch
from safetensors.torch import save

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))


def _watching() -> AbstractContextManager[Any]:
    """With --atheris it is seen which lines of the package an input reaches, if the package is imported in here."""
    if "--atheris" not in sys.argv:
        return nullcontext()
    import atheris

    return atheris.instrument_imports(include=["autoprompt"])  # type: ignore[no-any-return]


with _watching():
    from autoprompt.candidate import Settings
    from autoprompt.cli import rows
    from autoprompt.corpus import inputs, load
    from autoprompt.corpus.cards import parse_card
    from autoprompt.errors import AutopromptError
    from autoprompt.export import FORMAT, VERSION, Prompt
    from autoprompt.export import load as load_prompt
    from autoprompt.leaderboard import Leaderboard, RunRecord, Step
    from autoprompt.models.adaptation.peft_io import ADAPTERS, read_delta
    from autoprompt.optimizer.config import SearchConfig
    from autoprompt.template import LabelWords, Template

MOST_CHANGES = 4
SHOWN = 200


@dataclass(frozen=True)
class Target:
    """``read`` takes one input; ``seeds`` are valid ones, ``words`` what means something to it."""

    seeds: Sequence[bytes]
    words: Sequence[bytes]
    read: Callable[[bytes], object]


def changed(rng: random.Random, target: Target) -> bytes:
    """A valid input with a few changes."""
    data = bytearray(rng.choice(target.seeds))
    for _ in range(rng.randint(1, MOST_CHANGES)):
        start = rng.randint(0, len(data))
        end = min(len(data), start + rng.choice((0, 1, 1, 2, 4, 16, 100)))
        kind = rng.randrange(6)
        if kind == 0 and data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[start:end]
        elif kind == 2:
            data[start:start] = data[start:end] * rng.randint(1, 3)
        elif kind == 3:
            other = rng.choice(target.seeds)
            cut = rng.randint(0, len(other))
            data[start:end] = other[cut : cut + rng.randint(0, 64)]
        elif kind == 4:
            data[start:end] = rng.choice(target.words)
        else:
            data[start:end] = rng.randbytes(rng.randint(1, 4))
    return bytes(data)


def targets(folder: Path) -> dict[str, Target]:
    """Every reader of what others wrote. ``folder``: for files that are read by their name."""
    return {
        "template": Target(_TEMPLATES, _BRACES, _read_template),
        "card": Target([_CARD.encode()], _TOML, lambda data: parse_card("reviews", data.decode("utf-8", "replace"))),
        "config": Target([_CONFIG.encode()], _TOML, lambda data: SearchConfig.load(_written(folder / "c.toml", data))),
        "prompt": Target([json.dumps(v).encode() for v in (_FROZEN_PROMPT, _PROMPT, _WEIGHTED_PROMPT)],
                         [*_JSON, *_PATHS], lambda data: _read_prompt(_written(folder / "best.json", data))),
        "weights": Target([_weights()], _JSON, lambda data: read_delta([_written(folder / ADAPTERS, data)], _TAIL)),
        "lines": Target([_JSONL.encode()], _JSON, _read_lines),
        "csv": Target([_CSV.encode(), _CSV.replace('"', "").replace(",", ";").encode()], _CELLS,
                      lambda data: _read_delimited(_written(folder / "rows.csv", data))),
        "tsv": Target([_CSV.replace(",", "\t").encode(), _CSV.replace('"', "").replace(",", "\t").encode()], _CELLS,
                      lambda data: _read_delimited(_written(folder / "rows.tsv", data))),
        "rows": Target([bytes(range(16))], _CELLS, lambda data: fuzz_rows.read_written(folder, data)),
        "columns": Target([bytes(range(1, 17))], _CELLS, odd_tables.check),
        "json": Target([_JSONL.encode(), f"[{_JSONL.strip().replace(chr(10), ',')}]".encode()], _JSON,
                       lambda data: load(str(_written(folder / "rows.json", data)))),
        "packed": Target([gzip.compress(_CSV.encode()), lzma.compress(_CSV.encode())], _CELLS,
                         lambda data: load(str(_written(folder / _packed_name(data), data)))),
        "arrow": Target([_arrow(folder / "seed.arrow")], [b"ARROW1", b"\0" * 8, b"\xff" * 4],
                        lambda data: load(str(_written(folder / "rows.arrow", data)))),
        "jsonl": Target([_JSONL.encode()], _JSON, lambda data: load(str(_written(folder / "rows.jsonl", data)))),
        "parquet": Target([_parquet(folder / "seed.parquet")], [b"PAR1", b"\0" * 8, b"\xff" * 4],
                          lambda data: load(str(_written(folder / "rows.parquet", data)))),
        "leaderboard": Target([_leaderboard(folder / "seed.sqlite")], _SQLITE,
                              lambda data: _read_leaderboard(_written(folder / "lb.sqlite", data))),
    }  # fmt: skip


_TEMPLATES = [
    text.encode()
    for text in (
        "{text}\nSentiment: {label}",
        "Review: {text} {{braces}} {demos:4}\n{label}!",
        "{a}{b}{soft:8}{label}",
        "größe {text}🙂{label}",
    )
]
_TAIL = Settings("tail", 1e-3, 8, 8, 8)
_PATHS = [b"..", b"/", b"../x", b"\\", b"C:", b"\0"]
_BRACES = [b"{", b"}", b"{{", b"}}", b"{label}", b"{demos:99}", b"{soft:-1}", b"{text.__class__}", b"{0}", b"{text!r}",
           b"{text:>50000000}", b"\xed\xa0\x80", b"\0", b"\xe2\x80\xae"]  # fmt: skip
_TOML = [b"=", b"[", b"]", b'"', b"'''", b"\n", b"true", b"1e999", b"nan", b"-1", b"[[", b"{", b"fields", b"\\u0000"]
_JSON = [b"{", b"}", b"[", b"]", b'"', b"\\ud800", b"NaN", b"1e999", b"null", b"true", b"[" * 2000, b"\n", b"{text}"]
_CELLS = [
    b'"',
    b'""',
    b",",
    b"\t",
    b"\n",
    b"\r",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"label",
    b"text",
    b"," * 50,
]
_SQLITE = [b"SQLite format 3\0", b"aPmt", b"aPrt", b"\0" * 16, b"\xff" * 8, b"DROP TABLE runs", b"user_version"]
_CARD = """
name = "reviews"
title = "Reviews"
source = "written here"
licence = "CC0-1.0"
fields = ["text"]
metric = "accuracy"
template = "{text}\\nMood: {label}"
label_column = "label"
labels = ["neg", "pos"]
files = ["reviews.jsonl"]
split = { train = 16, validation = 16 }
[label_words]
neg = "bad"
pos = "good"
"""
_CONFIG = """
[settings]
learning_rate = [1e-4, 5e-4]
epochs = [2, 4]
calibration = [true]
[template]
max_length = 80
positions = false
[search]
pool = 8
operators = ["phrase", "words"]
time_limit = "60.5s"
"""
_FROZEN_PROMPT = {
    "format": FORMAT, "version": VERSION, "labels": ["neg", "pos"], "template": "{text}\nMood: {label}",
    "label_words": {"neg": "bad", "pos": "good"}, "settings": {"tuning": "none"}, "model": "tiny",
    "corpus": "rows.csv", "fingerprint": "f" * 64, "entry": "e" * 64, "run": "r" * 12,
    "scores": {"validation": {"loss": 0.5, "accuracy": 0.75, "metric": "accuracy", "value": 0.75, "n": 32}},
    "family": "causal", "max_length": 128, "model_revision": "", "chat": None, "label_column": "label",
    "target_length": 0, "model_files": {},
}  # fmt: skip
_PROMPT = {
    **_FROZEN_PROMPT, "chat": ["<s>", "</s>"], "model_files": {"model.safetensors": "a" * 64},
}  # fmt: skip
_WEIGHTED_PROMPT = (
    Prompt.model_validate(_PROMPT)
    .with_weights("best.weights/0123456789abcdef", {"adapter_model.safetensors": "b" * 64})
    .model_dump()
)
_ROWS = [(f"text {n} is {word}", label) for n in range(20) for word, label in (("good", "pos"), ("bad", "neg"))]
_CSV = "text,label\n" + "".join(f'"{text}",{label}\n' for text, label in _ROWS)
_JSONL = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in _ROWS)


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _parquet(path: Path) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"text": [r[0] for r in _ROWS], "label": [r[1] for r in _ROWS]}), path)
    return path.read_bytes()


def _arrow(path: Path) -> bytes:
    import pyarrow as pa

    table = pa.table({"text": [r[0] for r in _ROWS], "label": [r[1] for r in _ROWS]})
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table)
    return path.read_bytes()


def _leaderboard(path: Path) -> bytes:
    from boards import a_run, an_evaluation

    run: RunRecord = a_run(name="seed")
    with Leaderboard.open(path) as board:
        board.start_run(run)
        board.add([an_evaluation(f"k{number}") for number in range(4)])
        board.attach([Step(run.id, "task", "FitTask 1", {"value": [0.5]}, 1.5)])
    return path.read_bytes()


def _packed_name(data: bytes) -> str:
    return "rows.csv.gz" if data[:1] == b"\x1f" else "rows.csv.xz"


def _read_delimited(path: Path) -> None:
    fuzz_rows.check_lines(path)
    load(str(path))


def _read_template(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    template = Template.parse(text)
    assert Template.parse(template.format()) == template, "what is written is read back"
    LabelWords.of({"a": text, "b": "other"}, ["a", "b"])


def _weights() -> bytes:
    name = "base_model.model.model.layers.0.self_attn.q_proj"
    return save({f"{name}.lora_A.weight": torch.ones(2, 4), f"{name}.lora_B.weight": torch.zeros(4, 2)})


def _read_lines(data: bytes) -> None:
    """Standard input, as text and as JSON objects."""
    for objects in (False, True):
        stream = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8")
        for table in rows.of_stream(stream, ("text",), objects=objects).blocks:
            inputs(table, ["text"])


def _read_prompt(path: Path) -> None:
    prompt = load_prompt(path)
    prompt.messages(text="some text")
    assert prompt.session.fields is not None
    if prompt.weights is not None:
        assert path.parent in (path.parent / prompt.weights.folder).parents
    prompt.render(text="some text")
    prompt.render(text="{label} {text}", label=next(iter(prompt.label_words), "x"))


def _read_leaderboard(path: Path) -> None:
    for side in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + side).unlink(missing_ok=True)
    for read_only in (True, False):
        with Leaderboard.open(path, read_only=read_only) as board:
            for run in board.runs():
                board.evaluations(run.id), board.entries(run.id), board.attached(Step, run.id), board.digest(run.id)


def fuzz(name: str, target: Target, inputs: int, seed: int, keep: Path) -> dict[str, Any]:
    """Feed a target; its findings, one of each place, lie in ``keep``."""
    started, ends, findings = time.monotonic(), Counter[str](), {}
    for valid in target.seeds:
        target.read(valid)
    for number in range(inputs):
        data = changed(random.Random(f"{seed} {name} {number}"), target)  # noqa: S311
        try:
            target.read(data)
            ends["accepted"] += 1
        except Exception as error:
            where = type(error).__name__
            if isinstance(error, AutopromptError) and "\n" not in str(error):
                ends[where] += 1
                continue
            place = traceback.extract_tb(error.__traceback__)[-1]
            where += f" at {Path(place.filename).name}:{place.lineno}"
            ends[where] += 1
            if where not in findings:
                findings[where] = number
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{name}-{number}").write_bytes(data)
                print(f"{name} {number}: {where}: {str(error)[:SHOWN]}", flush=True)
    seconds = round(time.monotonic() - started)
    return {"inputs": inputs, "ends": dict(ends), "findings": len(findings), "seconds": seconds}


def guided(name: str, target: Target, inputs: int, keep: Path) -> None:
    """The same with atheris, which ends the process at the first finding."""
    import atheris

    corpus = keep / f"{name}-corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed{number}").write_bytes(seed)

    def one(data: bytes) -> None:
        try:
            target.read(data)
        except AutopromptError:
            return

    atheris.Setup([sys.argv[0], f"-runs={inputs}", f"-artifact_prefix={keep}/", str(corpus)], one)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000, help="for each target")
    parser.add_argument("--target", action="append", help="one target, or several; all without it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path(".bench/fuzz"), help="where findings go")
    parser.add_argument("--atheris", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        known = targets(Path(folder))
        chosen = given.target or list(known)
        if given.atheris:
            guided(chosen[0], known[chosen[0]], given.inputs, given.keep)
            return
        results = {name: fuzz(name, known[name], given.inputs, given.seed, given.keep) for name in chosen}
    for name, result in results.items():
        print(f"{name:12} {result['inputs']:7} inputs, {result['seconds']:5} s: {result['ends']}")
    print(json.dumps({name: {k: result[k] for k in ("inputs", "findings")} for name, result in results.items()}))


if __name__ == "__main__":
    main()
