"""Loading, checking, splitting, sampling and fingerprinting of labelled data; the cards of the embedded corpora."""

from autoprompt.corpus.cards import Card, card, list_cards
from autoprompt.corpus.cells import is_missing
from autoprompt.corpus.loading import from_rows, from_rows_unsplit, load, load_unsplit
from autoprompt.corpus.options import Reading
from autoprompt.corpus.types import Corpus, Example, normalised
from autoprompt.corpus.unlabelled import as_rows, inputs, require_columns

__all__ = [
    "Card",
    "Corpus",
    "Example",
    "Reading",
    "as_rows",
    "card",
    "from_rows",
    "from_rows_unsplit",
    "inputs",
    "is_missing",
    "list_cards",
    "load",
    "load_unsplit",
    "normalised",
    "require_columns",
]
