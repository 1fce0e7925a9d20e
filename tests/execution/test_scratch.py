"""The folder that a run's workers share: gone with its driver, however that ends."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autoprompt import run
from autoprompt.errors import StorageError
from autoprompt.execution import scratch
from autoprompt.progress import Silent

_DRIVER = """
import os, signal, sys
from autoprompt.execution import scratch
where = sys.argv[1]
if where == "before":  # the lock is there, and nothing else yet
    scratch.Path.mkdir = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
with scratch.scratch_folder() as folder:
    (folder / "prefixes").mkdir()
    (folder / "prefixes" / "big").write_bytes(b"0" * 1000)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def leave(parent: Path, where: str) -> None:
    """A driver is killed; what it had stays."""
    killed = subprocess.run(
        [sys.executable, "-c", _DRIVER, where], check=False, env=os.environ | {"TMPDIR": str(parent)}
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(list(parent.iterdir())) == (1 if where == "before" else 2)


@pytest.mark.parametrize("where", ["before", "within"])
def test_what_a_killed_driver_left_goes_with_the_next_one(parent: Path, where: str) -> None:
    leave(parent, where)
    with scratch.scratch_folder() as folder:
        assert sorted(path.name for path in parent.iterdir()) == [folder.name, f"{folder.name}.lock"]
    assert not list(parent.iterdir())


def test_resuming_a_finished_run_sweeps_as_well(
    finished: tuple[run.SearchOptions, dict[str, Any]], parent: Path
) -> None:
    options, result = finished
    run.search(replace(options, max_evaluations=1), Silent())
    assert not list(parent.iterdir())
    leave(parent, "within")
    assert run.resume(result["run"], options.leaderboard, Silent()).to_dict() == result
    assert not list(parent.iterdir())


def test_the_folder_of_a_living_driver_and_what_is_not_ours_stay(parent: Path) -> None:
    (parent / "autoprompt-notes").mkdir()
    (parent / "autoprompt-notes" / "lock").touch()
    with scratch.scratch_folder() as one:
        (one / "prefixes").mkdir()
        with scratch.scratch_folder() as other:
            assert one != other
        assert (one / "prefixes").is_dir()
    assert [path.name for path in parent.iterdir()] == ["autoprompt-notes"]


NAME = f"autoprompt-{uuid.UUID(int=0x1F2E3D4C5A6B4778899AABBCCDDEEFF0).hex}"


def _left(parent: Path, name: str = NAME, content: str | None = None) -> Path:
    """A folder with a file, and beside it a lock file as a killed driver leaves it."""
    folder = parent / name
    folder.mkdir()
    (folder / "work.txt").write_text("a week's work")
    said = f"autoprompt keeps {name} for a running search\n" if content is None else content
    (parent / f"{name}.lock").write_text(said)
    return folder


def test_what_a_killed_driver_left_looks_like_this(parent: Path) -> None:
    _left(parent)
    scratch.remove_leftovers()
    assert not list(parent.iterdir())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("autoprompt-nightly", None),
        ("autoprompt-nightly", ""),
        ("autoprompt-" + "0" * 31, None),
        ("autoprompt-" + "0" * 33, None),
        ("autoprompt-" + "F" * 32, None),
        (f"{NAME}.old", None),
        (NAME, ""),
        (NAME, "pid 4711\n"),
        (NAME, f"autoprompt keeps autoprompt-{'0' * 32} for a running search\n"),
        (NAME, f"autoprompt keeps {NAME} for a running search\nand more\n"),
    ],
)
def test_what_has_not_the_mark_and_the_exact_name_stays(parent: Path, name: str, content: str | None) -> None:
    folder = _left(parent, name, content)
    scratch.remove_leftovers()
    with scratch.scratch_folder():
        pass
    assert (folder / "work.txt").read_text() == "a week's work"
    assert sorted(path.name for path in parent.iterdir()) == [name, f"{name}.lock"]


@pytest.mark.parametrize("what", ["folder", "lock", "pipe"])
def test_a_link_or_a_pipe_is_never_followed(parent: Path, tmp_path_factory: pytest.TempPathFactory, what: str) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    folder = _left(parent)
    lock = parent / f"{NAME}.lock"
    if what == "folder":
        (elsewhere / "mine").mkdir()
        (elsewhere / "mine" / "work.txt").touch()
        shutil.rmtree(folder)
        folder.symlink_to(elsewhere / "mine")
    elif what == "lock":
        lock.rename(elsewhere / lock.name)
        lock.symlink_to(elsewhere / lock.name)
    else:
        lock.unlink()
        os.mkfifo(lock)
    scratch.remove_leftovers()
    assert (folder / "work.txt").exists()
    if what != "folder":
        assert lock.is_symlink() or lock.is_fifo()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("what", ["folder", "lock"])
def test_what_is_another_users_stays(parent: Path, what: str) -> None:
    folder = _left(parent)
    os.chown(folder if what == "folder" else parent / f"{NAME}.lock", 12345, 12345)
    scratch.remove_leftovers()
    assert (folder / "work.txt").exists()


_COME_AND_GO = """
from autoprompt.execution import scratch
for _ in range(300):
    with scratch.scratch_folder() as folder:
        (folder / "file").touch()
        assert (folder / "file").exists()
"""


def test_drivers_that_sweep_at_once_disturb_nobody(parent: Path) -> None:
    environment = os.environ | {"TMPDIR": str(parent)}
    drivers = [subprocess.Popen([sys.executable, "-c", _COME_AND_GO], env=environment) for _ in range(3)]
    assert [driver.wait(120) for driver in drivers] == [0, 0, 0]
    assert not list(parent.iterdir())


def test_no_place_for_temporary_files(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (parent / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(parent / "file"))
    with pytest.raises(StorageError, match="TMPDIR"), scratch.scratch_folder():
        pass
