"""Loading, checking, splitting, sampling and fingerprinting of labelled data; the cards of the embedded corpora."""

from autoprompt.corpus.cards import Card, card, has_card, list_cards
from autoprompt.corpus.cells import is_missing
from autoprompt.corpus.loading import load, of, rows_of, whole
from autoprompt.corpus.options import Reading
from autoprompt.corpus.readers import FileOptions, Table, check_characters, format_names, json_row, read_inputs
from autoprompt.corpus.types import SPLITS, Corpus, Example, normalised
from autoprompt.corpus.unlabelled import given, inputs, require_columns

__all__ = [
    "SPLITS",
    "Card",
    "Corpus",
    "Example",
    "FileOptions",
    "Reading",
    "Table",
    "card",
    "check_characters",
    "format_names",
    "given",
    "has_card",
    "inputs",
    "is_missing",
    "json_row",
    "list_cards",
    "load",
    "normalised",
    "of",
    "read_inputs",
    "require_columns",
    "rows_of",
    "whole",
]
