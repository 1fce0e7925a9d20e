"""Help that fits the terminal, however narrow."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

import click

NARROW = 60
"""Columns below which an option's name stands on a line of its own."""
NARROWEST = 52
"""Columns for which click lays out help by itself."""


class Formatter(click.HelpFormatter):
    """Help whose options leave room for what they mean, also in a narrow terminal."""

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Names that are too long stand on a line of their own."""
        super().write_dl(rows, min(col_max, self.width // 4) if self.width < NARROW else col_max, col_spacing)


class Context(click.Context):
    """What a command runs in."""

    formatter_class = Formatter


def terminal_width() -> int | None:
    """The columns of a terminal that is narrower than click would have it."""
    columns = shutil.get_terminal_size().columns
    return columns if columns < NARROWEST else None
