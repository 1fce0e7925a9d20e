"""A small search, and what of a finished run does not depend on the clock."""

import shutil
from pathlib import Path
from typing import Any

import commands
import pytest
import tiny

from autoprompt import run
from autoprompt.leaderboard import Leaderboard, Step
from autoprompt.leaderboard.weights import folder_of
from autoprompt.progress import Silent
from autoprompt.run import DataOptions, ModelOptions, SearchOptions

SMALL = "[search]\npool = 6\nsurvivors = 3\nfinalists = 2\n"


def small(model: Path, corpus: Path, folder: Path) -> SearchOptions:
    """Seven fine-tunes of one pass each, one after the other, with votes on a few rows without labels; no refit."""
    (folder / "small.toml").write_text(SMALL)
    return SearchOptions(
        corpus=str(corpus),
        data=DataOptions(unlabeled=str(more_rows(folder))),
        model=ModelOptions(str(model), "cpu", 1),
        max_evaluations=7,
        leaderboard=folder / "lb.sqlite",
        config=folder / "small.toml",
        fix={"epochs": 1},
        refit=False,
    )


def more_rows(folder: Path) -> Path:
    """A file of twelve texts without labels, for ``--unlabeled``."""
    path = folder / "more.txt"
    path.write_text("".join(f"Once {row['text']}\n" for row in tiny.rows(1)[:12]))
    return path


def facts(leaderboard: Path, result: dict[str, Any]) -> tuple[str, list[Any], dict[str, Any]]:
    """The run's digest, its rows in order, and its result."""
    with Leaderboard.open(leaderboard, read_only=True) as board:
        run = board.run(result["run"])
        assert run.status == "finished"
        assert board.attached(Step, run.id) == []
        rows = board.evaluations(run.id)
        assert len({row.key for row in rows}) == len(rows)
        shown = [(e.key, e.entry, e.role, e.status, e.reason, e.losses, e.log_probs, e.predictions) for e in rows]
        return board.digest(run.id), shown, {k: v for k, v in result.items() if k not in ("run", "seconds")}


def copied(leaderboard: Path, folder: Path) -> Path:
    """A leaderboard with the weights beside it, in another folder."""
    for place in (leaderboard, folder_of(leaderboard)):
        (shutil.copytree if place.is_dir() else shutil.copy)(place, folder / place.name)
    return folder / leaderboard.name


class Killed(BaseException):
    """What ends a driver in these tests: nothing of ours catches it."""


def killing(patch: pytest.MonkeyPatch, after: int, how: type[BaseException] = Killed) -> list[int]:
    """Kill the driver before its task of this number; returns the count of tasks."""
    done = [0]

    class Killing(commands.Inline):
        def map(self, function, items, gate=None, **more):
            for result in super().map(function, items, gate, **more):
                if done[0] == after:
                    raise how
                done[0] += 1
                yield result

    patch.setattr("autoprompt.run.backends.local.LocalExecutor", Killing)
    return done


def started(options: run.SearchOptions, after: int, how: type[BaseException] = Killed) -> str:
    """A run that was killed so far; returns its id."""
    with pytest.MonkeyPatch.context() as patch:
        killing(patch, after, how)
        with pytest.raises(how):
            run.search(options, Silent()).to_dict()
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        return board.runs()[0].id
