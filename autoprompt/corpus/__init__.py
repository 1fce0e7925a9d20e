"""Loading, checking, splitting, sampling and fingerprinting of labelled data; the cards of the embedded corpora."""

from autoprompt.corpus.cards import Card, card, list_cards
from autoprompt.corpus.cells import is_missing
from autoprompt.corpus.loading import load, of, rows_of, whole
from autoprompt.corpus.options import Reading
from autoprompt.corpus.types import Corpus, Example, normalised
from autoprompt.corpus.unlabelled import given, inputs, require_columns

__all__ = [
    "Card",
    "Corpus",
    "Example",
    "Reading",
    "card",
    "given",
    "inputs",
    "is_missing",
    "list_cards",
    "load",
    "normalised",
    "of",
    "require_columns",
    "rows_of",
    "whole",
]
