"""Standard output and standard error with invisible characters escaped."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from autoprompt.terminal.escaping import printable


def echo(text: str, *, err: bool = False) -> None:
    """Print an escaped text on standard output, or with ``err`` on standard error."""
    print(printable(text), file=sys.stderr if err else sys.stdout, flush=True)


class EscapingStream:
    """A stream that escapes everything written to it, also by libraries, warnings and tracebacks."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream
        """The stream itself. Rich writes to this attribute: its styles are escape sequences, which must stay."""

    def write(self, text: str) -> int:
        """Write the escaped text and return the length of ``text``."""
        start = "\r" if text.startswith("\r") else ""  # a progress bar redraws its line
        self.rich_proxied_file.write(start + printable(text[len(start) :], keep="\n\t"))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


def escape_streams() -> None:
    """Escape from now on what is written to standard error and, in a terminal, to standard output.

    Standard output in a pipe or a file is data and stays unchanged.
    """
    if sys.stderr is not None and not isinstance(sys.stderr, EscapingStream):
        sys.stderr = EscapingStream(sys.stderr)
    if sys.stdout is not None and sys.stdout.isatty() and not isinstance(sys.stdout, EscapingStream):
        sys.stdout = EscapingStream(sys.stdout)


def without_escaping(stream: Any) -> Any:
    """Return the stream without its guard, for writers that escape their text themselves."""
    while hasattr(stream, "rich_proxied_file"):
        stream = stream.rich_proxied_file
    return stream
