"""``Columns`` and ``Row``: the chosen text and label columns, and the rows read from them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from autoprompt.corpus import cells
from autoprompt.corpus.cells import Cells
from autoprompt.corpus.readers import Table
from autoprompt.corpus.types import Task
from autoprompt.errors import InputError, parameter

# The names that a template's slot can have.
_SLOT_NAME = re.compile(r"[^\W\d]\w*(?:[ -]\w+)*")
_LISTED = 30
"""The most columns that a message lists."""


@dataclass(frozen=True)
class Columns:
    """The fields in order, and the column of the label or of the target text.

    ``sources``: field -> its column, where the column's name cannot be a slot's name (field ``review_text`` for the
    column ``review.text``). ``left_out``: column -> why it is no field.
    """

    fields: tuple[str, ...]
    label: str
    task: Task = "classification"
    sources: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def answer(self) -> str:
        """The word in messages for a value of the predicted column."""
        return "label" if self.task == "classification" else "target"

    @property
    def parameter(self) -> str:
        """The parameter that names the predicted column, for the message of an error."""
        return parameter(f"{self.answer}_column")

    def source(self, name: str) -> str:
        """The column of a field."""
        return self.sources.get(name, name)


@dataclass(frozen=True)
class Row:
    """One row of the chosen columns; missing values are empty strings.

    Splits are drawn within each ``group``: a class, or all rows of a generation corpus.
    """

    fields: Cells
    label: str
    place: str
    group: str


def select_rows(table: Table, columns: Columns, *, labelled: bool = True) -> list[Row]:
    """The table's rows with the chosen columns only; not ``labelled``: with blank labels, whatever the table has.

    Raises InputError for a missing column or bad cell.
    """
    sources = {name: column_of(table, columns.source(name)) for name in columns.fields}
    for name in (*sources.values(), *([columns.label] if labelled else [])):
        if name not in table.columns:
            raise InputError(
                f"{table.source} has no column {name!r}, which the training rows have; its columns are "
                f"{column_list(table)}."
            )
    names = table.class_names.get(columns.label)
    rows = []
    for row, where in zip(table.rows, table.places, strict=True):
        place = f"{table.source}: {where}"
        fields = {name: cells.field_value(row.get(source), place, source) for name, source in sources.items()}
        label = _label(row.get(columns.label), names, place, columns.label, columns.answer) if labelled else ""
        rows.append(Row(fields, label, place, label if columns.task == "classification" else ""))
    return rows


def select_fields(table: Table, fields: Sequence[str]) -> list[Cells]:
    """The fields of rows without labels. Raises InputError for a row that lacks a field, or a bad cell."""
    sources = {name: column_of(table, name) for name in fields}
    for row, place in zip(table.rows, table.places, strict=True):
        missing = [name for name, source in sources.items() if source not in row]
        if missing:
            raise InputError(
                f"{table.source}: {place} lacks the field {missing[0]!r}; give all of {', '.join(fields)}."
            )
    return [
        {name: cells.field_value(row[source], f"{table.source}: {place}", source) for name, source in sources.items()}
        for row, place in zip(table.rows, table.places, strict=True)
    ]


def slot_names(columns: Sequence[str]) -> tuple[str, ...]:
    """The field name of each column: the column's own name, or a variant of it that a slot can have."""
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
    """The slot's name for a column: its name, with an underscore for characters that a slot's name cannot hold."""
    if _SLOT_NAME.fullmatch(column) and column != "label":
        return column
    name = re.sub(r"[^\w]+", "_", column).strip("_")
    return name if _SLOT_NAME.fullmatch(name) and name != "label" else f"column_{name}".rstrip("_")


def column_of(table: Table, name: str) -> str:
    """The column of this name, or the only column with this field name; otherwise ``name`` unchanged."""
    if name in table.columns:
        return name
    found = [column for column, known in zip(table.columns, slot_names(table.columns), strict=True) if known == name]
    return found[0] if len(found) == 1 else name


# --- cells --------------------------------------------------------------------------------------------


def column_list(table: Table) -> str:
    """The names of the first columns, for messages."""
    more = len(table.columns) - _LISTED
    return ", ".join(map(repr, table.columns[:_LISTED])) + (f" and {more} more" if more > 0 else "")


def _label(cell: object, names: tuple[str, ...] | None, place: str, column: str, answer: str) -> str:
    if names is not None and isinstance(cell, int):
        if cell == -1:  # "not labelled" in the datasets library
            return ""
        if not 0 <= cell < len(names):
            raise InputError(f"{place} has the label {cell}, but there are {len(names)} classes; correct it.")
        return names[cell]
    if isinstance(cell, dict | list):
        raise InputError(
            f"{place} has a list or record as its {answer}, and a prompt predicts one {answer} a row; keep one, as a "
            "text or number."
        )
    return cells.cell_text(cell, place, column).strip()
