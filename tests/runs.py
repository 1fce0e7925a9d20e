"""A small search, and what of a finished run does not depend on the clock."""

import shutil
from pathlib import Path
from typing import Any

from autoprompt.leaderboard import Leaderboard, Step
from autoprompt.leaderboard.weights import folder_of
from autoprompt.run import ModelOptions, SearchOptions

SMALL = "[search]\npool = 6\nsurvivors = 3\nfinalists = 2\n"


def small(model: Path, corpus: Path, folder: Path) -> SearchOptions:
    """Seven fine-tunes of one pass each, one after the other."""
    (folder / "small.toml").write_text(SMALL)
    return SearchOptions(
        corpus=str(corpus),
        model=ModelOptions(str(model), "cpu", 1),
        max_evaluations=7,
        leaderboard=folder / "lb.sqlite",
        config=folder / "small.toml",
        fix={"epochs": 1},
    )


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
