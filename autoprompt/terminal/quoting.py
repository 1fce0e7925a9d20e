"""Command lines quoted for shells, so that they can be pasted whatever names they hold."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

DEFAULT_LEADERBOARD = "autoprompt.sqlite"


def command_line(
    command: str, *operands: str, options: Sequence[str] = (), leaderboard: Path | None = None
) -> str:  # fmt: skip
    """Return an ``autoprompt`` command line with its operands (such as run names) and options, each word quoted.

    Operands follow ``--`` if one begins with a dash. ``leaderboard``: added as an option unless it is the default one.
    """
    where = (
        [] if leaderboard is None or str(leaderboard) == DEFAULT_LEADERBOARD else ["--leaderboard", str(leaderboard)]
    )
    words = [*operands, *options, *where]
    if any(operand.startswith("-") for operand in operands):
        words = [*options, *where, "--", *operands]
    return " ".join(["autoprompt", command, *map(quoted, words)])


def quoted(word: str) -> str:
    """Return a word quoted for bash, zsh and fish; with invisible characters as ``$'...'``, which fish lacks."""
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(map(_escaped, word)) + "'"


def _escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is not UTF-8, from ``os.fsdecode``
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
