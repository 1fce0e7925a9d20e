"""Header detection and rows of equal length, for delimited files and sheets.

Titles above the header, blank rows and empty columns are left out, and a note says so. Where content could be lost,
the file is refused.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoprompt.corpus.cells import cell_text, plain_cell
from autoprompt.corpus.readers.options import FileOptions
from autoprompt.corpus.readers.quoting import NUMBER, Record
from autoprompt.corpus.readers.table import Table
from autoprompt.errors import InputError, parameter

MOST_COLUMNS = 10_000
_MOST_TITLES = 10
_WORDS_OF_A_TEXT = 4
_MOST_NAME = 40


def table_from_records(
    path: Path, records: Sequence[Record], options: FileOptions, unit: str, notes: tuple[str, ...]
) -> Table:
    """Return the table of a file's rows. ``unit``: "line" for lines of a file, or "row" for rows of a sheet.

    Raises InputError for an unusable header, a row of another length than the header, and too many columns.
    """
    messages = list(notes)
    rows = _without_blank_rows(path, records, unit, messages)
    if not rows:
        raise InputError(f"{path} is empty; give a file with a header line and rows.")
    width = max(len(row.cells) for row in rows)
    if width > MOST_COLUMNS:
        raise InputError(f"{path} has {width} columns; keep those that the task needs, at most {MOST_COLUMNS}.")
    if options.no_header:
        names = list(options.names) or [f"column{number}" for number in range(1, len(rows[0].cells) + 1)]
        body = rows
        if len(names) != len(rows[0].cells):
            raise InputError(
                f"{path} has {len(rows[0].cells)} columns, and {parameter('column_names')} names {len(names)}; name "
                "them all."
            )
    else:
        names, body = _header(path, rows, unit, messages)
    body = _even_rows(path, names, body, unit, messages)
    names, kept = _name_columns(path, names, body, messages)
    table = tuple({names[number]: row.cells[number] for number in kept} for row in body)
    places = tuple(f"{unit} {row.line}" for row in body)
    return Table(str(path), tuple(names[number] for number in kept), table, places, notes=tuple(messages))


def header_place(records: Sequence[Record]) -> int:
    """The header's index in ``records``: 0, or after the titles, which are lines of one cell above rows of several."""
    for number, row in enumerate(records[: _MOST_TITLES + 1]):
        if len(row.cells) == 1:
            continue
        return number if all(map(_is_name, row.cells)) and all(map(_is_title, records[:number])) else 0
    return 0


def _without_blank_rows(path: Path, records: Sequence[Record], unit: str, notes: list[str]) -> list[Record]:
    """Return the rows that are not blank, and add a note with the number of blank rows before the last of them."""
    wide = any(len(row.cells) > 1 for row in records)

    def blank(row: Record) -> bool:
        return not row.cells or (wide and len(row.cells) == 1 and row.last == row.line and _is_space(row.cells[0]))

    filled = [row for row in records if not blank(row)]
    if filled:
        skipped = [row.line for row in records if blank(row) and row.line < filled[-1].line]
        if skipped:
            what = f"blank {unit} was" if len(skipped) == 1 else f"blank {unit}s were"
            notes.append(f"{path}: {len(skipped)} {what} skipped (the first is {unit} {skipped[0]}).")
    return filled


def _header(path: Path, rows: list[Record], unit: str, notes: list[str]) -> tuple[list[str], list[Record]]:
    place = header_place(rows)
    header, body = rows[place], rows[place + 1 :]
    if place:
        shown = cell_text(rows[0].cells[0], str(path), "title")[:60]
        notes.append(f"{path}: {unit} {header.line} was taken as the header, and not the title above it ({shown!r}).")
    names = [cell_text(plain_cell(cell), f"{path}: {unit} {header.line}", "header").strip() for cell in header.cells]
    if not any(names):
        raise InputError(
            f"{path}:{header.line} is a header without names; name the columns, or give {parameter('no_header', True)}."
        )
    wider = sum(len(row.cells) > len(names) for row in body)
    if len(names) == 1 and not place and body and wider == len(body) and len(body) > 1:
        raise InputError(
            f"{path}:{header.line} has one cell, and all rows have more; remove the line if it is a title above the "
            f"header, or give {parameter('no_header', True)} if there is no header."
        )
    data = _data_cell_in_header(names, body)
    if data is not None:
        raise InputError(
            f"{path}:{header.line} looks like a row of data and not like columns' names ({data!r}); is there a header? "
            f"Give {parameter('no_header', True)} if not (and {parameter('column_names')}), or add one."
        )
    if names[0] and len(names) > 1 and not any(names[1:]) and any(_text(row, 1) for row in body):
        raise InputError(
            f"{path}:{header.line} names one of {len(names)} columns; name them all, or remove the line if it is a "
            "title above the header."
        )
    repeated = sorted(name for name, count in Counter(names).items() if count > 1 and name)
    if repeated:
        raise InputError(f"{path}:{header.line} names the column {repeated[0]!r} twice; rename one of them.")
    return names, body


