"""Tables from rows that a program already holds: datasets.Dataset, pandas frames and lists of dicts."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from autoprompt.corpus.readers import Table, check_characters
from autoprompt.errors import InputError, UsageError


def table_of(data: Any, source: str) -> Table:
    """The rows as a table called ``source``.

    Raises UsageError for what is none of the three kinds, InputError for rows that cannot be used as they stand.
    """
    names: dict[str, tuple[str, ...]] = {}
    if _is_a(data, "datasets", "Dataset"):
        names = {
            column: tuple(feature.names)
            for column, feature in data.features.items()
            if type(feature).__name__ == "ClassLabel"
        }
        rows: Sequence[Any] = list(data.with_format(None))  # a format such as torch's would turn cells into tensors
    elif _is_a(data, "pandas", "DataFrame"):
        if not data.columns.is_unique:
            raise InputError(f"{source} names the column {_repeated(data.columns)!r} twice; rename one of them.")
        rows = data.to_dict("records")
    elif isinstance(data, Sequence) and not isinstance(data, str | bytes):
        rows = data
    else:
        given = f"the splits {', '.join(map(repr, data))}" if isinstance(data, Mapping) else f"a {type(data).__name__}"
        raise UsageError(
            f"{source} is {given}; give each split as a datasets.Dataset, a pandas frame or a list of dicts: "
            "of(train, validation, test)."
        )
    if not len(rows):
        raise InputError(f"{source} holds no rows of data; give some.")
    places = tuple(f"row {number}" for number in range(1, len(rows) + 1))
    plain = tuple(_row(row, f"{source}: {place}") for row, place in zip(rows, places, strict=True))
    columns = dict.fromkeys(name for row in plain for name in row)
    return Table(source, tuple(columns), plain, places, names)


def _is_a(data: Any, module: str, name: str) -> bool:
    """Whether the data is of this class, without importing its module: who has such data has imported it."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(data, kind)


def _repeated(columns: Any) -> str:
    return next(str(name) for name, repeated in zip(columns, columns.duplicated(), strict=True) if repeated)


def _row(row: Any, place: str) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        raise InputError(f"{place} is no dict; give each row as a dict of its columns.")
    plain = {str(name): _plain(cell) for name, cell in row.items()}
    check_characters(plain, place)
    return plain


def _plain(cell: Any) -> Any:
    """The cell with Python's own values in place of numpy's and pandas'."""
    if type(cell).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(cell, "tolist"):
        cell = cell.tolist()
    if isinstance(cell, Mapping):
        return {str(key): _plain(value) for key, value in cell.items()}
    return [_plain(value) for value in cell] if isinstance(cell, list | tuple) else cell
