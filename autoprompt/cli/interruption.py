"""The message of a command that a signal ended."""

from __future__ import annotations

import sys


def interrupted() -> str:
    """What is printed, and whether there is something to resume."""
    if "autoprompt.progress" not in sys.modules:  # imported when work begins
        return "Stopped before anything was done."
    return "Stopped; a search that had begun is in the leaderboard, and `autoprompt resume` goes on with it."
