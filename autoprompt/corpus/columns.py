"""Which columns hold the text and the label, and what their cells mean."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoprompt.corpus import cells
from autoprompt.corpus.readers import Table
from autoprompt.corpus.types import Task
from autoprompt.errors import InputError

_LABEL_NAMES = ("sentiment", "category", "class", "target")
_ROW_NAMES = frozenset({"", "id", "idx", "index", "guid", "uid", "uuid", "row_id"})
_TEXT_PAIRS = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("question", "passage"),
)
# What a template can name as a slot.
_SLOT_NAME = re.compile(r"[^\W\d]\w*(?:[ -]\w+)*")


@dataclass(frozen=True)
class Columns:
    """The fields' columns in order, and the column of the label, or of the target text."""

    fields: tuple[str, ...]
    label: str
    task: Task = "classification"

    @property
    def answer(self) -> str:
        """What messages call the predicted column's values."""
        return "label" if self.task == "classification" else "target"

    @property
    def option(self) -> str:
        """The option that names the predicted column."""
        return f"--{self.answer}-column"


@dataclass(frozen=True)
class Row:
    """One row of the chosen columns; what is missing is an empty string.

    Splits are drawn within a ``group``: the class, and one for all rows of a generation corpus.
    """

    fields: Mapping[str, Any]
    label: str
    place: str
    group: str


def choose_columns(
    table: Table, text_column: str | None, label_column: str | None, target_column: str | None = None
) -> Columns:
    """The named columns, or the plain choice of them. Raises InputError, listing the columns, without one.

    A target's column is never guessed: without its name the data is for classification.
    """
    texts = _named_texts(table, text_column) if text_column else ()
    task: Task = "classification" if target_column is None else "generation"
    label = label_column if target_column is None else target_column
    if label is None:
        label = _find_label(table, texts)
    else:
        _require(table, label, Columns((), label, task).option)
    columns = Columns(texts or _find_texts(table, label), label, task)
    if label in columns.fields:
        raise InputError(
            f"{table.source}: the column {label!r} cannot be both text and {columns.answer}; name others with "
            f"--text-column and {columns.option}, of {_listed(table)}."
        )
    for name in columns.fields:
        if not _SLOT_NAME.fullmatch(name) or name == "label":
            raise InputError(
                f"{table.source}: a template cannot name the text column {name!r}; rename it to a plain word "
                "other than label."
            )
    return columns


def select_rows(table: Table, columns: Columns) -> list[Row]:
    """The table's rows with the chosen columns only. Raises InputError for a missing column or bad cell."""
    for name in (*columns.fields, columns.label):
        if name not in table.columns:
            raise InputError(
                f"{table.source} has no column {name!r}, which the training rows have; "
                f"its columns are {_listed(table)}."
            )
    names = table.class_names.get(columns.label)
    rows = []
    for row, where in zip(table.rows, table.places, strict=True):
        place = f"{table.source}: {where}"
        fields = {name: cells.field(row.get(name), place, name) for name in columns.fields}
        label = _label(row.get(columns.label), names, place, columns.label, columns.answer)
        rows.append(Row(fields, label, place, label if columns.task == "classification" else ""))
    return rows


def select_fields(table: Table, fields: Sequence[str]) -> list[Mapping[str, Any]]:
    """The rows' fields, where there are no labels. Raises InputError for a row without one of them, or a bad cell."""
    for row, place in zip(table.rows, table.places, strict=True):
        missing = [name for name in fields if name not in row]
        if missing:
            raise InputError(
                f"{table.source}: {place} lacks the field {missing[0]!r}; give all of {', '.join(fields)}."
            )
    return [
        {name: cells.field(row[name], f"{table.source}: {place}", name) for name in fields}
        for row, place in zip(table.rows, table.places, strict=True)
    ]


def _named_texts(table: Table, text_column: str) -> tuple[str, ...]:
    if text_column in table.columns:  # a name that holds a comma itself
        return (text_column,)
    names = tuple(dict.fromkeys(name.strip() for name in text_column.split(",")))
    for name in names:
        _require(table, name, "--text-column")
    return names


def _require(table: Table, name: str, option: str) -> None:
    if name not in table.columns:
        raise InputError(f"{table.source} has no column {name!r}; choose {option} of its columns: {_listed(table)}.")


def _find_label(table: Table, texts: Sequence[str]) -> str:
    found = _column(table, "label")
    if found is not None:
        return found
    if len(table.class_names) == 1:
        return next(iter(table.class_names))
    text = _column(table, "text")
    known = texts or ([text] if text is not None else [])
    left = [name for name in table.columns if name not in known and name.casefold() not in _ROW_NAMES]
    if known and len(left) == 1:
        return left[0]
    hinted = [name for name in left if name.casefold() in _LABEL_NAMES]
    if len(hinted) == 1:
        return hinted[0]
    raise InputError(
        f"{table.source}: it is not clear which column is the label; name it with --label-column "
        f"(and the text with --text-column), of {_listed(table)}."
    )


def _find_texts(table: Table, label: str) -> tuple[str, ...]:
    text = _column(table, "text")
    if text is not None and text != label:
        return (text,)
    for pair in _TEXT_PAIRS:
        columns = [_column(table, name) for name in pair]
        if None not in columns and label not in columns:
            return tuple(name for name in columns if name is not None)
    found = tuple(
        name
        for name in table.columns
        if name != label and name.casefold() not in _ROW_NAMES and _holds_text(table, name)
    )
    if not found:
        raise InputError(f"{table.source}: no column holds text; name one with --text-column, of {_listed(table)}.")
    return found


def _column(table: Table, name: str) -> str | None:
    if name in table.columns:
        return name
    return next((column for column in table.columns if column.casefold() == name), None)


def _holds_text(table: Table, name: str) -> bool:
    """Whether some cell is more than a number: csv cells are all strings."""
    return any(_is_text(row.get(name)) for row in table.rows)


def _is_text(cell: object) -> bool:
    if isinstance(cell, dict | list):
        return True
    if not isinstance(cell, str) or not cell.strip():
        return False
    try:
        float(cell)
    except ValueError:
        return True
    # float() also reads words such as "nan" and "Infinity".
    return not any(character.isdigit() for character in cell)


def _listed(table: Table) -> str:
    return ", ".join(repr(name) for name in table.columns)


def _label(cell: object, names: tuple[str, ...] | None, place: str, column: str, answer: str) -> str:
    if names is not None and isinstance(cell, int):
        if cell == -1:  # the sign for "not labelled" of datasets
            return ""
        if not 0 <= cell < len(names):
            raise InputError(f"{place} has the label {cell}, but there are {len(names)} classes; correct it.")
        return names[cell]
    if isinstance(cell, dict | list):
        raise InputError(f"{place} has a {answer} that is no text or number; correct it.")
    return cells.scalar(cell, place, column).strip()
