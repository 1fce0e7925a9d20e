"""Text for terminals: escaped, so that nothing of data, models and strangers' files acts, and quoted for shells.

Everything that the command line prints goes through ``echo``, through ``Console`` (in ``terminal.console``, which loads
rich) or through the guarded streams.
"""

from autoprompt.terminal.escaping import printable, visible
from autoprompt.terminal.quoting import command_line
from autoprompt.terminal.streams import echo, guard_streams

__all__ = ["command_line", "echo", "guard_streams", "printable", "visible"]
