"""An export over an older one that is killed at any moment: the old prompt with its weights, or the new with its."""

import os
import random
import signal
import sys
import time
import traceback
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from autoprompt import run
from autoprompt.export import load
from autoprompt.files import sha256
from autoprompt.leaderboard import Leaderboard
from autoprompt.progress import Silent

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
EVENTS = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "shutil.rmtree", "tempfile.mk")


@pytest.fixture(scope="module")
def winners(finished) -> tuple[Path, list[str]]:
    """A leaderboard of two runs, whose winners have weights."""
    options, first = finished
    second = run.search(replace(options, max_evaluations=2, seed=1), Silent()).to_dict()
    entries = [result["best"]["entry"] for result in (first, second)]
    assert entries[0] != entries[1]
    return options.leaderboard, entries


def export(board: Path, entry: str, out: Path) -> None:
    with Leaderboard.open(board, read_only=True) as opened:
        run.export(opened, entry, out, with_weights=True)


def whole(out: Path) -> str:
    """The entry of the prompt that lies there, whose weights are its own."""
    prompt = load(out)
    assert prompt.weights is not None
    folder = out.parent / prompt.weights.folder
    assert {name: sha256(folder / name) for name in prompt.weights.files} == prompt.weights.files
    return prompt.entry


def forked(work) -> int:
    """The process's end: 0, or minus the signal that killed it."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def test_a_killed_export_leaves_the_old_or_the_new_one(winners, tmp_path):
    """Killed before each of its changes to the file system, one after the other."""
    board, (first, second) = winners
    out = tmp_path / "best.json"
    export(board, first, out)

    def until(step: int) -> None:
        left = [step]

        def kill(event: str, _arguments: object) -> None:
            if event.startswith(EVENTS):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(kill)
        export(board, second, out)

    seen, step = set(), 0
    while forked(partial(until, step)) == -signal.SIGKILL:
        seen.add(whole(out))
        if whole(out) == second:
            export(board, first, out)  # the next is killed over an old one again
        step += 1
    assert step > 12
    assert seen == {first, second}
    assert whole(out) == second
    shelf = out.with_suffix(".weights")
    assert [path.name for path in shelf.iterdir()] == [Path(load(out).weights.folder).name]  # type: ignore[union-attr]
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(".autoprompt-")} == {
        "best.json", "best.weights",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_exports_killed_at_random_moments_leave_the_old_or_the_new_one(winners, tmp_path):
    board, entries = winners
    out = tmp_path / "best.json"
    export(board, entries[0], out)

    def endlessly() -> None:
        while True:
            for entry in entries:
                export(board, entry, out)

    rng, seen = random.Random(0), set()  # noqa: S311
    for _ in range(200):
        child = os.fork()
        if not child:
            endlessly()
        time.sleep(rng.uniform(0, 0.15))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        seen.add(whole(out))
    assert seen == set(entries)


def test_exports_side_by_side_end_with_one_whole(winners, tmp_path):
    board, entries = winners
    out = tmp_path / "best.json"
    children = []
    for number in range(4):
        child = os.fork()
        if not child:
            try:
                for _ in range(3):
                    export(board, entries[number % 2], out)
                os._exit(0)
            except BaseException:
                os._exit(1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert whole(out) in entries
    assert len(list(out.with_suffix(".weights").iterdir())) == 1
