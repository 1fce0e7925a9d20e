"""A disk that is really full, or really read-only: a small file system in memory, which root alone can mount."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import commands
import pytest
import runs
from boards import a_run, an_evaluation, writing

from autoprompt.errors import StorageError
from autoprompt.leaderboard import Leaderboard, Step

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may mount a file system"),
]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(place)], check=False)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


@pytest.fixture
def search(model_folders: dict[str, Path], corpus_folder: Path, tmp_path: Path) -> Callable[..., commands.Result]:
    (tmp_path / "small.toml").write_text(runs.SMALL)

    def run(board: Path, **env: str) -> commands.Result:
        return commands.spawn(
            "search", corpus_folder, "--model", model_folders["llama"], "--max-evaluations", 7, "--workers", 2,
            "--config", tmp_path / "small.toml", "--fix", "epochs=1", "--name", "full", "--leaderboard", board,
            "--json",
            env=env,
        )  # fmt: skip

    return run


def test_fault_32_a_full_disk_stops_a_search_and_what_is_there_is_read_and_gone_on_with(disk, search, tmp_path):
    whole = search(tmp_path / "whole.sqlite")
    assert whole.code == 0, whole.err
    board = disk / "lb.sqlite"
    stopped = search(board)
    commands.refused(stopped, 4, "disk is full", "bytes free", "resume")
    with Leaderboard.open(board, read_only=True) as opened:
        (run,) = opened.runs()
        rows = opened.evaluations()
        assert opened.attached(Step, run.id)
    remount(disk, "size=20m")
    ended = commands.spawn("resume", "full", "--leaderboard", board, "--json")
    assert ended.code == 0, ended.err
    assert runs.facts(board, json.loads(ended.out)) == runs.facts(tmp_path / "whole.sqlite", json.loads(whole.out))
    with Leaderboard.open(board, read_only=True) as opened:
        assert opened.evaluations()[: len(rows)] == rows


def test_fault_32_a_full_disk_is_read_with_and_without_a_wal(disk, capsys):
    remount(disk, "size=4m")
    board = disk / "lb.sqlite"
    with Leaderboard.open(board) as opened:
        opened.start_run(a_run())
        opened.add([an_evaluation(f"k{n}") for n in range(20)])
    for left in (None, "with its index", "without"):
        if left:
            assert writing(board, kill=True) == ""
            assert board.with_name("lb.sqlite-wal").stat().st_size
        if left == "without":
            board.with_name("lb.sqlite-shm").unlink()
        fill(disk / "fill")
        for arguments in (("list",), ("runs",), ("check",)):
            done = commands.call(capsys, "leaderboard", *arguments, "--leaderboard", board)
            assert done.code == 0, (left, done.err)
        with Leaderboard.open(board, read_only=True) as opened:
            assert len(opened.evaluations()) == (25 if left else 20)
        with pytest.raises(StorageError, match=r"disk is full \(0 bytes free\)"), Leaderboard.open(board) as opened:
            opened.add([an_evaluation(f"more {n}") for n in range(200)])
        (disk / "fill").unlink()
        with Leaderboard.open(board) as opened:  # nothing is lost
            assert opened.inspect().problems == []
            opened.remove(1)
            opened.start_run(a_run())
            opened.add([an_evaluation(f"k{n}") for n in range(20)])


def fill(file: Path) -> None:
    """Takes all room that there is."""
    with file.open("wb", buffering=0) as out, suppress(OSError):
        while True:
            out.write(b"x" * 4096)


def test_fault_32_no_room_for_temporary_files(disk, search, tmp_path):
    stopped = search(tmp_path / "lb.sqlite", TMPDIR=str(disk))
    commands.refused(stopped, 4, "No space left", "bytes")
    assert list(disk.iterdir()) == []
    ended = commands.spawn("resume", "full", "--leaderboard", tmp_path / "lb.sqlite", "--json")
    assert ended.code == 0, ended.err


def test_fault_33_a_read_only_file_system_is_refused_before_any_training_and_read(disk, search, tmp_path):
    remount(disk, "size=20m")
    board = disk / "lb.sqlite"
    assert search(board).code == 0
    remount(disk, "ro")
    commands.refused(search(board), 4, "lb.sqlite")
    commands.refused(search(disk / "new.sqlite"), 4, "new.sqlite")
    listed = commands.spawn("leaderboard", "list", "--leaderboard", board, "--json")
    assert listed.code == 0, listed.err
    assert json.loads(listed.out)["entries"]
    copied = commands.spawn("leaderboard", "backup", tmp_path / "copy.sqlite", "--leaderboard", board)
    assert copied.code == 0, copied.err
    again = commands.spawn("resume", "full", "--leaderboard", board, "--json")
    assert again.code == 0, again.err
    remount(disk, "rw")
