"""Reading a data file with the format that its extension names."""

from collections.abc import Sequence
from pathlib import Path

from autoprompt.corpus.readers.content import COMPRESSED, check_file, extension, text_of
from autoprompt.corpus.readers.format import Format
from autoprompt.corpus.readers.options import FileOptions
from autoprompt.corpus.readers.table import Table
from autoprompt.errors import InputError
from autoprompt.registry import READERS

# Endings of formats that cannot be read, and how to convert such a file to one that can.
_CONVERSIONS = {
    ".xls": "save it as .xlsx or csv",
    ".ods": "save it as .xlsx or csv",
    ".zip": "unpack it (unzip FILE)",
    ".tar": "unpack it (tar xf FILE)",
    ".tgz": "unpack it (tar xf FILE)",
    ".orc": "run python -c \"import pandas; pandas.read_orc('FILE').to_parquet('FILE.parquet')\"",
    ".dta": "run python -c \"import pandas; pandas.read_stata('FILE').to_parquet('FILE.parquet')\"",
    ".sav": "run python -c \"import pandas; pandas.read_spss('FILE').to_parquet('FILE.parquet')\"",
    ".xml": "run python -c \"import pandas; pandas.read_xml('FILE').to_parquet('FILE.parquet')\"",
    ".pkl": "write it as parquet where you trust it (pandas.read_pickle runs the code in it)",
    ".pickle": "write it as parquet where you trust it (pandas.read_pickle runs the code in it)",
}


def format_names(*, extras: bool = False) -> str:
    """The names of all formats, for use in a sentence: "csv, tsv, ... or xlsx".

    ``extras``: with the extra that a format needs: "xlsx (extra: excel)".
    """
    *others, last = (_named(name) if extras else name for name in READERS)
    return f"{', '.join(others)} or {last}"


def _named(name: str) -> str:
    known: Format = READERS[name]
    return f"{name} (extra: {known.extra})" if known.extra else name


def read_table(path: Path, options: FileOptions | None = None) -> Table:
    """Read one data file.

    Raises InputError, with file and line, for a file that cannot be read as it is, and UsageError where the extra of
    its format is not installed.
    """
    options = FileOptions() if options is None else options
    known = _readable(path)
    options.check_taken(str(path), known.options)
    try:
        check_file(path)
        table = known.read(path, options)
    except OSError as error:
        raise _unreadable(path, error) from error
    if not table.rows:
        raise InputError(f"{path} holds no rows of data; give a file with rows.")
    return table


def read_lines(path: Path, column: str, options: FileOptions | None = None) -> Table:
    """Read a text file with one text a line, as the column ``column``. Raises InputError as ``read_table`` does."""
    options = FileOptions() if options is None else options
    options.check_taken(f"{path}, a text a line,", frozenset({"encoding"}))
    try:
        check_file(path)
        lines = text_of(path, options).split("\n")
    except OSError as error:
        raise _unreadable(path, error) from error
    if not lines[-1]:
        lines.pop()
    rows = tuple({column: line.removesuffix("\r")} for line in lines)
    return Table(str(path), (column,), rows, tuple(f"line {number}" for number in range(1, len(rows) + 1)))


def read_inputs(path: Path, fields: Sequence[str], options: FileOptions | None = None) -> Table:
    """Read a file of rows without labels, to be predicted: a txt file has one text a line, any other file is a table.

    Raises InputError and UsageError as ``read_table`` does.
    """
    if extension(path) != ".txt":
        return read_table(path, options)
    if len(fields) > 1:
        raise InputError(f"{path} has one text a line, and the prompt has the fields {', '.join(fields)}; use csv.")
    return read_lines(path, fields[0], options)


def is_data_file(path: Path) -> bool:
    """Whether the name has the extension of a data file format."""
    name = _format_of(path)
    return name is not None and _fits(path, READERS[name])


def _format_of(path: Path) -> str | None:
    """The name of the first format with the file's extension, so that an installed package replaces none of ours."""
    return next((name for name, known in READERS.items() if extension(path) in known.extensions), None)


def _fits(path: Path, known: Format) -> bool:
    """Whether the format can be read as the file is compressed, or is not."""
    return known.compressed or path.suffix.lower() not in COMPRESSED


def _readable(path: Path) -> Format:
    """The format of a file. Raises InputError."""
    name = _format_of(path)
    if name is None:
        advice = _CONVERSIONS.get(extension(path), _CONVERSIONS.get(path.suffix.lower(), "convert it to one of these"))
        raise InputError(f"{path} is no {format_names()} file; {advice.replace('FILE', path.name)}.")
    known: Format = READERS[name]
    if not _fits(path, known):
        raise InputError(f"{path} is a compressed {name} file, which is read as it is only; decompress it.")
    return known


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path} cannot be read: {error.strerror or error}; check the path.")
