"""``Format``: the description of one data file format."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autoprompt.corpus.readers.options import FileOptions
from autoprompt.corpus.readers.table import Table


@dataclass(frozen=True)
class Format:
    """One data file format: its name, the endings of its files, and the function that reads a file.

    ``options``: the fields of ``FileOptions`` that ``read`` uses. ``compressed``: whether .gz and others may follow.
    """

    name: str
    endings: tuple[str, ...]
    read: Callable[[Path, FileOptions], Table]
    options: frozenset[str] = frozenset()
    compressed: bool = True
