"""Rows without labels, to be predicted: texts, dicts, arrays, frames, generators."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autoprompt.corpus import chat
from autoprompt.corpus.cells import is_missing
from autoprompt.corpus.checks import has_text
from autoprompt.corpus.columns import Columns, Row, column_list, column_of, select_fields, select_rows
from autoprompt.corpus.memory import table_of
from autoprompt.corpus.readers import Table
from autoprompt.corpus.types import Example
from autoprompt.errors import InputError, UsageError


def inputs(rows: Any, fields: Sequence[str], *, name: str = "the input") -> list[Example]:
    """Return rows without labels as examples with these fields, in the order of the rows; no rows give no examples.

    ``rows``: a ``Table``, or anything that ``as_rows`` accepts. A number in a column becomes text; an empty text is
    valid. Raises UsageError, and InputError for a missing column and for a row whose fields are all missing (None,
    NaN).
    """
    if not isinstance(rows, Table):
        rows = input_table(rows, fields, name)
        if rows is None:
            return []
    if any(name not in rows.columns for name in fields):
        rows = chat.flatten_chats(rows, fields, answered=False)
    require_columns(rows, fields)
    _require_cells(rows, fields)
    return [Example(f"row{number}", values, "") for number, values in enumerate(select_fields(rows, fields))]


def input_table(rows: Any, fields: Sequence[str], name: str) -> Table | None:
    """Rows in memory as a table, texts as its only field; None for no rows. Raises UsageError, InputError."""
    rows = as_rows(rows, name)
    if len(rows) and isinstance(rows, list) and isinstance(rows[0], str):
        if len(fields) > 1:
            raise UsageError(f"The template's fields are {', '.join(fields)}; give rows with all of them.")
        rows = [{fields[0]: text} for text in rows]
    return table_of(rows, name) if len(rows) else None


def bare_rows(table: Table, columns: Columns) -> list[Row]:
    """Return a table's rows that have text, with blank labels, whatever labels the table has.

    Raises InputError for a missing column or bad cell.
    """
    if any(column_of(table, columns.source(name)) not in table.columns for name in columns.fields):
        table = chat.flatten_chats(table, columns.fields, answered=False)
    rows = select_rows(table, columns, labelled=False)
    return [row for row in rows if has_text(row.fields.values())]


def as_rows(rows: Any, name: str = "the input") -> Any:
    """Return the rows as a list of texts, a list of dicts, a ``datasets.Dataset`` or a pandas frame.

    ``rows``: one of these, or any array, series, tuple or generator of texts or dicts; a column [rows, 1] is a list.
    Raises UsageError for a single text or row and for a set; InputError, with the place, for a row that is neither a
    text nor a dict, such as None or a number.
    """
    if isinstance(rows, str | bytes):
        raise UsageError(f"{name} is one text, not a list of texts or rows; put it into a list: [text].")
    if isinstance(rows, Mapping):
        of_splits = "a DatasetDict of splits" if type(rows).__name__ == "DatasetDict" else "one row"
        raise UsageError(f"{name} is {of_splits}; give a list of rows, or one of the splits.")
    if isinstance(rows, set | frozenset):
        raise UsageError(f"{name} is a set, which has no order; give a list.")
    if hasattr(rows, "iterrows") or (hasattr(rows, "with_format") and hasattr(rows, "__len__")):
        return rows
    listed = [_unpack(row) for row in _as_list(rows, name)]
    texts = any(isinstance(row, str) for row in listed)
    for number, row in enumerate(listed, start=1):
        if not isinstance(row, str if texts else Mapping):
            raise InputError(
                f"{name}: row {number} is {_describe(row)}; give {'a text' if texts else 'texts or dicts'}."
            )
    return listed


def _as_list(rows: Any, name: str) -> list[Any]:
    shape = getattr(rows, "shape", None)
    if isinstance(shape, tuple):
        if len(shape) > 2 or (len(shape) == 2 and shape[1] != 1) or not shape:
            raise InputError(f"{name} has the shape {tuple(shape)}; give one column of texts, or a frame of columns.")
        if hasattr(rows, "tolist"):
            return list(rows.tolist())
    if not isinstance(rows, Iterable):
        raise UsageError(f"{name} is {_describe(rows)}; give a list of texts, dicts, a Dataset or a pandas frame.")
    return list(rows)


def _unpack(row: Any) -> Any:
    """The only value of a row of a column [rows, 1], and UTF-8 bytes as text; any other row unchanged."""
    if isinstance(row, list | tuple) and len(row) == 1:
        row = row[0]
    if isinstance(row, bytes):
        try:
            return row.decode("utf-8")
        except UnicodeDecodeError:
            return row
    return row


def _describe(row: Any) -> str:
    """The description, for messages, of a row that is neither a text nor a dict."""
    if is_missing(row):
        return f"missing ({row})"
    if isinstance(row, bytes):
        return "bytes that are not UTF-8"
    if isinstance(row, bool | int | float):
        return f"the number {row}, not a text"
    return f"a {type(row).__name__}, not a text or dict"


def require_columns(table: Table, fields: Sequence[str]) -> None:
    """Raise InputError, with the columns of the table, where it has no column for a field."""
    absent = next((field for field in fields if column_of(table, field) not in table.columns), None)
    if absent is not None:
        there = column_list(table) or "none"
        raise InputError(
            f"{table.source} has no column {absent!r}; its columns are {there}, the prompt needs "
            f"{', '.join(map(repr, fields))}."
        )


def _require_cells(table: Table, fields: Sequence[str]) -> None:
    """Raise InputError for a row in which all fields are missing."""
    columns = [column_of(table, field) for field in fields]
    for cells, place in zip(table.rows, table.places, strict=True):
        if all(column in cells and is_missing(cells[column]) for column in columns):
            raise InputError(
                f"{table.source}: {place} has no {' and no '.join(map(repr, fields))} (missing); leave the row out, or "
                "give an empty text."
            )
