"""``Format``: the description of one data file format."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autoprompt.corpus.readers.options import FileOptions
from autoprompt.corpus.readers.table import Table


@dataclass(frozen=True)
class Format:
    """One data file format: the extensions of its files, in lower case, and the function that reads a file.

    ``options``: the fields of ``FileOptions`` that ``read`` uses. ``compressed``: whether .gz and others may follow.
    ``extra``: the extra of this package that has to be installed for it.
    """

    extensions: tuple[str, ...]
    read: Callable[[Path, FileOptions], Table]
    options: frozenset[str] = frozenset()
    compressed: bool = True
    extra: str = ""
