"""Readers of data files in all formats; each returns a ``Table``, with the place of every row for messages.

No row is skipped or merged silently. Cells stay text ("NA" and "null" are text), a malformed row is an error that
names its line, and ``Table.notes`` says what a reader assumed. ``formats`` has a module for each kind of file; a new
one is a module there.
"""

from autoprompt.corpus.cells import check_characters
from autoprompt.corpus.readers.json_rows import json_row
from autoprompt.corpus.readers.options import FileOptions
from autoprompt.corpus.readers.reading import format_names, is_data_file, read_inputs, read_lines, read_table
from autoprompt.corpus.readers.table import Table, join_tables

__all__ = [
    "FileOptions",
    "Table",
    "check_characters",
    "format_names",
    "is_data_file",
    "join_tables",
    "json_row",
    "read_inputs",
    "read_lines",
    "read_table",
]
