"""Tables from rows in memory: frames, datasets, lists of dicts, dicts of lists and the like."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from autoprompt.corpus.cells import Cells, check_characters, plain_cell
from autoprompt.corpus.readers import Table
from autoprompt.corpus.split_names import split_of
from autoprompt.errors import InputError, UsageError

_EXPECTED = (
    "give each split as a datasets.Dataset, a pandas frame, a list of dicts or a dict of lists: "
    "from_rows(train, validation, test)"
)


def splits_of(data: Any, source: str) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Return split -> rows from a dict of splits (such as a DatasetDict), and notes; any other data is train alone.

    Splits are named like the files of a folder: ``dev`` is validation. Raises UsageError for a dict of splits without
    train.
    """
    if not isinstance(data, Mapping) or not _are_splits(data):
        return {"train": data}, ()
    found: dict[str, Any] = {}
    left = []
    for name, rows in data.items():
        split = split_of(str(name))
        if split is None or split in found:
            left.append(str(name))
        elif rows is not None:
            found[split] = rows
    if "train" not in found:
        names = ", ".join(repr(name) for name, rows in data.items() if rows is not None) or "nothing"
        raise UsageError(
            f"The corpus is a dict of {names}; give it train and, if there are any, validation, test and unlabeled."
        )
    notes = (f"Not used of {source}: the splits {', '.join(map(repr, left))}.",) if left else ()
    return found, notes


def table_of(data: Any, source: str) -> Table:
    """Return the rows as a table called ``source``.

    Raises UsageError for data that are no rows, InputError for rows that cannot be used as they are.
    """
    rows, names = _rows_of(data, source)
    if not len(rows):
        raise InputError(f"{source} holds no rows of data; give some.")
    places = tuple(f"row {number}" for number in range(1, len(rows) + 1))
    plain_rows = tuple(_plain_row(row, f"{source}: {place}") for row, place in zip(rows, places, strict=True))
    columns = dict.fromkeys(name for row in plain_rows for name in row)
    return Table(source, tuple(columns), plain_rows, places, names)


def _rows_of(data: Any, source: str) -> tuple[Sequence[Any], dict[str, tuple[str, ...]]]:
    """The rows, and the class names of their columns."""
    if _is_a(data, "datasets", "Dataset"):
        return list(data.with_format(None)), _class_names(data)  # undo formats such as torch, whose cells are tensors
    if _is_a(data, "pandas", "DataFrame"):
        return _frame_rows(data, source), {}
    if _is_a(data, "pyarrow", "Table"):
        _check_once(data.column_names, source)
        return data.to_pylist(), {}
    if isinstance(data, Mapping):
        return _column_rows(data, source), {}
    if getattr(getattr(data, "dtype", None), "names", None):  # numpy's structured arrays
        return [dict(zip(data.dtype.names, row, strict=True)) for row in data.tolist()], {}
    if isinstance(data, tuple) and len(data) == 2 and not any(isinstance(part, Mapping) for part in data):
        raise UsageError(
            f"{source} is a pair such as (texts, labels); give rows: "
            "[{'text': text, 'label': label} for text, label in zip(texts, labels)]."
        )
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return data, {}
    raise _not_rows_error(data, source)


def _not_rows_error(data: Any, source: str) -> UsageError:
    """The error for data that hold rows in another form or no rows, with advice on what to give instead."""
    kind = type(data).__name__
    given = f"{'an' if kind[0] in 'AEIOUaeiou' else 'a'} {kind}"
    if isinstance(data, str | bytes):
        advice = "load(path) reads a file; " + _EXPECTED
    elif _is_a(data, "datasets", "IterableDataset"):
        advice = "take as many rows as you need: list(dataset.take(10_000))"
    elif _is_a(data, "pandas", "Series"):
        advice = "give a frame with the text and the label: frame[['text', 'label']]"
    elif hasattr(data, "to_dicts"):  # polars
        advice = "give its rows: frame.to_dicts()"
    elif hasattr(data, "ndim"):
        advice = "name its columns: pandas.DataFrame(array, columns=['text', 'label'])"
    elif isinstance(data, Iterator) or hasattr(data, "__iter__"):
        advice = "give its rows as a list: list(rows)"
    else:
        advice = _EXPECTED
    return UsageError(f"{source} is {given}; {advice}.")


def _are_splits(data: Mapping[Any, Any]) -> bool:
    """Whether the values are the rows of splits, and not columns."""
    if any(split_of(str(name)) for name in data):
        return True
    return any(_is_a(rows, module, name) for rows in data.values()
               for module, name in (("datasets", "Dataset"), ("datasets", "IterableDataset"), ("pandas", "DataFrame"),
                                    ("pyarrow", "Table"))) or not data  # fmt: skip


def _class_names(data: Any) -> dict[str, tuple[str, ...]]:
    return {
        column: tuple(feature.names)
        for column, feature in data.features.items()
        if type(feature).__name__ == "ClassLabel"
    }


def _frame_rows(data: Any, source: str) -> list[Any]:
    if data.columns.nlevels > 1:
        raise InputError(
            f"{source} has columns of {data.columns.nlevels} levels; flatten them: "
            "frame.columns = ['_'.join(map(str, name)) for name in frame.columns]."
        )
    _check_once([str(name) for name in data.columns], source)
    records: list[Any] = data.to_dict("records")
    return records


def _check_once(names: Sequence[str], source: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{source} names the column {name!r} twice; rename one of them.")
        seen.add(name)


def _column_rows(data: Mapping[Any, Any], source: str) -> list[dict[Any, Any]]:
    for name, column in data.items():
        if isinstance(column, str | bytes | Mapping) or not hasattr(column, "__len__"):
            raise UsageError(
                f"{source} is a dict whose {name!r} is a {type(column).__name__}; give a list for each column, or a "
                "list of dicts."
            )
    lengths = {str(name): len(column) for name, column in data.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name!r} {length}" for name, length in lengths.items())
        raise InputError(f"{source} has columns of different lengths ({said}); give a cell for each row.")
    return [dict(zip(data, cells, strict=True)) for cells in zip(*data.values(), strict=True)]


def _is_a(data: Any, module: str, name: str) -> bool:
    """Whether the data is of this class. Needs no import: a program with such data has imported the module already."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(data, kind)


def _plain_row(row: Any, place: str) -> Cells:
    if not isinstance(row, Mapping):
        raise InputError(
            f"{place} is not a dict but a {type(row).__name__}; give each row as a dict of its columns: "
            "{'text': ..., 'label': ...}."
        )
    plain_rows = {str(name): plain_cell(cell) for name, cell in row.items()}
    if len(plain_rows) < len(row):
        raise InputError(f"{place} names a column twice, as a number and as text; rename one of them.")
    check_characters(plain_rows, place)
    return plain_rows
