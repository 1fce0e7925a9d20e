"""Help text that fits narrow terminals."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

import click

NARROW = 60
"""Help width, in characters, below which long option names get a line of their own."""
NARROWEST = 52
"""Terminal width, in characters, from which click itself fits its help to the terminal."""


class Formatter(click.HelpFormatter):
    """A help formatter that leaves room for descriptions in a narrow terminal."""

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write names and descriptions; a long name gets a line of its own."""
        super().write_dl(rows, min(col_max, self.width // 4) if self.width < NARROW else col_max, col_spacing)


class Context(click.Context):
    """A click context whose help uses ``Formatter``."""

    formatter_class = Formatter


def terminal_width() -> int | None:
    """Return the terminal's width if it is narrower than click's help, else None."""
    columns = shutil.get_terminal_size().columns
    return columns if columns < NARROWEST else None
