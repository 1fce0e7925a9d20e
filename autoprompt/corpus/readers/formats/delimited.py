"""Readers of csv and tsv files, and of txt files that hold a table."""

import re
from functools import partial
from pathlib import Path

from autoprompt.corpus.readers.content import text_of
from autoprompt.corpus.readers.format import Format
from autoprompt.corpus.readers.header import header_place, table_from_records
from autoprompt.corpus.readers.options import FileOptions
from autoprompt.corpus.readers.quoting import (
    MalformedError,
    Record,
    SwallowedRows,
    find_swallowed_rows,
    split_records,
    tab_records,
)
from autoprompt.corpus.readers.table import Table
from autoprompt.errors import InputError, parameter
from autoprompt.registry import READERS

_OPTIONS = frozenset({"encoding", "delimiter", "no_header", "column_names"})
_DELIMITERS = (",", ";", "\t", "|")
_NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}
_TIGHT_COMMA = re.compile(r",(?! )")
# The ``sep=;`` line for Excel above the header.
_SEP = re.compile(r'"?sep=([^\r\n"])"?[,;\t|]*(?=\r|\n|\Z)', re.IGNORECASE)


def read_delimited(path: Path, options: FileOptions, usual: str) -> Table:
    """Return the rows of a file whose delimiter is ``usual``, unless the file or ``options`` say otherwise.

    Another delimiter is chosen where the first line contains it, all rows then have equally many cells, and ``usual``
    does not fit. Raises InputError, with the line, for wrong quotes and for rows of another length than the header.
    """
    text = text_of(path, options)
    said = _SEP.match(text)
    notes = []
    if said:
        text = text[said.end() :]  # the line break stays, so that line numbers stay those of the file
    delimiter = options.delimiter or (said[1] if said else None)
    if delimiter is None:
        delimiter = _find_delimiter(path, text, usual, options)
        if delimiter != usual:
            notes.append(f"{path} was read with {_NAMES[delimiter]} between cells.")
    try:
        records = _split(text, delimiter)
    except MalformedError as error:
        raise InputError(
            f"{path}:{error.line} is malformed ({error}); correct the quotes of the row, or double those that belong "
            "to the text."
        ) from error
    records = [row for row in records if row.cells or row.line > 1] if said else records
    if delimiter != "\t":
        notes += _check_swallowed_rows(path, find_swallowed_rows(text, records, delimiter))
    return table_from_records(path, records, options, "line", tuple(notes))


def _check_swallowed_rows(path: Path, found: SwallowedRows) -> list[str]:
    """Return a note for a row that may have swallowed others. Raises InputError for one that surely has."""
    if found.sure is not None:
        raise InputError(
            f"{path}:{found.sure.line} opens a quote that closes in line {found.sure.last}, over lines that look like "
            "rows of their own; remove or double the stray quotes, or give the file as jsonl if it is one text."
        )
    if found.possible is None:
        return []
    row = found.possible
    return [f"{path}: lines {row.line} to {row.last} are one row; correct their quotes if they are several."]


def _split(text: str, delimiter: str) -> list[Record]:
    return tab_records(text, delimiter) if delimiter == "\t" else split_records(text, delimiter, quoted=True)


def _find_delimiter(path: Path, text: str, usual: str, options: FileOptions) -> str:
    first = next((line for line in re.split(r"[\r\n]+", text, maxsplit=8) if line.strip()), "")
    others = [other for other in _DELIMITERS if other != usual and other in first]
    # Commas that are all followed by a space are punctuation where another delimiter fits.
    prose = usual == "," and not _TIGHT_COMMA.search(text)
    if not others or (not prose and _fits(text, usual, options)):
        return usual
    fitting = {other: count for other in others if (count := _fits(text, other, options))}
    if not fitting:
        likely = [other for other in others if usual not in first and _mostly_fits(text, other)]
        return likely[0] if len(likely) == 1 else usual  # table_from_records() then refuses the odd row, with its line
    best = max(fitting, key=fitting.__getitem__)
    if sum(count == fitting[best] for count in fitting.values()) > 1:
        raise InputError(
            f"{path} can be read with {' or '.join(_NAMES[other] for other in fitting)} between cells; "
            f"name one with {parameter('delimiter')}."
        )
    return best


def _fits(text: str, delimiter: str, options: FileOptions) -> int:
    """The number of columns, if there are at least two and all rows have a cell for each; otherwise 0."""
    try:
        records = [row for row in _split(text, delimiter) if row.cells]
    except MalformedError:
        return 0
    first = 0 if options.no_header else header_place(records)
    if len(records) <= first:
        return 0
    count = len(records[first].cells)
    extra = {len(row.cells) - count for row in records[first + 1 :]}
    even = extra <= {0} or (len(extra) == 1 and not any(any(row.cells[count:]) for row in records[first + 1 :]))
    return count if even and count > 1 and min(extra, default=0) >= 0 else 0


def _mostly_fits(text: str, delimiter: str) -> bool:
    """Whether most rows have as many cells as the first one, all lines have, or the quotes are malformed."""
    lines = [len(row.cells) for row in split_records(text, delimiter, quoted=False) if row.cells]
    if lines[0] > 1 and lines.count(lines[0]) == len(lines):  # two stray quotes may make one row of many lines
        return True
    try:
        found = [len(row.cells) for row in _split(text, delimiter) if row.cells]
    except MalformedError:
        return True
    return found[0] > 1 and 2 * found.count(found[0]) > len(found)


def _read_text_table(path: Path, options: FileOptions) -> Table:
    table = read_delimited(path, options, "\t")
    if len(table.columns) < 2 and options.delimiter is None:
        raise InputError(f"{path} has a text a line and no columns; give a csv, tsv or jsonl file with the labels.")
    return table


READERS.register("csv")(Format((".csv",), partial(read_delimited, usual=","), _OPTIONS))
READERS.register("tsv")(Format((".tsv", ".tab"), partial(read_delimited, usual="\t"), _OPTIONS))
READERS.register("txt")(Format((".txt",), _read_text_table, _OPTIONS))
