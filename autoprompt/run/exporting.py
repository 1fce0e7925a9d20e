"""From an entry of the leaderboard to a prompt that other programs use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from autoprompt.candidate import Candidate
from autoprompt.export import FORMAT, VERSION, Prompt, written_out
from autoprompt.leaderboard import EvaluationRecord, Leaderboard, RunRecord
from autoprompt.leaderboard.records import pinned
from autoprompt.models import locate_model
from autoprompt.models.encoding import Encoder
from autoprompt.models.loading import loaded
from autoprompt.models.signs import chat_format


def prompt_of(board: Leaderboard, entry: str) -> Prompt:
    """A leaderboard entry as a prompt to export, as the newest run that has it saw it.

    A chat format and solved examples, which are cut as the run cut them, take a look at the model's tokenizer. Raises
    NotFoundError, InputError for trainable vectors and where that tokenizer is not to be had.
    """
    evaluations = board.entry(entry)
    having = {evaluation.run for evaluation in evaluations}
    run = next(run for run in board.runs() if run.id in having)
    name, candidate = evaluations[0].entry, evaluations[0].candidate
    reading = _Reading.of(run, candidate)
    return Prompt(
        format=FORMAT,
        version=VERSION,
        model=run.model,
        corpus=run.corpus,
        fingerprint=run.fingerprint,
        entry=name,
        run=run.id,
        scores=_scores(board, run, name, evaluations),
        family=run.config.get("family"),
        max_length=run.config.get("max_length"),
        model_revision=run.config.get("model_revision", ""),
        chat=reading.chat,
        **written_out(candidate, reading.demos).to_dict(),
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


@dataclass(frozen=True)
class _Reading:
    """What the model's tokenizer made of a prompt. ``demos`` is None where nothing was cut."""

    chat: tuple[str, str] | None = None
    demos: str | None = None

    @classmethod
    def of(cls, run: RunRecord, candidate: Candidate) -> _Reading:
        """Without a chat format and solved examples the tokenizer is not asked."""
        chatting = run.config.get("chat")
        length = run.config.get("max_length") if candidate.demos else None
        if not chatting and length is None:
            return cls()
        tokenizer = _tokenizer(run)
        chat = chat_format(tokenizer) if chatting else None
        return cls(chat, None if length is None else Encoder(tokenizer, length).demos(candidate))


def _tokenizer(run: RunRecord) -> Any:
    from transformers import AutoTokenizer

    name = pinned(run.model, run.config.get("model_revision"))
    return loaded(locate_model(name).folder, AutoTokenizer.from_pretrained)
