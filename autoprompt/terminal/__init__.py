"""Safe terminal output: escapes for control characters, and quoting for shells.

Text from data, models and other people's files may hold characters that control a terminal. Everything that the command
line prints goes through ``echo``, ``Console`` or the guarded streams. ``Console`` and ``plain`` load rich on
first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autoprompt.terminal.escaping import printable, visible
from autoprompt.terminal.quoting import DEFAULT_LEADERBOARD, command_line
from autoprompt.terminal.streams import echo, guard_streams

if TYPE_CHECKING:
    from autoprompt.terminal.console import Console, plain

__all__ = [
    "DEFAULT_LEADERBOARD",
    "Console",
    "command_line",
    "echo",
    "guard_streams",
    "plain",
    "printable",
    "visible",
]


def __getattr__(name: str) -> Any:
    if name not in ("Console", "plain"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from autoprompt.terminal import console

    return getattr(console, name)
