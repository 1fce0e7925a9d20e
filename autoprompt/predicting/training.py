"""Labelled rows for an existing prompt, and a fine-tune on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autoprompt import corpus as corpora
from autoprompt.candidate import Candidate
from autoprompt.corpus import Corpus, Example
from autoprompt.errors import InputError
from autoprompt.models import Delta, LanguageModel
from autoprompt.predicting.predictor import Predictor, failures


def labelled(
    rows: Any, fields: Sequence[str], label_column: str, labels: Sequence[str], *, name: str, trains: bool
) -> Corpus:
    """Return rows, as ``PromptModel.fit`` takes them, as a corpus for an existing prompt. Without ``labels`` the column
    holds target texts. Raises UsageError, and InputError for rows without a field and for labels not in ``labels``."""
    corpus = corpora.from_rows_unsplit(
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
    """Return what a fine-tune changed. Demonstrations are not trained on. Other threads wait until it is done.

    Raises InputError where no rows are left to train on, NothingSucceededError for a fine-tune that diverged.
    """
    if candidate.settings.tuning == "none":
        return {}
    solved = {demo.row_id for demo in candidate.demos}
    rows = [row for row in rows if row.row_id not in solved]
    if not rows:
        raise InputError("The solved examples leave no rows to train on; ask for fewer of them.")
    gold = [labels.index(row.label) if labels else 0 for row in rows]
    with failures("The fine-tune failed"):
        with model.exclusive(), model.temporary_prefixes():
            delta = model.tune(model.prompt(candidate, rows), gold, candidate.settings, seed)
        # The last step may have diverged, which only a score shows.
        Predictor(model, candidate, tuple(labels), tuple(fields), delta).scores(rows[:1])
    return delta
