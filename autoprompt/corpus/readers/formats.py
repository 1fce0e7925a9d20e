"""``Format``: one kind of data file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autoprompt.corpus.readers.options import FileOptions
from autoprompt.corpus.readers.table import Table


@dataclass(frozen=True)
class Format:
    """One kind of data file: what it is called, the endings of its files, and how one is read.

    ``options``: the fields of ``FileOptions`` that ``read`` takes. ``compressed``: whether .gz and others may follow.
    """

    name: str
    endings: tuple[str, ...]
    read: Callable[[Path, FileOptions], Table]
    options: frozenset[str] = frozenset()
    compressed: bool = True
