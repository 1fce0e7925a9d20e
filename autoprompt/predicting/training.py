"""Rows with their labels, and a fine-tune on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autoprompt import corpus as corpora
from autoprompt.candidate import Candidate
from autoprompt.corpus import Corpus, Example
from autoprompt.errors import InputError
from autoprompt.models import LanguageModel
from autoprompt.models.types import Delta
from autoprompt.predicting.predictor import Predictor, failures


def labelled(
    rows: Any, fields: Sequence[str], label_column: str, labels: Sequence[str], *, name: str, trains: bool
) -> Corpus:
    """Rows as ``PromptModel.fit`` takes them, for a prompt that is there. Without ``labels`` the column holds target
    texts. Raises UsageError, InputError for rows without a field, and for labels that are none of those."""
    corpus = corpora.whole(
        rows,
        name=name,
        text_column=",".join(fields),
        label_column=label_column if labels else None,
        target_column=None if labels else label_column,
        trains=trains,
    )
    unknown = sorted({row.label for row in corpus.train} - set(labels)) if labels else []
    if unknown:
        raise InputError(f"The {name} rows have the labels {unknown}, which the training rows do not have.")
    return corpus


def tuned(model: LanguageModel, candidate: Candidate, rows: Sequence[Example], labels: Sequence[str],
          fields: Sequence[str], seed: int) -> Delta:  # fmt: skip
    """What a fine-tune changed; the solved examples are no training rows. Other threads wait until it is done.

    Raises InputError where they leave none, NothingSucceededError for a fine-tune that diverged.
    """
    if candidate.settings.tuning == "none":
        return {}
    solved = {demo.row_id for demo in candidate.demos}
    rows = [row for row in rows if row.row_id not in solved]
    if not rows:
        raise InputError("The solved examples leave no rows to train on; ask for fewer of them.")
    gold = [labels.index(row.label) if labels else 0 for row in rows]
    with failures("The fine-tune failed"):
        with model.exclusive(), model.passing_prefixes():
            delta = model.tune(model.prompt(candidate, rows), gold, candidate.settings, seed)
        # The last step may have been the one too far.
        Predictor(model, candidate, tuple(labels), tuple(fields), delta).scores(rows[:1])
    return delta
