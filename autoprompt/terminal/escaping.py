"""Control, bidirectional and other invisible characters as their escapes."""

from __future__ import annotations


def visible(text: str) -> str:
    """A text on one line: line breaks, control and bidirectional characters as their escapes (``\\n``, ``\\u202e``)."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def printable(text: str, keep: str = "\n") -> str:
    """The same, but characters in ``keep`` stay: line breaks are those of the program's own layout."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else ascii(c)[1:-1] for c in text)
