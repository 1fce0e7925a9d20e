"""From an entry of the leaderboard to a prompt that other programs use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autoprompt.export import FORMAT, VERSION, Prompt, written_out
from autoprompt.leaderboard import EvaluationRecord, Leaderboard, RunRecord


def prompt_of(board: Leaderboard, entry: str) -> Prompt:
    """A leaderboard entry as a prompt to export, as the newest run that has it saw it.

    Raises NotFoundError, and InputError for trainable vectors.
    """
    evaluations = board.entry(entry)
    having = {evaluation.run for evaluation in evaluations}
    run = next(run for run in board.runs() if run.id in having)
    name = evaluations[0].entry
    return Prompt(
        format=FORMAT,
        version=VERSION,
        model=run.model,
        corpus=run.corpus,
        fingerprint=run.fingerprint,
        entry=name,
        run=run.id,
        scores=_scores(board, run, name, evaluations),
        **written_out(evaluations[0].candidate).to_dict(),
    )


def _scores(
    board: Leaderboard, run: RunRecord, entry: str, evaluations: Sequence[EvaluationRecord]
) -> dict[str, dict[str, Any]]:
    """The entry's line in the list of the run, which pools folds and repeats, and its look at the test rows.

    The first rung is left out: its loss is of a stand-in for the fine-tune, not of the prompt.
    """
    row = next((row for row in board.entries(run.id) if row.entry == entry), None)
    tests = (e.score for e in evaluations if e.run == run.id and e.split == "test")
    found = {"validation": row.validation if row and row.rung > 0 else None, "test": next(tests, None)}
    return {split: score.to_dict() for split, score in found.items() if score is not None}
