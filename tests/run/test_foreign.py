"""Leaderboards from elsewhere: their runs are opened as data, and say nothing of processes and machines."""

import json
import os
import re
import stat
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import commands
import pytest
import runs
from runs import started

import autoprompt
from autoprompt import run
from autoprompt.errors import InputError, StorageError, UsageError
from autoprompt.leaderboard import Leaderboard, RunRecord, StoredRequest
from autoprompt.progress import Silent
from autoprompt.run.ownership import is_own, mark_of
from autoprompt.run.request import stored_options

THERE = {"executor": "ray", "ray_address": "203.0.113.7:6379", "workers": 64, "workers_per_gpu": 8, "device": "cuda:3"}


class Told(Silent):
    """A view that keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(autouse=True, scope="module")
def _in_this_process():
    with commands.inline():
        yield


@pytest.fixture(scope="module")
def options(
    model_folders: dict[str, Path], corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> run.SearchOptions:
    return runs.small(model_folders["llama"], corpus_folder, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def stopped(options: run.SearchOptions) -> str:
    """A run that its user stopped; its id."""
    return started(options, 20, KeyboardInterrupt)


def stored(options: run.SearchOptions, reference: str) -> RunRecord:
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        return board.run(reference)


def asking(record: RunRecord, **model: Any) -> RunRecord:
    """The run as a stranger has changed it."""
    asked = record.config.request
    changed = replace(record.config, request=replace(asked, model={**asked.model, **model}))
    return replace(record, config=changed)


def of_model(record: RunRecord, place: run.PlaceOptions | None = None) -> tuple[run.ModelOptions, list[str]]:
    notes: list[str] = []
    found = stored_options(record, Path("lb.sqlite"), None, 0.0, place or run.PlaceOptions(), notes.append)
    return found.model, notes


def test_an_own_run_keeps_its_workers(options, stopped):
    record = stored(options, stopped)
    assert is_own(record)
    model, notes = of_model(record)
    assert (model, notes) == (options.model, [])
    model, _ = of_model(record, run.PlaceOptions(workers=3, device="cuda"))
    assert model == replace(options.model, workers=3, device="cuda")
    model, _ = of_model(record, run.PlaceOptions(ray_address="here:1"))
    assert (model.executor, model.ray_address) == ("ray", "here:1")


@pytest.mark.parametrize(
    "forged",
    [
        lambda record: asking(record, **THERE),
        lambda record: replace(asking(record, **THERE), id="another"),
        lambda record: replace(record, config=replace(asking(record, **THERE).config, mark="")),
        lambda record: replace(record, config=replace(asking(record, **THERE).config, mark=None)),
        lambda record: replace(record, config=replace(asking(record, **THERE).config, mark={"a": 1})),
        lambda record: replace(record, config=replace(asking(record, **THERE).config, mark="é" * 64)),
    ],
)
def test_what_a_strangers_run_says_of_workers_is_not_taken_over(options, stopped, forged):
    record = forged(stored(options, stopped))
    assert not is_own(record)
    model, (note,) = of_model(record)
    default = run.ModelOptions()
    names = ("executor", "ray_address", "workers", "workers_per_gpu", "device")
    assert [getattr(model, name) for name in names] == [getattr(default, name) for name in names]
    assert model.model == options.model.model
    assert "--executor ray --ray-address 203.0.113.7:6379 --workers 64 --workers-per-gpu 8 --device cuda:3" in note
    model, (note,) = of_model(record, run.PlaceOptions(workers=2, device="cpu"))
    assert (model.executor, model.workers, model.device) == ("local", 2, "cpu")
    assert "--workers 64" not in note


def test_the_mark_of_another_user_or_machine_does_not_count(options, stopped, monkeypatch, tmp_path):
    record = stored(options, stopped)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    assert not is_own(record)
    assert not (tmp_path / "another").exists(), "reading makes no key"
    assert mark_of(record.id, record.config.request.to_dict()) != record.config.mark
    monkeypatch.undo()
    assert is_own(record)


def test_the_key_is_this_users_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    mark = mark_of("run", {})
    (key,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert mark_of("run", {}) == mark
    assert len({mark, mark_of("run", {"a": 1}), mark_of("other", {})}) == 3
    key.chmod(0o644)  # others may have read it: it is made anew
    assert mark_of("run", {}) != mark
    key.unlink()
    key.symlink_to("/dev/zero")
    assert mark_of("run", {})
    assert stat.S_ISREG(key.lstat().st_mode)


def test_a_run_is_begun_where_no_key_can_be_kept(options, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    options = replace(options, leaderboard=tmp_path / "lb.sqlite")
    reference = started(options, 20, KeyboardInterrupt)
    assert not is_own(stored(options, reference))
    told = Told()
    assert run.resume(reference, options.leaderboard, told).to_dict()["evaluations"] == 7
    assert "was not begun by this user on this machine" in told.notes[0]


def test_the_command_joins_no_cluster_that_a_stranger_names(options, stopped, capsys, tmp_path):
    """And ends as its own user's does."""
    forged = replace(options, leaderboard=tmp_path / "forged.sqlite")
    with Leaderboard.open(options.leaderboard) as board:
        board.back_up(forged.leaderboard)
    with Leaderboard.open(forged.leaderboard) as board:
        config = asking(board.run(stopped), **THERE).config
        board.start_run(replace(board.run(stopped), id="forged", config=config))
    sys.modules.pop("autoprompt.execution.ray_cluster", None)
    arguments = ("--leaderboard", forged.leaderboard, "--json")
    shown = commands.call(capsys, "resume", "forged", *arguments)
    assert shown.code == 0, shown.err
    assert "autoprompt.execution.ray_cluster" not in sys.modules
    said = re.sub(r"\s+", " ", shown.err)
    assert "--executor ray --ray-address 203.0.113.7:6379" in said
    assert "is ignored" in said
    entry = json.loads(shown.out)["best"]["entry"]
    shown = commands.call(capsys, "verify", entry, "--workers", 1, *arguments)
    assert shown.code == 0, shown.err
    assert json.loads(shown.out)["verdict"] == "exact"
    assert "autoprompt.execution.ray_cluster" not in sys.modules
    with pytest.raises(UsageError, match="cuda:99"):
        autoprompt.verify(entry, leaderboard=forged.leaderboard, device="cuda:99", workers=1).to_dict()


