"""Readers of parquet files, and of arrow files as datasets, pandas (feather) and others write them."""

import importlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from autoprompt.corpus.cells import check_characters, plain_cell
from autoprompt.corpus.readers.content import LEAST_LIMIT, limit_of
from autoprompt.corpus.readers.format import Format
from autoprompt.corpus.readers.header import MOST_COLUMNS
from autoprompt.corpus.readers.options import FileOptions
from autoprompt.corpus.readers.table import Table
from autoprompt.errors import InputError, first_line
from autoprompt.registry import READERS

_BATCH = 1000


def read_parquet(path: Path, _options: FileOptions) -> Table:
    """Return the rows of a parquet file. Raises InputError if it is no parquet file or expands far beyond its size."""
    return _read(path, "parquet", _parquet_batches)


def read_arrow(path: Path, _options: FileOptions) -> Table:
    """Return the rows of an arrow file, in the stream or the file format. Raises as ``read_parquet`` does."""
    return _read(path, "arrow", _arrow_batches)


def _read(path: Path, kind: str, batches: Callable[[Path], Any]) -> Table:
    # Imported here because the import is slow, and by name because pyarrow has no type annotations.
    pa: Any = importlib.import_module("pyarrow")
    try:
        data = batches(path)
        columns = tuple(data.column_names)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} has a column whose name is not UTF-8; write the file as UTF-8.") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.strerror:  # an error of the disk, not of arrow
            raise
        raise InputError(f"{path} is not a readable {kind} file ({first_line(error)}); write it again.") from error
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise InputError(f"{path} names the column {twice!r} twice; rename one of them.")
    cells = [_values(path, name, data.column(name)) for name in columns]
    rows = tuple(dict(zip(columns, values, strict=True)) for values in zip(*cells, strict=True))
    places = tuple(f"row {number}" for number in range(1, len(rows) + 1))
    for row, place in zip(rows, places, strict=True):
        check_characters(row, f"{path}: {place}")
    metadata = data.schema.metadata or {}
    return Table(str(path), columns, rows, places, _class_names(metadata.get(b"huggingface", b"{}")))


def _parquet_batches(path: Path) -> Any:
    """Return the file as an arrow table; text columns are dictionary-encoded, which stores a repeated text once."""
    pa: Any = importlib.import_module("pyarrow")
    pq: Any = importlib.import_module("pyarrow.parquet")
    with pq.ParquetFile(path) as file:
        texts = [field.name for field in file.schema_arrow if _is_text(pa, field.type)]
        rows = file.metadata.num_rows
        _check_shape(path, rows, file.schema_arrow)
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        return _bounded(path, file.schema_arrow, file.iter_batches(batch_size=_BATCH))


def _arrow_batches(path: Path) -> Any:
    pa: Any = importlib.import_module("pyarrow")
    with pa.OSFile(str(path)) as source:
        if source.read(6) == b"ARROW1":
            with pa.ipc.open_file(source) as reader:
                _check_shape(path, 0, reader.schema)
                batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
                return _bounded(path, reader.schema, _validated(batches))
        source.seek(0)
        with pa.ipc.open_stream(source) as reader:
            _check_shape(path, 0, reader.schema)
            return _bounded(path, reader.schema, _validated(reader))


def _validated(batches: Iterable[Any]) -> Iterator[Any]:
    """Yield the batches after checking their offsets and indices, which arrow would follow into any memory."""
    for batch in batches:
        batch.validate(full=True)
        yield batch


def _is_text(pa: Any, kind: Any) -> bool:
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_binary, pa.types.is_large_string,
                                       pa.types.is_large_binary))  # fmt: skip


def _check_shape(path: Path, rows: int, schema: Any) -> None:
    """Raise InputError for more cells than a file of this size can hold, and for too many columns."""
    if len(schema) > MOST_COLUMNS:
        raise InputError(f"{path} has {len(schema)} columns; keep those that the task needs, at most {MOST_COLUMNS}.")
    if rows * max(1, len(schema)) * 8 > limit_of(path.stat().st_size):
        raise InputError(f"{path} says that it has {rows} rows, which is too many for its size; write it again.")


def _bounded(path: Path, schema: Any, batches: Any) -> Any:
    """Return all batches as one table. Raises InputError where they hold far more bytes than the file."""
    pa: Any = importlib.import_module("pyarrow")
    limit = limit_of(path.stat().st_size)
    held, found = 0, []
    for batch in batches:
        held += sum(_size(pa, column) for column in batch.columns)
        if held > max(limit, LEAST_LIMIT):
            raise InputError(f"{path} expands to more than {limit >> 20} MiB; write fewer rows if it is meant to.")
        found.append(batch)
    return pa.Table.from_batches(found, schema if not found else found[0].schema)


def _size(pa: Any, column: Any) -> int:
    """Bytes that a column's values take without dictionary encoding."""
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    compute: Any = importlib.import_module("pyarrow.compute")
    try:
        lengths = compute.binary_length(column.dictionary)
    except pa.ArrowException:  # a dictionary of numbers
        return int(column.nbytes)
    return int(compute.sum(compute.take(lengths, column.indices)).as_py() or 0)


def _values(path: Path, name: str, column: Any) -> list[Any]:
    """Return the column's values. Raises InputError for bad cells: arrow checks an encoding only on conversion."""
    pa: Any = importlib.import_module("pyarrow")
    padded = pa.types.is_fixed_size_binary(column.type)  # padded with NUL by programs that store text in this type
    values = []
    for number, cell in enumerate(column, start=1):
        try:
            value = cell.as_py()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: row {number} has a {name!r} that is not UTF-8; write the file as UTF-8."
            ) from error
        except (ValueError, OverflowError) as error:  # such as the year 12000, which Python cannot represent
            reason = first_line(error)
            raise InputError(
                f"{path}: row {number} has a {name!r} that cannot be read ({reason}); write it as text."
            ) from error
        values.append(plain_cell(value.rstrip(b"\0") if padded and value is not None else value))
    return values


def _class_names(metadata: bytes) -> dict[str, tuple[str, ...]]:
    """Class names of ClassLabel columns, which the datasets library writes into the file's schema."""
    try:
        features = json.loads(metadata)["info"]["features"]
        return {
            name: tuple(feature["names"]) for name, feature in features.items() if feature.get("_type") == "ClassLabel"
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # written by another program


READERS.register("parquet")(Format((".parquet", ".pq"), read_parquet, compressed=False))
READERS.register("arrow")(Format((".arrow", ".feather"), read_arrow, compressed=False))
