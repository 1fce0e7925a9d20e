"""Safe terminal output: escapes for control characters, and quoting for shells.

Text from data, models and other people's files may hold characters that control a terminal. Everything that the command
line prints goes through ``echo``, ``Console`` (in ``terminal.console``, which loads rich) or the guarded streams.
"""

from autoprompt.terminal.escaping import printable, visible
from autoprompt.terminal.quoting import DEFAULT_LEADERBOARD, command_line
from autoprompt.terminal.streams import echo, escape_streams

__all__ = ["DEFAULT_LEADERBOARD", "command_line", "echo", "escape_streams", "printable", "visible"]
