"""``Reading``: the options for turning rows into a corpus."""

from dataclasses import dataclass

from autoprompt.corpus.readers import FileOptions
from autoprompt.errors import UsageError, parameter

UNLABELED_ROWS = 128
"""The most rows without labels that a corpus has unless told otherwise."""


@dataclass(frozen=True)
class Reading:
    """The options of ``load`` and ``from_rows``. Raises UsageError for impossible ones.

    ``text_column``, ``label_column`` and ``target_column`` name columns. With a ``target_column`` the corpus is for
    generation, and ``Example.label`` is the target text. A source without splits gives ``shots`` rows per class to
    train and as many to validation, drawn with ``seed``; for generation it gives twice ``shots`` rows to each (with 16:
    32 and 32), as two classes would. The rest is test, at most ``test_rows``. Of what is left then, validation takes
    more, as many of each class, up to ``validation_rows`` in all.
    ``drop_empty`` drops rows with a blank text or label; ``drop_duplicates`` drops rows whose text has several labels
    or also occurs in an earlier split. Without these options such rows are errors. ``encoding``, ``delimiter``,
    ``no_header`` and ``column_names`` are those of ``FileOptions``, for sources that are files. ``unlabeled`` is a data
    file of rows without labels (or whose labels are not looked at); ``unlabeled_rows`` is the most such rows that a
    corpus has, 0 for none.
    """

    shots: int = 16
    seed: int = 0
    text_column: str | None = None
    label_column: str | None = None
    target_column: str | None = None
    drop_empty: bool = False
    drop_duplicates: bool = False
    test_rows: int = 400
    validation_rows: int = 0
    encoding: str | None = None
    delimiter: str | None = None
    no_header: bool = False
    column_names: str | None = None
    unlabeled: str | None = None
    unlabeled_rows: int = UNLABELED_ROWS

    @property
    def file_options(self) -> FileOptions:
        """The options for reading data files. Raises UsageError for impossible values."""
        return FileOptions(self.encoding, self.delimiter, self.no_header, self.column_names)

    def check_no_file(self, source: str) -> None:
        """Raise UsageError if options about files are set; called for a ``source`` that is no file."""
        if self.file_options != FileOptions():
            raise UsageError(
                f"{source} is not a data file; leave {parameter('encoding')}, {parameter('delimiter')}, "
                f"{parameter('no_header')} and {parameter('column_names')} out."
            )

    def __post_init__(self) -> None:
        if self.shots < 1 or self.test_rows < 0:
            raise UsageError(
                f"{parameter('shots')} must be at least 1 and {parameter('test_rows')} at least 0, not {self.shots} "
                f"and {self.test_rows}."
            )
        for name in ("unlabeled_rows", "validation_rows"):
            if getattr(self, name) < 0:
                raise UsageError(f"{parameter(name)} must be at least 0, not {getattr(self, name)}.")
        if self.label_column is not None and self.target_column is not None:
            raise UsageError(
                f"{parameter('label_column')} and {parameter('target_column')} exclude each other; give one of them."
            )
        _ = self.file_options