def _pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe")
    return str(folder / "pipe")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("what", ["model", "corpus"])
@pytest.mark.parametrize(
    "place", [_pipe, lambda _: "/dev/zero", lambda _: "//host/share/x", lambda _: r"\\host\share", lambda _: 7]
)
def test_a_place_that_is_no_file_and_no_folder_is_not_opened(
    options, stopped, tmp_path, what, place: Callable[[Path], Any]
):
    record = stored(options, stopped)
    named = place(tmp_path)
    asked = record.config.request
    changed = {"corpus": named} if what == "corpus" else {"model": {**asked.model, "model": named}}
    forged = replace(record, config=replace(record.config, request=replace(asked, **changed)))
    with pytest.raises((InputError, StorageError), match=r"start a new search\.$"):
        of_model(forged)


@pytest.mark.parametrize(
    "changed",
    [
        {"whole": True}, {"whole": True, "in_memory": False}, {"model": []},
        {"model": {"model": "a", "exec": "b"}}, {"data": {"x": 1}}, {"config": {"search": {"pool": "many"}}},
        {"config": 7}, {"templates": 7}, {"unknown": 1},
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_read(options, stopped, changed):
    record = stored(options, stopped)
    asked = {} if changed.pop("whole", False) else record.config.request.to_dict()
    forged = replace(record, config=replace(record.config, request=StoredRequest.from_dict(asked | changed)))
    with pytest.raises(StorageError, match=r"cannot be read|lacks the value"):
        of_model(forged)


def test_a_strangers_words_reach_a_terminal_as_signs_only(options, stopped):
    forged = asking(stored(options, stopped), ray_address="\x1b]0;owned\x07 \u202e$(touch x)", executor="ray")
    _, (note,) = of_model(forged)
    assert note.isprintable()
    assert "\u202e" not in note
