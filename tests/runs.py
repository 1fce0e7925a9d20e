"""What of a finished run does not depend on the clock."""

from pathlib import Path
from typing import Any

from autoprompt.leaderboard import Leaderboard


def facts(leaderboard: Path, result: dict[str, Any]) -> tuple[str, list[Any], dict[str, Any]]:
    """The run's digest, its rows in order, and its result."""
    with Leaderboard.open(leaderboard, read_only=True) as board:
        run = board.run(result["run"])
        assert run.status == "finished"
        assert board.steps(run.id) == []
        rows = board.evaluations(run.id)
        assert len({row.key for row in rows}) == len(rows)
        shown = [(e.key, e.entry, e.role, e.status, e.reason, e.losses, e.log_probs, e.predictions) for e in rows]
        return board.digest(run.id), shown, {k: v for k, v in result.items() if k not in ("run", "seconds")}
