"""Allowed cell values and their conversion: one rule for every reader and for rows in memory.

- Text, numbers, bools, and lists and dicts of these stay as they are; those of numpy and pandas become Python's.
- ``None``, NaN, ``pandas.NA`` and ``NaT`` are missing.
- Bytes are text in UTF-8. Dates and times become ISO 8601 text, Decimal and UUID plain text.
- Everything else is refused where it is used: other bytes, infinite numbers, sets, enums, any other object.
"""

import datetime
import decimal
import enum
import math
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from autoprompt.errors import InputError

Cells: TypeAlias = Mapping[str, object]
"""A row: its cells by column."""
MOST_LEVELS = 64
"""The deepest nesting of lists and dicts in a cell."""
_MISSING_TYPES = ("NAType", "NaTType")
_MOST_DIGITS = 60
_ADVICE = (
    ((bytes,), "bytes that are not UTF-8", "decode them to text"),
    ((set, frozenset), "a set", "give a sorted list, or text"),
    ((enum.Enum,), "an enum", "give its value (cell.value)"),
    ((float, decimal.Decimal), "an infinite number", "correct it"),
    ((int,), "a number of thousands of digits", "give it as text"),
)


def plain(cell: Any) -> Any:
    """The cell as text, number, bool, None, or a list or dict of these; any other value is returned unchanged."""
    try:
        return _plain(cell)
    except RecursionError:
        return cell  # a list that contains itself; refused where the cell is used


def _plain(cell: Any) -> Any:
    kind = type(cell)
    if cell is None or kind in (str, int, bool) or isinstance(cell, enum.Enum):
        return cell
    if kind.__name__ in _MISSING_TYPES:
        return None
    if isinstance(cell, str):
        return str(cell)
    if isinstance(cell, float):
        return None if math.isnan(cell) else float(cell)
    if isinstance(cell, bytes | bytearray | memoryview):
        return _decoded(bytes(cell))
    if isinstance(cell, Mapping):
        return {str(_plain(key)): _plain(value) for key, value in cell.items()}
    if isinstance(cell, list | tuple):
        return [_plain(value) for value in cell]
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    if isinstance(cell, decimal.Decimal):
        return _digits(cell)
    if isinstance(cell, uuid.UUID):
        return str(cell)
    return _unboxed(cell)


def _unboxed(cell: Any) -> Any:
    """Numpy scalars and arrays as Python values."""
    if type(cell).__name__ == "datetime64":
        text = str(cell)
        return None if text == "NaT" else text
    if not hasattr(cell, "tolist"):
        return cell
    inside = cell.tolist()
    return cell if type(inside) is type(cell) else _plain(inside)


def _decoded(raw: bytes) -> Any:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw


def _digits(number: decimal.Decimal) -> Any:
    if number.is_nan():
        return None
    if number.is_infinite():
        return number
    return format(number, "f") if abs(number.adjusted()) < _MOST_DIGITS else str(number)


def is_missing(cell: Any) -> bool:
    """Whether the cell is missing: None, NaN, NA or NaT."""
    return plain(cell) is None


def field(cell: Any, place: str, column: str) -> Any:
    """The cell as the value of a template's field: text, or a JSON list or dict; a missing cell is an empty string.

    Raises InputError, with the place and the column, for a value that is not allowed.
    """
    value = plain(cell)
    if isinstance(value, dict | list):
        _check_nested(value, place, column)
        return value
    return scalar(value, place, column)


def scalar(cell: Any, place: str, column: str) -> str:
    """The cell as text: bools in lower case, whole numbers without a point; a missing cell is an empty string.

    Raises InputError as ``field`` does.
    """
    value = plain(cell)
    if isinstance(value, str) and not isinstance(value, enum.Enum):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():  # pandas stores integers with gaps as floats
        value = int(value)
    if _is_number(value):
        return str(value)
    raise _refusal(value, place, column)


def _is_number(value: Any) -> bool:
    if isinstance(value, enum.Enum):
        return False
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and value.bit_length() < 4096  # Python writes no integer of over 4,300 digits


def _check_nested(value: Any, place: str, column: str, levels: int = 0) -> None:
    if levels > MOST_LEVELS:
        raise InputError(
            f"{place} has lists or dicts more than {MOST_LEVELS} levels deep in the column {column!r}; flatten them."
        )
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _check_nested(inner, place, column, levels + 1)
    elif not (value is None or type(value) is str or _is_number(value)):
        raise _refusal(value, place, column)


def _refusal(value: Any, place: str, column: str) -> InputError:
    other = ((object,), f"a {type(value).__name__}", "turn it into text")
    what, advice = next((what, advice) for kinds, what, advice in (*_ADVICE, other) if isinstance(value, kinds))
    return InputError(
        f"{place} has {what} in the column {column!r}, where text, a number, a bool, or a list or dict of these "
        f"is expected; {advice}, or leave the column out."
    )


def check_characters(row: Cells, place: str) -> None:
    """Raise InputError for lone surrogates, which UTF-8 cannot encode, and for NUL characters."""
    try:
        text = "\n".join(_texts(row))
    except RecursionError as error:
        raise InputError(f"{place} holds lists or dicts without end, or too deep; flatten them.") from error
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        found = ord(text[error.start])
        raise InputError(f"{place} holds the lone surrogate \\u{found:04x}; remove it.") from error
    if "\0" in text:
        raise InputError(f"{place} holds a NUL character; remove it.")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
