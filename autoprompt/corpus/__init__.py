"""Loading, checking, splitting, sampling and fingerprinting of data; the cards of the embedded corpora."""

from autoprompt.corpus.cards import Card, card, has_card, list_cards
from autoprompt.corpus.cells import is_missing
from autoprompt.corpus.loading import from_rows, from_rows_unsplit, load, load_unsplit
from autoprompt.corpus.options import UNLABELED_ROWS, Reading
from autoprompt.corpus.readers import FileOptions, Table, check_characters, format_names, json_row, read_inputs
from autoprompt.corpus.split_names import UNLABELED
from autoprompt.corpus.types import SPLITS, Corpus, Example, normalised
from autoprompt.corpus.unlabelled import as_rows, inputs, require_columns

__all__ = [
    "SPLITS",
    "UNLABELED",
    "UNLABELED_ROWS",
    "Card",
    "Corpus",
    "Example",
    "FileOptions",
    "Reading",
    "Table",
    "as_rows",
    "card",
    "check_characters",
    "format_names",
    "from_rows",
    "from_rows_unsplit",
    "has_card",
    "inputs",
    "is_missing",
    "json_row",
    "list_cards",
    "load",
    "load_unsplit",
    "normalised",
    "read_inputs",
    "require_columns",
]
