"""Command lines that can be pasted into a shell, whatever names they hold."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

DEFAULT_LEADERBOARD = "autoprompt.sqlite"


def command_line(
    command: str, *operands: str, options: Sequence[str] = (), leaderboard: Path | None = None
) -> str:  # fmt: skip
    """``autoprompt`` with a command, its operands (such as names of runs) and its options, each word quoted.

    An operand that begins with a dash is not taken for an option. ``leaderboard``: named unless it is the default one.
    """
    where = (
        [] if leaderboard is None or str(leaderboard) == DEFAULT_LEADERBOARD else ["--leaderboard", str(leaderboard)]
    )
    words = [*operands, *options, *where]
    if any(operand.startswith("-") for operand in operands):
        words = [*options, *where, "--", *operands]
    return " ".join(["autoprompt", command, *map(quoted, words)])


def quoted(word: str) -> str:
    """A word for bash, zsh and fish. One with invisible characters is written by their escapes, which fish lacks."""
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(map(_escaped, word)) + "'"


def _escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file's name that is no UTF-8, as ``os.fsdecode`` gives it
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
