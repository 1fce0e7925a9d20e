"""Commands whose input, output or messages are closed or full, and which are interrupted as they begin."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RUN = [sys.executable, "-c", "from autoprompt.cli import main; main()"]
PRINTING = (["--help"], ["--version"], ["search", "--help"], ["corpora", "list", "--json"], ["corpora"], ["models"],
            ["corpora", "show", "rotten-tomatoes"], ["completion", "bash"], ["leaderboard", "--help"])  # fmt: skip
FAILING = (
    ["leaderboard", "list", "--leaderboard", "/none.sqlite"],
    ["leaderboard", "runs", "--leaderboard", "/none.sqlite"],
)


def shell(arguments: list[str], redirected: str) -> subprocess.CompletedProcess[str]:
    """A command with what a shell does to its streams."""
    line = f'exec "$0" "$@" {redirected}'
    return subprocess.run(["sh", "-c", line, *RUN, *arguments], capture_output=True, text=True, check=False, timeout=60)


needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")


@pytest.mark.parametrize(
    ("redirected", "why", "arguments"),
    [*(pytest.param(">/dev/full", "No space left on device", arguments, marks=needs_full) for arguments in PRINTING),
     (">&-", "it is closed", PRINTING[0]),
     *(pytest.param(">&-", "it is closed", arguments, marks=pytest.mark.slow) for arguments in PRINTING[1:])],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)  # fmt: skip
def test_output_that_cannot_be_written_is_one_sentence(redirected, why, arguments):
    done = shell(arguments, redirected)
    assert done.returncode == 4
    assert re.fullmatch(rf"Error: Standard output cannot be written \({why}\); .+\.\n", done.stderr)


@pytest.mark.parametrize("redirected", ["2>&-", "<&-", pytest.param("2>/dev/full", marks=needs_full), "2>&- <&-"])
def test_a_command_does_what_it_does_without_input_and_messages(redirected):
    done = shell(["corpora", "list", "--json"], redirected)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith('{"corpora": [')
    for arguments in FAILING:
        done = shell(arguments, redirected)
        assert done.returncode == 4, done.stderr
        assert done.stdout == ""


def test_a_command_without_any_stream_has_its_exit_code():
    assert shell(FAILING[0], ">&- 2>&- <&-").returncode == 4
    assert shell(["--help"], ">&- 2>&- <&-").returncode == 4


def test_no_file_takes_the_place_of_a_closed_stream(tmp_path):
    """What is printed would else be written into it."""
    code = (
        "import os, sys; from autoprompt.cli import streams; streams.prepare()\n"
        f"file = open({str(tmp_path / 'board')!r}, 'wb')\n"
        "assert file.fileno() > 2, file.fileno()\n"
        "print('message', file=sys.stderr, flush=True)\n"
        "sys.exit(sys.stdin.read() != '')"
    )
    for closed in (">&-", "2>&-", "<&-", ">&- 2>&- <&-"):
        done = subprocess.run(["sh", "-c", f'exec "$0" "$@" {closed}', sys.executable, "-c", code], check=False,
                              stdin=subprocess.DEVNULL)  # fmt: skip
        assert done.returncode == 0, closed
    assert (tmp_path / "board").read_bytes() == b""


def _interrupted(seconds: float, number: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); print(flush=True); "
    process = subprocess.Popen(
        [sys.executable, "-c", f"{listening}{RUN[2]}", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()  # Python itself has started
    time.sleep(seconds)
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess([], process.returncode, out, err)


@pytest.mark.parametrize(
    ("number", "seconds"),
    [*((signal.SIGINT, seconds) for seconds in (0.0, 0.05, 0.2, 0.5, 0.8)), (signal.SIGTERM, 0.2),
     *(pytest.param(signal.SIGTERM, seconds, marks=pytest.mark.slow) for seconds in (0.0, 0.05, 0.5, 0.8))],
)  # fmt: skip
def test_fault_31_a_signal_is_heard_from_the_first_import(seconds, number, tmp_path):
    board = tmp_path / "lb.sqlite"
    done = _interrupted(seconds, number, "search", "rotten-tomatoes", "--leaderboard", str(board))
    if seconds == 0.0 and done.returncode == -number:
        return  # not one line of the program has been run
    assert done.returncode == 128 + number
    assert "Traceback" not in done.stderr
    assert number == signal.SIGTERM or done.stderr.splitlines()[-1].startswith("Stopped")
    assert done.stdout == ""
