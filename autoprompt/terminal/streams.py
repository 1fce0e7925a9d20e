"""Standard output and standard error with nothing but visible characters."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from autoprompt.terminal.escaping import printable


def echo(text: str, *, err: bool = False) -> None:
    """Print a text on standard output, or on standard error."""
    print(printable(text), file=sys.stderr if err else sys.stdout, flush=True)


class Guarded:
    """A stream that escapes what is written to it, whoever writes: libraries, warnings, tracebacks."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream
        """Where rich writes in its place: styles are escapes, too."""

    def write(self, text: str) -> int:
        """As of any stream."""
        start = "\r" if text.startswith("\r") else ""  # a progress bar draws itself again
        self.rich_proxied_file.write(start + printable(text[len(start) :], keep="\n\t"))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


def guard_streams() -> None:
    """From now on escape what goes to standard error, and to standard output where it is a terminal: what a pipe or a
    file gets is data."""
    if sys.stderr is not None and not isinstance(sys.stderr, Guarded):
        sys.stderr = Guarded(sys.stderr)
    if sys.stdout is not None and sys.stdout.isatty() and not isinstance(sys.stdout, Guarded):
        sys.stdout = Guarded(sys.stdout)


def unguarded(stream: Any) -> Any:
    """The stream itself, for writers that escape on their own."""
    while hasattr(stream, "rich_proxied_file"):
        stream = stream.rich_proxied_file
    return stream
