"""``FileOptions``: what a user says about a data file that the file does not say itself."""

import codecs
from dataclasses import dataclass, fields

from autoprompt.errors import InputError, UsageError

_TYPED = {"\\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}


@dataclass(frozen=True)
class FileOptions:
    """``encoding``: of text without a byte order mark; None is UTF-8. ``delimiter``: between cells, one character;
    None is found out. ``no_header``: the first row is data, and columns are called ``column_names`` (with commas
    between them; they imply ``no_header``) or column1, column2 ... Raises UsageError for impossible values.
    """

    encoding: str | None = None
    delimiter: str | None = None
    no_header: bool = False
    column_names: str | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        if self.encoding is not None:
            _check_encoding(self.encoding)
        if self.delimiter is not None:
            character = _TYPED.get(self.delimiter, self.delimiter)
            if len(character) != 1 or character in '"\r\n\0' or "\ud800" <= character <= "\udfff":
                raise UsageError(
                    f"--delimiter is {self.delimiter!r}; give one character other than a double quote or a line break "
                    "(tab is a tabulator)."
                )
            object.__setattr__(self, "delimiter", character)
        names = self.names
        if names and (not all(names) or len(set(names)) < len(names)):
            raise UsageError(f"--column-names is {self.column_names!r}; give a different name for each column.")
        if self.column_names is not None:
            object.__setattr__(self, "no_header", True)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names; none where they are not given."""
        if self.column_names is None:
            return ()
        return tuple(name.strip() for name in self.column_names.split(","))

    def check_taken(self, source: str, taken: frozenset[str]) -> None:
        """Raise InputError for an option that a format does not take. ``taken``: names of options."""
        for field in fields(self):
            if getattr(self, field.name) != field.default and field.name not in taken:
                option = f"--{field.name.replace('_', '-')}"
                raise InputError(f"{source} takes no {option}, since its format says it already; leave {option} out.")


def _check_encoding(name: str) -> None:
    try:
        codecs.lookup(name)
        b"a".decode(name)  # refuses codecs that decode to no text
    except UnicodeDecodeError:
        return  # UTF-16 has two bytes a character
    except (LookupError, ValueError) as error:
        raise UsageError(
            f"--encoding is {name!r}, which is no text encoding known to Python; give one such as cp1252 or utf-16."
        ) from error
