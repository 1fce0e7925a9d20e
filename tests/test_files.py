"""Outputs that take the place of older files: permissions, links, pipes and devices."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import commands
import pytest

from autoprompt.errors import StorageError
from autoprompt.files import atomic_file, sha256, write_atomically

MODES = [0o600, 0o640, 0o644, 0o664, 0o444, 0o755]


@pytest.mark.parametrize("mode", MODES, ids=oct)
def test_a_new_version_keeps_the_older_one_s_permissions(tmp_path, mode):
    path = tmp_path / "out.txt"
    path.write_text("older")
    path.chmod(mode)
    write_atomically(path, "newer")
    assert path.read_text() == "newer"
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path, mask):
    old = os.umask(mask)
    try:
        write_atomically(tmp_path / "out.txt", "new")
        (tmp_path / "plain.txt").touch()
        assert os.umask(mask) == mask, "the user's mask is as it was"
    finally:
        os.umask(old)
    assert (tmp_path / "out.txt").stat().st_mode == (tmp_path / "plain.txt").stat().st_mode


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only the superuser gives files away")
def test_a_new_version_keeps_the_older_one_s_owner(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("older")
    os.chown(path, 12345, 23456)
    path.chmod(0o4750)
    write_atomically(path, "newer")
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12345, 23456, 0o4750)


@pytest.mark.parametrize("absolute", [True, False])
def test_a_symbolic_link_stays_and_its_file_is_replaced(tmp_path, absolute):
    (tmp_path / "there").mkdir()
    real, middle, link = tmp_path / "there" / "real.txt", tmp_path / "middle.txt", tmp_path / "link.txt"
    middle.symlink_to(real if absolute else "there/real.txt")
    link.symlink_to("middle.txt")
    write_atomically(link, "first")  # the link led nowhere yet
    real.chmod(0o600)
    write_atomically(link, "second")
    assert link.is_symlink()
    assert middle.is_symlink()
    assert real.read_text() == "second"
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.rglob("*")} == {"there", "real.txt", "middle.txt", "link.txt"}


def test_a_link_that_leads_to_itself_and_a_folder_are_refused(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    for name in ("loop", "folder", "none/out"):
        with pytest.raises(StorageError):
            write_atomically(tmp_path / name, "x")
    assert (tmp_path / "loop").is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {"loop", "folder"}


def test_a_failure_leaves_the_older_file_behind_a_link(tmp_path):
    (tmp_path / "real").write_text("older")
    (tmp_path / "link").symlink_to("real")

    def write_half() -> None:
        with atomic_file(tmp_path / "link") as file:
            file.write("half")
            raise KeyError

    with pytest.raises(KeyError):
        write_half()
    assert (tmp_path / "real").read_text() == "older"
    assert {path.name for path in tmp_path.iterdir()} == {"real", "link"}


def test_a_named_pipe_is_written_to_and_stays(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    write_atomically(pipe, "through the pipe")
    reader.join(10)
    assert got == ["through the pipe"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_is_written_to_and_stays(tmp_path):
    link = tmp_path / "best.json"
    link.symlink_to(os.devnull)
    write_atomically(link, "gone")
    assert link.is_symlink()
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


@pytest.mark.parametrize("target", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("kind", ["file", "append", "pipe"])
def test_an_open_file_is_written_on(tmp_path, target, kind):
    """What stood in it, and what else the process prints, stays."""
    (tmp_path / "link").symlink_to(target)
    code = (
        "import sys; from pathlib import Path; from autoprompt.files import write_atomically; "
        "print('before', flush=True); "
        "write_atomically(Path(sys.argv[1]), 'text\\n'); print('after')"
    )
    out = tmp_path / "out.txt"
    out.write_text("older\n")
    place = os.stat(out).st_ino
    with out.open("a" if kind == "append" else "w") as file:
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "link")], check=True, timeout=60,
            stdout=subprocess.PIPE if kind == "pipe" else file,
        )  # fmt: skip
    lines = (done.stdout or out.read_bytes()).decode().splitlines()
    assert lines == ["older"] * (kind == "append") + ["before", "text", "after"]
    assert os.stat(out).st_ino == place
    assert {path.name for path in tmp_path.iterdir()} == {"link", "out.txt"}


def test_what_is_no_regular_file_has_no_digest(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    said = {"pipe": "no regular file", "": "directory", "none": "No such file"}
    for place, part in {**{str(tmp_path / name): part for name, part in said.items()}, "/dev/zero": "regular"}.items():
        with pytest.raises(OSError, match=part):
            sha256(Path(place))


def test_the_commands_keep_permissions_and_links(capsys, finished, tmp_path):
    """export, report and predict --out, over files that others may not read."""
    board = finished[0].leaderboard
    entry = finished[1]["best"]["entry"]
    (tmp_path / "texts.txt").write_text("a fine film\n")
    (tmp_path / "report").mkdir()
    (tmp_path / "real").mkdir()
    outs = ["best.json", "best.py", "bundle.json", "report/report.html", "report/report.md", "rows.csv"]
    for name in outs:
        real = tmp_path / "real" / name.replace("/", "-")
        real.write_text("older")
        real.chmod(0o640)
        (tmp_path / name).symlink_to(real)
    for arguments in (
        ("export", entry, "--out", tmp_path / "best.json", "--leaderboard", board),
        ("export", entry, "--out", tmp_path / "best.py", "--leaderboard", board),
        ("export", "--bundle", "--out", tmp_path / "bundle.json", "--leaderboard", board),
        ("report", finished[1]["run"], "--out", tmp_path / "report", "--leaderboard", board),
        ("predict", tmp_path / "best.json", "--frozen", "--input", tmp_path / "texts.txt", "--out",
         tmp_path / "rows.csv"),
    ):  # fmt: skip
        done = commands.call(capsys, *arguments)
        assert done.code == 0, (arguments, done.err)
    for name in outs:
        assert (tmp_path / name).is_symlink(), name
        assert (tmp_path / name).read_text() != "older", name
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o640, name
