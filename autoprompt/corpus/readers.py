"""Tables from csv, tsv, jsonl and parquet files, with the place of every row kept for messages.

Nothing is guessed or skipped: cells stay text ("NA" and "null" are text), and a malformed row is an error
that names its line.
"""

import csv
import importlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from autoprompt.errors import InputError, first_line


@dataclass(frozen=True)
class Table:
    """Rows as they were read; ``places`` says where each stood, ``class_names`` what its integers mean."""

    source: str
    columns: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    places: tuple[str, ...]
    class_names: dict[str, tuple[str, ...]] = field(default_factory=dict)


def read_table(path: Path) -> Table:
    """Read one data file. Raises InputError with file and line for whatever cannot be read as it stands."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path} is no csv, tsv, jsonl or parquet file; convert it to one of these.")
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty; give a file with rows.")
        table = reader(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}; check the path.") from error
    if not table.rows:
        raise InputError(f"{path} holds no rows of data; give a file with rows.")
    return table


def read_lines(path: Path, column: str) -> Table:
    """A text file with a text a line. Raises InputError as ``read_table`` does."""
    try:
        lines = _text_of(path).split("\n")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}; check the path.") from error
    if not lines[-1]:
        lines.pop()
    if not lines:
        raise InputError(f"{path} is empty; give a file with a text a line.")
    rows = tuple({column: line.removesuffix("\r")} for line in lines)
    return Table(str(path), (column,), rows, tuple(f"line {number}" for number in range(1, len(rows) + 1)))


def joined(tables: Sequence[Table]) -> Table:
    """The rows of all tables in their order, with the places of each."""
    if len(tables) == 1:
        return tables[0]
    columns = dict.fromkeys(name for table in tables for name in table.columns)
    places = tuple(f"{table.source}: {place}" for table in tables for place in table.places)
    rows = tuple(row for table in tables for row in table.rows)
    return Table(", ".join(table.source for table in tables), tuple(columns), rows, places)


def is_data_file(path: Path) -> bool:
    """Whether the name says that this is a data file."""
    return path.suffix.lower() in _READERS


def _text_of(path: Path) -> str:
    """The file as text without its BOM; InputError with the line for bad UTF-8 and NUL."""
    raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}:{line} holds the byte 0x{raw[error.start]:02x}, which is not UTF-8; save the file as UTF-8."
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(f"{path}:{line} holds a NUL character; remove it.")
    return text


# --- csv and tsv ------------------------------------------------------------------------------------


def _read_csv(path: Path) -> Table:
    return _read_delimited(path, ",")


def _read_tsv(path: Path) -> Table:
    return _read_delimited(path, "\t")


def _read_delimited(path: Path, delimiter: str) -> Table:
    text = _text_of(path)
    # The csv module's limit is global: lifted for this file only, since a long text is no fault.
    limit = csv.field_size_limit(max(len(text), 1 << 17))
    try:
        lines = [(line, cells) for line, cells in _csv_rows(path, text, delimiter)]
    finally:
        csv.field_size_limit(limit)
    while lines and not lines[-1][1]:
        lines.pop()
    if not lines:
        raise InputError(f"{path} is empty; give a file with a header line and rows.")
    header = tuple(name.strip() for name in lines[0][1])
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise InputError(f"{path}:{lines[0][0]} names the column {repeated[0]!r} twice; rename one of them.")
    for line, cells in lines[1:]:
        if len(cells) != len(header):
            raise InputError(
                f"{path}:{line} has {len(cells)} cells where the header has {len(header)}; correct the row."
            )
    rows = tuple(dict(zip(header, cells, strict=True)) for _line, cells in lines[1:])
    return Table(str(path), header, rows, tuple(f"line {line}" for line, _cells in lines[1:]))


def _csv_rows(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each row with the line on which it begins."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(f"{path}:{start} is malformed ({error}); correct the quotes of the row.") from error
        yield start, cells


# --- jsonl ------------------------------------------------------------------------------------------


def _read_jsonl(path: Path) -> Table:
    # Only "\n" ends a line: str.splitlines would also cut at separators that JSON strings may hold.
    lines = _text_of(path).split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    rows = [json_row(f"{path}:{number}", line) for number, line in enumerate(lines, start=1)]
    columns = dict.fromkeys(name for row in rows for name in row)
    places = tuple(f"line {number}" for number in range(1, len(rows) + 1))
    return Table(str(path), tuple(columns), tuple(rows), places)


def json_row(place: str, line: str) -> dict[str, Any]:
    """A line's JSON object. Raises InputError for anything else."""
    try:
        row = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place} is not valid JSON ({error}); correct the line.") from error
    if not isinstance(row, dict):
        raise InputError(f"{place} is no JSON object; write one object a line.")
    check_characters(row, place)
    return row


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def check_characters(row: dict[str, Any], place: str) -> None:
    """Raise InputError for characters that no UTF-8 file can hold: lone surrogates, and NUL."""
    text = json.dumps(row, ensure_ascii=False, default=str)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        found = ord(text[error.start])
        raise InputError(f"{place} holds the lone surrogate \\u{found:04x}; remove it.") from error
    # JSON writes NUL as an escape, and a backslash that was in the text as two.
    if "\\u0000" in text.replace("\\\\", ""):
        raise InputError(f"{place} holds a NUL character; remove it.")


# --- parquet ----------------------------------------------------------------------------------------


def _read_parquet(path: Path) -> Table:
    # Imported here, since it takes a while, and by name: it has no types.
    pa: Any = importlib.import_module("pyarrow")
    pq: Any = importlib.import_module("pyarrow.parquet")
    try:
        data = pq.read_table(path)
        columns = tuple(data.column_names)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} has a column whose name is not UTF-8; write the file as UTF-8.") from error
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.strerror:  # the disk's word, not arrow's
            raise
        reason = first_line(error)
        raise InputError(f"{path} is not a readable parquet file ({reason}); write it again.") from error
    cells = [_values(path, name, data.column(name)) for name in columns]
    rows = tuple(dict(zip(columns, values, strict=True)) for values in zip(*cells, strict=True))
    places = tuple(f"row {number}" for number in range(1, len(rows) + 1))
    for row, place in zip(rows, places, strict=True):
        check_characters(row, f"{path}: {place}")
    metadata = data.schema.metadata or {}
    names = _class_names(metadata.get(b"huggingface", b"{}"))
    return Table(str(path), columns, rows, places, names)


def _values(path: Path, name: str, column: Any) -> list[Any]:
    """The column's values; arrow checks a text's encoding only when it is turned into one."""
    values = []
    for number, cell in enumerate(column, start=1):
        try:
            values.append(cell.as_py())
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: row {number} has a {name!r} that is not UTF-8; write the file as UTF-8."
            ) from error
        except (ValueError, OverflowError) as error:  # Python has no year 12000
            reason = first_line(error)
            raise InputError(
                f"{path}: row {number} has a {name!r} that cannot be read ({reason}); write it as text."
            ) from error
    return values


def _class_names(metadata: bytes) -> dict[str, tuple[str, ...]]:
    """Names of ClassLabel columns, which datasets keeps in the schema of the parquet files it writes."""
    try:
        features = json.loads(metadata)["info"]["features"]
        return {
            name: tuple(feature["names"]) for name, feature in features.items() if feature.get("_type") == "ClassLabel"
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # written by another program


_READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
