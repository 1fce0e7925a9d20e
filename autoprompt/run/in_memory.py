"""Rows in memory, as the Python functions take them, as data options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoprompt.errors import UsageError
from autoprompt.run.options import DataOptions

ROWS = "rows"
"""Corpus name of rows in memory."""


def rows_of(corpus: Any) -> Mapping[str, Any] | None:
    """Return a stored run's rows in memory as ``DataOptions`` holds them. Raises UsageError for a name."""
    if isinstance(corpus, str | Path):
        raise UsageError(
            f"corpus={str(corpus)!r} is a name, and a run has stored where its data are; give corpus only the rows of "
            "a run whose rows were in memory."
        )
    return None if corpus is None else source_of(corpus, DataOptions())[1].rows


def source_of(corpus: Any, data: DataOptions, unlabeled: Any = None) -> tuple[str, DataOptions]:
    """Return the corpus name and the data options, which hold rows in memory as ``corpus.from_rows`` takes them.

    Raises UsageError for unlabelled rows in memory beside a corpus by name.
    """
    if isinstance(unlabeled, str | Path):
        data, unlabeled = replace(data, unlabeled=str(unlabeled)), None
    if not isinstance(corpus, str | Path):
        return ROWS, replace(data, rows={"train": corpus, "unlabeled": unlabeled})
    if unlabeled is not None:
        raise UsageError(
            f"The rows in unlabeled are in memory, and corpus is the name {str(corpus)!r}; write the rows to a file, "
            "or give the corpus in memory too."
        )
    return str(corpus), data
