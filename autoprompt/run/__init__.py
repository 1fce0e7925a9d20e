"""Composition root: search, evaluation, verification, refinement and export, each from options to result."""

from autoprompt.corpus import UNLABELED_ROWS
from autoprompt.run.ensemble import export_ensemble
from autoprompt.run.evaluating import evaluate, transfer
from autoprompt.run.exporting import export, load_entry, prompt_of, winner_of
from autoprompt.run.in_memory import rows_of, source_of
from autoprompt.run.inputs import check_options, given_words, with_drawn_demos, words_for
from autoprompt.run.options import (
    DEFAULT_BUDGET,
    DEFAULT_MODEL,
    DataOptions,
    ModelOptions,
    PlaceOptions,
    Progress,
    SearchOptions,
    budget_of,
)
from autoprompt.run.refining import refine
from autoprompt.run.searching import resume, search
from autoprompt.run.verifying import verify, verify_run
from autoprompt.run.warm_start import export_bundle
from autoprompt.terminal import DEFAULT_LEADERBOARD

__all__ = [
    "DEFAULT_BUDGET",
    "DEFAULT_LEADERBOARD",
    "DEFAULT_MODEL",
    "UNLABELED_ROWS",
    "DataOptions",
    "ModelOptions",
    "PlaceOptions",
    "Progress",
    "SearchOptions",
    "budget_of",
    "check_options",
    "evaluate",
    "export",
    "export_bundle",
    "export_ensemble",
    "given_words",
    "load_entry",
    "prompt_of",
    "refine",
    "resume",
    "rows_of",
    "search",
    "source_of",
    "transfer",
    "verify",
    "verify_run",
    "winner_of",
    "with_drawn_demos",
    "words_for",
]
