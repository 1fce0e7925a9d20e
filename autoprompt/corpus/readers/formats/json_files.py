"""Readers of jsonl files (one object a line) and json files (an array of objects, or what pandas writes)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoprompt.corpus.cells import Cells, check_characters
from autoprompt.corpus.readers.content import text_of
from autoprompt.corpus.readers.format import Format
from autoprompt.corpus.readers.json_rows import json_row, loads
from autoprompt.corpus.readers.options import FileOptions
from autoprompt.corpus.readers.table import Table
from autoprompt.errors import InputError
from autoprompt.registry import READERS

_SHAPES = "give an array of objects, or one object a line"


def read_lines_of_json(path: Path, options: FileOptions) -> Table:
    """Read a file of one object a line, or an array of objects if it begins with ``[``. Raises InputError."""
    text = text_of(path, options)
    if text.lstrip()[:1] == "[":
        whole = _parsed(text)
        if whole is not None:
            return _of_value(path, whole)
    return _lines(path, text)


def read_json(path: Path, options: FileOptions) -> Table:
    """Read a file that is one JSON value, or one object a line. Raises InputError for other shapes.

    The value is an array of objects, an object with one such array, or columns as pandas and datasets write them.
    """
    text = text_of(path, options)
    whole = _parsed(text)
    return _lines(path, text) if whole is None else _of_value(path, whole)


def _parsed(text: str) -> Any:
    """Return the text's JSON value; None if the text is not exactly one value."""
    try:
        return loads(text)
    except (ValueError, RecursionError):
        return None


def _lines(path: Path, text: str) -> Table:
    # Only "\n" ends a line: str.splitlines would also split at separators that JSON strings may hold.
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1)]
    while lines and not lines[-1][1].strip():
        lines.pop()
    filled = [(number, line) for number, line in lines if line.strip()]
    notes = []
    if len(filled) < len(lines):
        first = next(number for number, line in lines if not line.strip())
        notes.append(f"{path}: {len(lines) - len(filled)} blank lines were skipped (the first is line {first}).")
    rows = tuple(json_row(f"{path}:{number}", line) for number, line in filled)
    columns = dict.fromkeys(name for row in rows for name in row)
    places = tuple(f"line {number}" for number, _line in filled)
    return Table(str(path), tuple(columns), rows, places, notes=tuple(notes))


def _of_value(path: Path, value: Any) -> Table:
    notes: tuple[str, ...] = ()
    if isinstance(value, dict):
        value, notes = _rows_of_object(path, value)
    if not isinstance(value, list):
        raise InputError(f"{path} holds one JSON value that is no array of objects; {_SHAPES}.")
    for number, row in enumerate(value, start=1):
        if not isinstance(row, dict):
            raise InputError(f"{path}: row {number} is no JSON object; {_SHAPES}.")
        check_characters(row, f"{path}: row {number}")
    columns = dict.fromkeys(name for row in value for name in row)
    places = tuple(f"row {number}" for number in range(1, len(value) + 1))
    return Table(str(path), tuple(columns), tuple(value), places, notes=notes)


def _rows_of_object(path: Path, value: Mapping[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """Return the rows that an object holds, depending on its shape, and notes."""
    if set(value) == {"columns", "index", "data"}:  # pandas, orient="split"
        return _from_split(path, value), ()
    inner = list(value.values())
    tables = [name for name, rows in value.items() if _is_rows(rows)]
    if len(tables) == 1:
        return value[tables[0]], ((f"{path}: the rows are those of {tables[0]!r}.",) if len(value) > 1 else ())
    if tables:
        raise InputError(
            f"{path} holds several arrays of rows ({', '.join(map(repr, tables[:5]))}); give each split a file of its "
            "own in a folder (train.json, test.json)."
        )
    if inner and all(isinstance(column, dict) for column in inner):
        return _from_nested(path, value), ()
    if inner and all(isinstance(column, list) for column in inner):
        if len({len(column) for column in inner}) > 1:
            raise InputError(f"{path} holds arrays of different lengths as its columns; {_SHAPES}.")
        return [dict(zip(value, cells, strict=True)) for cells in zip(*inner, strict=True)], ()
    return [dict(value)], ()  # a file of one row


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _from_split(path: Path, value: Mapping[str, Any]) -> list[Cells]:
    names, rows = value["columns"], value["data"]
    fits = isinstance(names, list) and isinstance(rows, list)
    if not fits or len(set(map(str, names))) < len(names) or not all(
        isinstance(row, list) and len(row) == len(names) for row in rows
    ):  # fmt: skip
        raise InputError(f"{path} has columns and data that do not fit together; {_SHAPES}.")
    return [dict(zip(map(str, names), row, strict=True)) for row in rows]


def _from_nested(path: Path, value: Mapping[str, Mapping[str, Any]]) -> list[Cells]:
    """Read column -> row number -> cell (pandas' default) or row number -> row (orient="index"). Raises InputError."""
    keys = list(next(iter(value.values())))
    even = all(list(inner) == keys for inner in value.values())
    if even and keys and all(key.isdecimal() for key in keys):
        return [{name: column[key] for name, column in value.items()} for key in keys]
    if all(key.isdecimal() for key in value):
        return [dict(row) for row in value.values()]
    raise InputError(f"{path} holds an object of objects of which neither side is numbered rows; {_SHAPES}.")


READERS.register("jsonl")(Format((".jsonl", ".ndjson"), read_lines_of_json, frozenset({"encoding"})))
READERS.register("json")(Format((".json",), read_json, frozenset({"encoding"})))
