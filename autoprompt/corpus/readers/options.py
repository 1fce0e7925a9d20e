"""``FileOptions``: a user's options for reading a data file."""

import codecs
from dataclasses import dataclass, fields

from autoprompt.errors import InputError, UsageError, parameter

_TYPED = {"\\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}


@dataclass(frozen=True)
class FileOptions:
    """How to read a data file. Raises UsageError for impossible values.

    ``encoding``: for text without a byte order mark; None means UTF-8. ``delimiter``: one character between cells;
    None means that the reader detects it. ``no_header``: the first row is data, and the columns are called
    ``column_names`` (separated by commas; they imply ``no_header``) or column1, column2 and so on.
    """

    encoding: str | None = None
    delimiter: str | None = None
    no_header: bool = False
    column_names: str | None = None

    def __post_init__(self) -> None:
        """Check the values, and set what they imply: the character of a named delimiter, ``no_header``."""
        if self.encoding is not None:
            _check_encoding(self.encoding)
        if self.delimiter is not None:
            character = _TYPED.get(self.delimiter, self.delimiter)
            if len(character) != 1 or character in '"\r\n\0' or "\ud800" <= character <= "\udfff":
                raise UsageError(
                    f"{parameter('delimiter')} is {self.delimiter!r}; give one character other than a double quote "
                    "or a line break "
                    "(tab is a tabulator)."
                )
            object.__setattr__(self, "delimiter", character)
        names = self.names
        if names and (not all(names) or len(set(names)) < len(names)):
            raise UsageError(
                f"{parameter('column_names')} is {self.column_names!r}; give a different name for each column."
            )
        if self.column_names is not None:
            object.__setattr__(self, "no_header", True)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns; empty where they are not given."""
        if self.column_names is None:
            return ()
        return tuple(name.strip() for name in self.column_names.split(","))

    def check_taken(self, source: str, taken: frozenset[str]) -> None:
        """Raise InputError for an option that is set but not in ``taken``, the fields that the format uses."""
        for field in fields(self):
            if getattr(self, field.name) != field.default and field.name not in taken:
                option = parameter(field.name)
                raise InputError(f"{source} takes no {option}, since its format says it already; leave {option} out.")


def _check_encoding(name: str) -> None:
    try:
        codecs.lookup(name)
        b"a".decode(name)  # refuses codecs that do not decode to text
    except UnicodeDecodeError:
        return  # one byte is too short for UTF-16, which is a text encoding
    except (LookupError, ValueError) as error:
        raise UsageError(
            f"{parameter('encoding')} is {name!r}, which is not a text encoding of Python; give one such as "
            "cp1252 or utf-16."
        ) from error
