"""A fine-tune and what it says of other rows, as a search's workers do it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from autoprompt.candidate import Candidate
from autoprompt.corpus import Example
from autoprompt.models import LanguageModel
from autoprompt.models.types import Delta


def gold(rows: Sequence[Example], labels: Sequence[str]) -> list[int]:
    """Label indices."""
    return [labels.index(row.label) for row in rows]


def tuned(
    model: LanguageModel, candidate: Candidate, rows: Sequence[Example], labels: Sequence[str], seed: int = 0
) -> Delta:
    """What a fine-tune with the candidate's settings learns."""
    return model.tune(model.prompt(candidate, rows), gold(rows, labels), candidate.settings, seed)


def scores(model: LanguageModel, candidate: Candidate, delta: Delta, rows: Sequence[Example]) -> Tensor:
    """Log-probabilities [rows, labels] with the fine-tune in place."""
    prompted = model.prompt(candidate, rows)
    with model.adapted(candidate.settings, delta):
        return model.score(prompted)
