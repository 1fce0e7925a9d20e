"""Escapes for control, bidirectional and other invisible characters."""

from __future__ import annotations


def visible(text: str) -> str:
    """Return a text on one line, with escapes for line breaks and invisible characters (``\\n``, ``\\u202e``)."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def printable(text: str, keep: str = "\n") -> str:
    """Return a text escaped as by ``visible``, except for ``keep``: the line breaks of our own layout."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else ascii(c)[1:-1] for c in text)
