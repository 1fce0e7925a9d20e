"""Which columns hold the text and the label, and what their cells mean."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autoprompt.corpus import cells
from autoprompt.corpus.readers import Table
from autoprompt.corpus.types import Task
from autoprompt.errors import InputError

# What a template can name as a slot.
_SLOT_NAME = re.compile(r"[^\W\d]\w*(?:[ -]\w+)*")
_LISTED = 30
"""Columns that a message lists."""


@dataclass(frozen=True)
class Columns:
    """The fields in order, and the column of the label, or of the target text.

    ``sources``: field → its column, where a template cannot name the column as it is (``review.text``: the field
    ``review_text``). ``left_out``: column → why it is no field.
    """

    fields: tuple[str, ...]
    label: str
    task: Task = "classification"
    sources: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def answer(self) -> str:
        """What messages call the predicted column's values."""
        return "label" if self.task == "classification" else "target"

    @property
    def option(self) -> str:
        """The option that names the predicted column."""
        return f"--{self.answer}-column"

    def source(self, name: str) -> str:
        """The column of a field."""
        return self.sources.get(name, name)


@dataclass(frozen=True)
class Row:
    """One row of the chosen columns; what is missing is an empty string.

    Splits are drawn within a ``group``: the class, and one for all rows of a generation corpus.
    """

    fields: Mapping[str, Any]
    label: str
    place: str
    group: str


def select_rows(table: Table, columns: Columns) -> list[Row]:
    """The table's rows with the chosen columns only. Raises InputError for a missing column or bad cell."""
    sources = {name: column_of(table, columns.source(name)) for name in columns.fields}
    for name in (*sources.values(), columns.label):
        if name not in table.columns:
            raise InputError(
                f"{table.source} has no column {name!r}, which the training rows have; its columns are {listed(table)}."
            )
    names = table.class_names.get(columns.label)
    rows = []
    for row, where in zip(table.rows, table.places, strict=True):
        place = f"{table.source}: {where}"
        fields = {name: cells.field(row.get(source), place, source) for name, source in sources.items()}
        label = _label(row.get(columns.label), names, place, columns.label, columns.answer)
        rows.append(Row(fields, label, place, label if columns.task == "classification" else ""))
    return rows


def select_fields(table: Table, fields: Sequence[str]) -> list[Mapping[str, Any]]:
    """The rows' fields, where there are no labels. Raises InputError for a row without one of them, or a bad cell."""
    sources = {name: column_of(table, name) for name in fields}
    for row, place in zip(table.rows, table.places, strict=True):
        missing = [name for name, source in sources.items() if source not in row]
        if missing:
            raise InputError(
                f"{table.source}: {place} lacks the field {missing[0]!r}; give all of {', '.join(fields)}."
            )
    return [
        {name: cells.field(row[source], f"{table.source}: {place}", source) for name, source in sources.items()}
        for row, place in zip(table.rows, table.places, strict=True)
    ]


def slot_names(columns: Sequence[str]) -> tuple[str, ...]:
    """The fields' names: those of the columns, where a template can say them."""
    names: dict[str, str] = {}
    own = set(columns)
    for column in columns:
        name = slot_name(column)
        number = 2
        while name in names or (name != column and name in own):
            name = f"{slot_name(column)}_{number}"
            number += 1
        names[name] = column
    return tuple(names)


def slot_name(column: str) -> str:
    """What a template calls a column: its name, with an underscore for what a slot's name cannot hold."""
    if _SLOT_NAME.fullmatch(column) and column != "label":
        return column
    name = re.sub(r"[^\w]+", "_", column).strip("_")
    return name if _SLOT_NAME.fullmatch(name) and name != "label" else f"column_{name}".rstrip("_")


def column_of(table: Table, name: str) -> str:
    """The column of this name, or the only one whose field is called so; otherwise the name."""
    if name in table.columns:
        return name
    found = [column for column, known in zip(table.columns, slot_names(table.columns), strict=True) if known == name]
    return found[0] if len(found) == 1 else name


# --- cells --------------------------------------------------------------------------------------------


def listed(table: Table) -> str:
    """The first columns' names, for messages."""
    more = len(table.columns) - _LISTED
    return ", ".join(map(repr, table.columns[:_LISTED])) + (f" and {more} more" if more > 0 else "")


def _label(cell: object, names: tuple[str, ...] | None, place: str, column: str, answer: str) -> str:
    if names is not None and isinstance(cell, int):
        if cell == -1:  # the sign for "not labelled" of datasets
            return ""
        if not 0 <= cell < len(names):
            raise InputError(f"{place} has the label {cell}, but there are {len(names)} classes; correct it.")
        return names[cell]
    if isinstance(cell, dict | list):
        raise InputError(
            f"{place} has a list or record as its {answer}, and a prompt predicts one {answer} a row; keep one, as a "
            "text or number."
        )
    return cells.scalar(cell, place, column).strip()
