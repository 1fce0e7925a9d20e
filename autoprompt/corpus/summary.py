"""``DataSummary``: the rows, fields, classes and splits of a source, and what was left out and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autoprompt.corpus.split_names import UNLABELED
from autoprompt.short_repr import short_repr

_SHOWN_CLASSES = 6
_SHOWN_COLUMNS = 6
_ORDER = ("train", "validation", "test")


@dataclass(frozen=True)
class DataSummary:
    """How a source became a corpus. Each row that was read is in a split, unused, or dropped.

    ``rows``: all rows that were read. ``splits``: split -> number of rows, "unlabeled" included. ``classes``: label ->
    number of rows in "all" (the rows that were not dropped) and in each labelled split; empty for target texts.
    ``unused``: rows that no split needs, such as repeated texts. ``dropped``: reason -> number of rows. ``left_out``:
    column -> why it is no field.
    ``sources``: field -> its column, where the names differ.
    """

    source: str
    rows: int
    fields: tuple[str, ...]
    answer: str
    answer_column: str
    splits: Mapping[str, int]
    classes: Mapping[str, Mapping[str, int]]
    unused: int
    dropped: Mapping[str, int]
    left_out: Mapping[str, str]
    sources: Mapping[str, str]

    def __repr__(self) -> str:
        return short_repr(self, self.source, rows=self.rows, fields=self.fields, splits=dict(self.splits))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, as ``search --json`` prints it under ``data``; its key ``summary`` holds the line for people."""
        return {
            "summary": str(self),
            "source": self.source,
            "rows": self.rows,
            "fields": list(self.fields),
            "columns": dict(self.sources),
            f"{self.answer}_column": self.answer_column,
            "splits": dict(self.splits),
            "classes": {label: dict(counts) for label, counts in self.classes.items()},
            "unused": self.unused,
            "dropped": dict(self.dropped),
            "left_out": dict(self.left_out),
        }

    def __str__(self) -> str:
        """One line for people."""
        parts = [
            f"{self.source}: {self.rows} rows read",
            f"text: {', '.join(self._field(name) for name in self.fields)}",
            f"{self.answer}: {self.answer_column}{self._classes()}",
            " + ".join(f"{self.splits[name]} {name}" for name in self._shown_splits)
            + (f" rows ({self.unused} unused)" if self.unused else " rows"),
        ]
        if self.dropped:
            parts.append("dropped: " + ", ".join(f"{count} ({reason})" for reason, count in self.dropped.items()))
        if self.left_out:
            names = [f"{name or repr(name)} ({why})" for name, why in list(self.left_out.items())[:_SHOWN_COLUMNS]]
            more = len(self.left_out) - len(names)
            parts.append(
                f"columns left out: {', '.join(names)}{f' and {more} more' if more else ''} "
                "(name them as text columns to use them)"
            )
        return "; ".join(parts)

    @property
    def _shown_splits(self) -> list[str]:
        return [*_ORDER, *([UNLABELED] if self.splits.get(UNLABELED) else [])]

    def _field(self, name: str) -> str:
        return f"{name} (column {self.sources[name]})" if name in self.sources else name

    def _classes(self) -> str:
        """Rows of each class in train, validation and test, and in all: ``billing 16/16/173 of 260``."""
        if not self.classes:
            return ""
        shown = [
            f"{label} {'/'.join(str(counts[name]) for name in _ORDER)} of {counts['all']}"
            for label, counts in list(self.classes.items())[:_SHOWN_CLASSES]
        ]
        more = len(self.classes) - len(shown)
        return f" ({', '.join(shown)}{f' and {more} more classes' if more else ''})"
