"""Reader of xlsx workbooks, through openpyxl (extra: excel)."""

import importlib
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

from autoprompt.corpus.cells import check_characters, plain_cell
from autoprompt.corpus.readers.content import limit_of
from autoprompt.corpus.readers.format import Format
from autoprompt.corpus.readers.header import MOST_COLUMNS, table_from_records
from autoprompt.corpus.readers.options import FileOptions
from autoprompt.corpus.readers.quoting import Record
from autoprompt.corpus.readers.table import Table
from autoprompt.errors import InputError, UsageError, first_line
from autoprompt.registry import READERS

_MOST_ROWS = 1 << 20
"""Excel's own limit."""


def read_excel(path: Path, options: FileOptions) -> Table:
    """Return the rows of the workbook's only sheet with content; formulas give the values that were stored with them.

    Raises InputError for several such sheets and for a file that is no workbook, UsageError without the extra.
    """
    try:
        openpyxl: Any = importlib.import_module("openpyxl")
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{path} is an Excel workbook, which needs the extra excel: pip install 'autoprompt-engine[excel]', "
            "or save it as csv."
        ) from error
    _check_size(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about charts and styles that openpyxl does not support
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            sheets = {sheet.title: _records(path, sheet) for sheet in book.worksheets}
            book.close()
    except (InputError, OSError):
        raise
    # A workbook is a zip archive of XML files; for malformed ones openpyxl raises errors of many kinds.
    except (ValueError, LookupError, TypeError, AttributeError, SyntaxError, EOFError, RuntimeError,
            ArithmeticError, AssertionError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:  # fmt: skip
        raise InputError(f"{path} is not a readable workbook ({first_line(error)}); save it again.") from error
    filled = {title: records for title, records in sheets.items() if records}
    if len(filled) > 1:
        raise InputError(
            f"{path} has rows in several sheets ({', '.join(map(repr, filled))}); keep one of them, or save it as csv."
        )
    records = next(iter(filled.values()), [])
    for row in records:
        check_characters({"cells": row.cells}, f"{path}: row {row.line}")
    return table_from_records(path, records, options, "row", ())


def _check_size(path: Path) -> None:
    """Raise InputError if the uncompressed size that the archive states is above the limit for a file of its size."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(part.file_size for part in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError, UnicodeError) as error:
        raise InputError(f"{path} is not a readable workbook ({first_line(error)}); save it again.") from error
    limit = limit_of(path.stat().st_size)
    if size > limit:
        raise InputError(f"{path} expands to more than {limit >> 20} MiB; save it as csv if it is meant to.")


def _records(path: Path, sheet: Any) -> list[Record]:
    """The rows up to the last one with a value, each up to its last cell with a value."""
    records = []
    for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
        cells = [plain_cell(cell) for cell in row]
        while cells and (cells[-1] is None or cells[-1] == ""):
            cells.pop()
        if number > _MOST_ROWS or len(cells) > MOST_COLUMNS:
            raise InputError(f"{path} has more rows or columns than a sheet can have; save it as csv.")
        records.append(Record(number, number, cells))
    while records and not records[-1].cells:
        records.pop()
    return records


READERS.register("xlsx")(
    Format((".xlsx", ".xlsm"), read_excel, frozenset({"no_header", "column_names"}), compressed=False, extra="excel")
)