def _data_cell_in_header(names: Sequence[str], body: Sequence[Record]) -> str | None:
    """Return a cell which shows that the header is a row of data, or None.

    The header is data if it has both a number and a text, or if it has several cells and all are texts. It is also data
    if one of its cells occurs in several rows of its column, where that column has few distinct values (as labels
    have), and the cell is a number or the header has a text. A text has four words or more, or it has a space and is
    long or ends as a sentence does.
    """
    texts = [name for name in names if _is_text(name)]
    numbers = [name for name in names if NUMBER.fullmatch(name)]
    named = [name for name in names if name]
    if named in _row_numbers(len(named)):
        return None  # a pandas frame whose columns are numbered
    if numbers and texts:
        return numbers[0]
    if len(names) > 1 and len(texts) == len(names) and body:
        return texts[0]
    for number, name in enumerate(names):
        if not name or not (texts or NUMBER.fullmatch(name)):
            continue
        counts = Counter(_text(row, number) for row in body)
        if counts[name] > 1 and 2 * len(counts) <= len(body):
            return name
    return None


def _even_rows(path: Path, names: Sequence[str], body: list[Record], unit: str, notes: list[str]) -> list[Record]:
    """Return the rows with one cell for each name. Raises InputError, with the place, for a row of another length."""
    size = len(names)
    found = {len(row.cells) for row in body}
    if len(found) == 1 and max(found) > size:
        if not any(_text(row, number) for row in body for number in range(size, max(found))):
            what = "an empty cell" if max(found) == size + 1 else f"{max(found) - size} empty cells"
            notes.append(f"{path}: each row ends in {what} that the header lacks, which was left out.")
            return [Record(row.line, row.last, row.cells[:size]) for row in body]
        first = [_text(row, 0) for row in body]
        if max(found) == size + 1 and first in _row_numbers(len(body)):
            notes.append(f"{path}: each row begins with its number, which the header lacks; it was left out.")
            return [Record(row.line, row.last, row.cells[1:]) for row in body]
    for row in body:
        if len(row.cells) != size:
            if unit == "row" and len(row.cells) < size:
                row.cells.extend([None] * (size - len(row.cells)))  # a sheet's rows were cut after their last value
                continue
            quotes = any(str(cell).startswith('"') for cell in row.cells)
            advice = "correct the row, or its quotes, which are read as text" if quotes else "correct the row"
            raise InputError(f"{path}:{row.line} has {len(row.cells)} cells where the header has {size}; {advice}.")
    return body


def _row_numbers(size: int) -> tuple[list[str], list[str]]:
    return [str(number) for number in range(size)], [str(number) for number in range(1, size + 1)]


def _name_columns(
    path: Path, names: Sequence[str], body: Sequence[Record], notes: list[str]
) -> tuple[list[str], list[int]]:
    """Return a name for each column, and the indices of the columns that are kept.

    Columns with neither a name nor content are left out. A first column without a name keeps the empty name, since it
    is the index of a pandas frame. Other columns without a name are named as pandas names them (``Unnamed: 2``).
    """
    known = list(names)
    kept, empty = [], 0
    for number, name in enumerate(names):
        if not name and number and not any(_text(row, number) for row in body):
            empty += 1
            continue
        if not name and number:
            known[number] = _unused_name(f"Unnamed: {number}", known)
            notes.append(f"{path}: column {number + 1} has no name; it is called {known[number]!r}.")
        kept.append(number)
    if empty:
        what = "column without a name was" if empty == 1 else "columns without a name were"
        notes.append(f"{path}: {empty} empty {what} left out.")
    return known, kept


def _unused_name(name: str, taken: Sequence[str]) -> str:
    return name if name not in taken else _unused_name(f"{name}.1", taken)


def _text(row: Record, number: int) -> str:
    cell = row.cells[number] if number < len(row.cells) else None
    return "" if cell is None else str(cell).strip()


def _is_space(cell: Any) -> bool:
    return isinstance(cell, str) and cell.isspace()


def _is_text(name: str) -> bool:
    long = len(name) > _MOST_NAME or name.endswith((".", "!", "?", "…"))
    return len(name.split()) >= _WORDS_OF_A_TEXT or (long and " " in name)


def _is_name(cell: Any) -> bool:
    text = "" if cell is None else str(cell).strip()
    return bool(text) and not _is_text(text) and not NUMBER.fullmatch(text) and "\n" not in text


def _is_title(row: Record) -> bool:
    """Whether a line of one cell is a title and no column name: it has several words, or begins like a comment."""
    text = _text(row, 0)
    return bool(re.search(r"\S\s+\S", text)) or text.startswith(("#", "//", "%"))
