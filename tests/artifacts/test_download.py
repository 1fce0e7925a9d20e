"""Models of the Hub: pinned revisions, what is refused, and what is said when it cannot be reached."""

import json
import shutil
from pathlib import Path

import hub
import pytest


def _files(hidden: int, **more: object) -> dict[str, str]:
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": hidden, **more}
    return {"config.json": json.dumps(config), "tokenizer.json": "{}", "model.safetensors": hub.NO_TENSORS}


@pytest.mark.slow
def test_a_revision_is_pinned_recorded_and_found_again_offline(tmp_path):
    tiny = hub.repository(_files(8), _files(16), v1=0)
    first, second = list(tiny.commits)
    names = ("owner/tiny@v1", "owner/tiny", f"owner/tiny@{first}", "owner/tiny@v9")
    with hub.serve({"owner/tiny": tiny}, {}) as address:
        pinned, newest, commit, unknown = hub.locate(tmp_path, *names, HF_ENDPOINT=address)
    assert (pinned["revision"], pinned["hidden"]) == (commit["revision"], commit["hidden"]) == (first, 8)
    assert (newest["revision"], newest["hidden"], newest["family"]) == (second, 16, "causal")
    assert unknown["code"] == 3
    assert "owner/tiny" in unknown["error"]
    again = hub.locate(tmp_path, *names[:3], "owner/other", HF_HUB_OFFLINE="1")
    assert [answer.get("revision") for answer in again[:3]] == [first, second, first]
    assert again[3]["code"] == 3


def test_fault_17_18_19_what_cannot_be_used_is_refused_within_seconds(tmp_path):
    pickled = {name: text for name, text in _files(8).items() if name != "model.safetensors"}
    repositories = {
        "owner/pickled": hub.repository(pickled | {"pytorch_model.bin": "x"}),
        "owner/coded": hub.repository(_files(8, auto_map={"AutoModelForCausalLM": "code.Model"})),
        "owner/gated": hub.repository(_files(8), gated=True),
    }
    with hub.serve(repositories, {}) as address:
        pickle, code, gated, missing = hub.locate(tmp_path, *repositories, "owner/missing", HF_ENDPOINT=address)
    for answer, part in ((pickle, "convert them to safetensors"), (code, "auto_map"), (gated, "owner/gated"),
                         (missing, "owner/missing")):  # fmt: skip
        assert answer["code"] == 3
        assert part in answer["error"]
        assert answer["error"].count("\n") == 0
    (unreachable,) = hub.locate(tmp_path, "owner/else", HF_ENDPOINT="http://127.0.0.1:9")
    assert "cannot be reached" in unreachable["error"]
    assert unreachable["seconds"] < 15


SHARDS = {"model-1.safetensors": hub.NO_TENSORS, "model-2.safetensors": hub.NO_TENSORS}


SAID = {
    "model.safetensors": "weights are missing",
    "tokenizer.json": "the tokenizer is missing",
    "model-2.safetensors": "weights are missing",
}
"""The file that is lost, and what is said then."""


@pytest.mark.slow
def test_a_model_that_is_partly_here_is_completed(tmp_path: Path) -> None:
    """As another program leaves it that wanted only a config, or was stopped."""
    repositories = {}
    for lost in SAID:
        files = _files(8) | {"tokenizer_config.json": "{}"}
        if lost in SHARDS:
            files |= SHARDS | {
                "model.safetensors.index.json": json.dumps({"weight_map": dict(zip("xy", SHARDS, strict=True))})
            }
            del files["model.safetensors"]
        repositories[f"owner/without-{lost}"] = files
    with hub.serve({name: hub.repository(files) for name, files in repositories.items()}, {}) as address:
        whole = hub.locate(tmp_path, *repositories, HF_ENDPOINT=address)
        snapshots = []
        for name, lost in zip(repositories, SAID, strict=True):
            kept = tmp_path / "hf" / "hub" / f"models--{name.replace('/', '--')}"
            shutil.rmtree(kept / "trees", ignore_errors=True)  # downloads of single files leave no list of all files
            snapshots.extend((kept / "snapshots").iterdir())
            (snapshots[-1] / lost).unlink()
        offline = hub.locate(tmp_path, *repositories, HF_HUB_OFFLINE="1")
        again = hub.locate(tmp_path, *repositories, HF_ENDPOINT=address)
    found = hub.locate(tmp_path, *repositories, HF_HUB_OFFLINE="1")
    answers = zip(SAID.values(), repositories.values(), snapshots, whole, offline, again, found, strict=True)
    for said, files, snapshot, first, refused, completed, last in answers:
        assert refused["code"] == 3
        assert f"only partly on this machine ({said})" in refused["error"]
        assert (completed["revision"], completed["family"]) == (first["revision"], "causal")
        assert all((snapshot / name).is_file() for name in files)
        assert last["revision"] == first["revision"]
