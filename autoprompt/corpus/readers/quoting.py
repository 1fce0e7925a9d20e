"""Double quotes in delimited files: whether they enclose cells, are part of the text, or swallow rows.

In a csv file quotes enclose cells, as the format says. In a tsv file quotes are part of the text (as in GLUE, IMDb and
most tsv files), unless a writer's quoting rule explains the whole file. The rules: quote whole columns, except numbers
and missing cells; or quote only the cells that need it, which hold a tab, a quote or a line break (Python, pandas), or
also a comma (Excel).
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_MISSING = frozenset({"", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", r"\N"})
_NEED_QUOTES = frozenset('\t"\r\n')
_RARE = 0.05
_SURE_LINES = 3


@dataclass(frozen=True)
class Record:
    """The cells of one row, and the lines (from 1) on which it begins and ends."""

    line: int
    last: int
    cells: list[Any]


class MalformedError(ValueError):
    """Raised for quotes that do not close, or close too early. ``line``: the line where the row begins."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def split_records(text: str, delimiter: str, *, quoted: bool) -> list[Record]:
    """Return the rows of a text; blank lines are records without cells. Raises MalformedError for wrong quotes."""
    # The csv module limits a cell's length, but long texts are valid. The limit is global, so restore it afterwards.
    limit = csv.field_size_limit(max(len(text), 1 << 17))
    try:
        return list(_records(text, delimiter, quoted))
    finally:
        csv.field_size_limit(limit)


def _records(text: str, delimiter: str, quoted: bool) -> Iterator[Record]:
    lines = io.StringIO(text, newline="")
    if quoted:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
    else:
        reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise MalformedError(start, str(error)) from error
        yield Record(start, reader.line_num, cells)


def tab_records(text: str, delimiter: str) -> list[Record]:
    """Return the rows of a tsv text. Quotes enclose cells only if one rule explains all of them (see the module)."""
    plain = split_records(text, delimiter, quoted=False)
    if '"' not in text:
        return plain
    flags = _quoted_cells(text, delimiter)
    if flags is None or not _is_quoted(flags):
        return plain
    try:
        quoted = split_records(text, delimiter, quoted=True)
    except MalformedError:
        return plain
    width = len(plain[0].cells)
    if len(quoted) != len(plain) and width > 1 and all(len(row.cells) in (0, width) for row in plain):
        return plain  # without quoting, every line is a complete row
    return plain if find_swallowed_rows(text, quoted, delimiter).sure else quoted


def _quoted_cells(text: str, delimiter: str) -> list[list[tuple[str, bool]]] | None:
    """Return each row's cells, each with whether it was quoted; None where the quotes are malformed."""
    outside = re.escape(delimiter)
    cell = re.compile(rf'(?:"([^"]*+(?:""[^"]*+)*+)"|([^{outside}\r\n]*))({outside}|\r\n|\r|\n|\Z)')
    rows: list[list[tuple[str, bool]]] = []
    row: list[tuple[str, bool]] = []
    place = 0
    while place < len(text):
        match = cell.match(text, place)
        if match is None:
            return None
        inside, bare, end = match.groups()
        row.append((bare, False) if inside is None else (inside, True))
        place = match.end()
        if end != delimiter:
            rows.append(row)
            row = []
    if row:
        rows.append([*row, ("", False)])
    return rows


def _is_quoted(rows: Sequence[Sequence[tuple[str, bool]]]) -> bool:
    cells = [cell for row in rows for cell in row]
    for needing in (_NEED_QUOTES, _NEED_QUOTES | {","}):
        if all(quoted != needing.isdisjoint(text) for text, quoted in cells):
            return True
    return _is_quoted_by_column(rows) or _is_quoted_by_column(rows[1:])  # the header may be unquoted


def _is_quoted_by_column(rows: Sequence[Sequence[tuple[str, bool]]]) -> bool:
    columns: dict[int, set[bool]] = {}
    for row in rows:
        for number, (text, quoted) in enumerate(row):
            if quoted or not (text in _MISSING or NUMBER.fullmatch(text)):
                columns.setdefault(number, set()).add(quoted)
    return any(found == {True} for found in columns.values()) and all(len(found) == 1 for found in columns.values())


@dataclass(frozen=True)
class SwallowedRows:
    """Rows that may have swallowed others between two stray quotes; None where there is no such row.

    ``sure``: the first row that surely did. ``possible``: the first that may have, judged by its own lines alone.
    """

    sure: Record | None = None
    possible: Record | None = None


def find_swallowed_rows(text: str, records: Sequence[Record], delimiter: str) -> SwallowedRows:
    """Return the rows that look as if stray quotes made them swallow other rows.

    Such a row spans several lines that, read without quotes, are rows themselves: they have as many cells as the
    header. The case is sure where these lines have a value of other rows in a column of few values (such as the label
    column). Where no column has few values, it is sure if the row spans three lines or more and at most one row in
    twenty spans several lines. For a header, it is sure where a name holds both a line break and a delimiter.
    """
    spanning = [row for row in records if row.last > row.line and row.cells]
    if not spanning:
        return SwallowedRows()
    header = next(row for row in records if row.cells)
    if any("\n" in cell and delimiter in cell for cell in header.cells):
        return SwallowedRows(sure=header)
    width = len(header.cells)
    single = [row.cells for row in records if row.last == row.line and len(row.cells) == width][1:]
    known = _known_values(single, width)
    rare = len(spanning) <= max(1, _RARE * len(records))
    lines = list(io.StringIO(text, newline=""))
    possible = None
    for row in spanning:
        parts = [_bare_cells(line, delimiter) for line in lines[row.line - 1 : row.last]]
        alike = [cells for cells in parts if len(cells) == width]
        many = len(parts) >= _SURE_LINES
        if known:
            like = [cells for cells in parts[:-1] if len(cells) == width and _has_known(cells, known)]
            if 2 * len(like) >= len(parts) - 1 and len(alike) > len(parts) / 2:
                return SwallowedRows(sure=row)
        elif rare and many and len(alike) == len(parts):
            return SwallowedRows(sure=row)
        if len(alike) == len(parts) and (rare or many or not known):
            possible = possible or row
    return SwallowedRows(possible=possible)


def _known_values(rows: Sequence[Sequence[str]], width: int) -> dict[int, set[str]]:
    """Column number -> the values that occur in more than one row, for columns of few distinct values."""
    known = {}
    for number in range(width):
        counts = Counter(row[number] for row in rows)
        values = {value for value, count in counts.items() if count > 1 and value.strip()}
        if values and 2 * len(counts) <= len(rows):
            known[number] = values
    return known


def _bare_cells(line: str, delimiter: str) -> list[str]:
    return [cell.strip('"') for cell in line.rstrip("\r\n").split(delimiter)]


def _has_known(cells: Sequence[str], known: dict[int, set[str]]) -> bool:
    return any(cells[number] in values for number, values in known.items())
