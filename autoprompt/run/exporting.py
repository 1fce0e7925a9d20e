"""Export of a leaderboard entry as a prompt file for other programs."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from autoprompt.candidate import Candidate
from autoprompt.errors import InputError, UsageError, parameter
from autoprompt.export import FORMAT, VERSION, Prompt, load, save, weights_beside, written_out
from autoprompt.leaderboard import EvaluationRecord, Leaderboard, RunRecord, kept_tests, kept_weights, pinned
from autoprompt.models import Encoder, chat_format, load_delta, load_safely, locate_model, write_delta
from autoprompt.terminal import command_line
from autoprompt.untrusted import schema_error_text


def prompt_of(board: Leaderboard, entry: str, of: str | None = None) -> Prompt:
    """A leaderboard entry as a prompt to export, from the run with the id ``of``, or else the newest that has it.

    The model's tokenizer is loaded for a chat format, and for solved examples, which are cut as the run cut them.
    Raises NotFoundError, and InputError for trainable vectors and where the tokenizer is not available.
    """
    evaluations = board.entry(entry)
    having = {evaluation.run for evaluation in evaluations} if of is None else {of}
    run = next(run for run in board.runs() if run.id in having)
    name, candidate = evaluations[0].entry, evaluations[0].candidate
    text = _TokenizerText.of(run, candidate)
    written: dict[str, Any] = written_out(candidate, text.demos).to_dict()
    values = written | {
        "format": FORMAT,
        "version": VERSION,
        "model": run.model,
        "corpus": run.corpus,
        "fingerprint": run.fingerprint,
        "entry": name,
        "run": run.id,
        "scores": _scores(board, run, name, evaluations),
        "family": run.config.family,
        "max_length": run.config.max_length,
        "model_revision": run.config.model_revision,
        "chat": text.chat,
        "labels": run.config.labels,
        "label_column": run.config.label_column,
        "target_length": run.config.target_length,
        "model_files": run.config.manifest.model.files,
    }
    try:
        return Prompt.from_dict(values)
    except ValidationError as error:
        raise InputError(
            f"The entry {name[:12]} of run {run.id} cannot be a prompt file {schema_error_text(error)}; it was stored "
            "by another program."
        ) from error


def export(board: Leaderboard, entry: str, out: Path, *, with_weights: bool = False) -> list[Path]:
    """Write an entry as ``best.json`` or ``best.py``. Returns the paths of all files.

    ``with_weights``: also write its fine-tuned weights into the folder ``best.weights`` next to it, in peft's format.
    Raises as ``prompt_of`` and ``save`` do, and InputError for an entry whose weights were not stored.
    """
    prompt = prompt_of(board, entry)
    if not with_weights:
        save(prompt, out)
        return [out]
    if out.suffix != ".json":
        raise UsageError(
            f"{parameter('with_weights')} goes with a prompt file that predicts, not with {out}; name it best.json."
        )
    return save_together([(prompt, _stored_weights(board, prompt))], out)


def save_together(prompts: Sequence[tuple[Prompt, Path | None]], out: Path) -> list[Path]:
    """Write prompts that predict together as one ``best.json``, with their weights beside it. Returns the paths.

    Each prompt comes with its stored weights, if it has any. Raises as ``save`` does.
    """
    target = Path(os.path.realpath(out))  # weights go next to the target of a symbolic link
    tuned = [(place, prompt, weights) for place, (prompt, weights) in enumerate(prompts) if weights is not None]
    with weights_beside(target, [_writer(weights, prompt) for _, prompt, weights in tuned]) as stored:
        whole = [prompt for prompt, _ in prompts]
        for (place, prompt, _), one in zip(tuned, stored, strict=True):
            named = {file.name: digest for file, digest in one.files.items()}
            whole[place] = prompt.with_weights(one.folder, named)
        save(whole[0].with_ensemble(whole[1:]), out)
    return [out, *dict.fromkeys(file for one in stored for file in one.files)]


def load_entry(board: Leaderboard, entry: str, *, with_weights: bool) -> Prompt:
    """Load an entry as a prompt that predicts; its files lie in a temporary folder as long as the prompt is used.

    Raises as ``export`` does.
    """
    folder = TemporaryDirectory(prefix="autoprompt-")
    out = Path(folder.name, "best.json")
    export(board, entry, out, with_weights=with_weights)
    prompt = load(out)
    weakref.finalize(prompt, folder.cleanup)
    return prompt


def winner_of(board: Leaderboard, reference: str) -> str:
    """The entry that a run (its id or name) named best. Raises NotFoundError for an unknown run, and InputError for one
    that has not finished."""
    run = board.run(reference)
    if run.winner is None:
        raise InputError(
            f"The run {reference!r} is {run.status} and has no winner yet; go on with "
            f"`{command_line('resume', run.id, leaderboard=board.path)}`."
        )
    return run.winner


def _stored_weights(board: Leaderboard, prompt: Prompt) -> Path:
    """The stored weights of the entry, from the newest run that it won. Raises InputError where there are none."""
    if prompt.settings["tuning"] == "none":
        raise InputError(
            f"The entry {prompt.entry[:12]} was not fine-tuned and has no weights; leave "
            f"{parameter('with_weights')} out."
        )
    won = (run.result for run in board.runs() if run.winner == prompt.entry)
    name = next((result.weights for result in won if result and result.weights), None)
    if name is None:
        raise InputError(
            f"The weights of the entry {prompt.entry[:12]} were not kept: only those of a run's winner are; export it "
            f"without {parameter('with_weights')}, and train it with fit."
        )
    return kept_weights(board.path, name)


def _writer(kept: Path, prompt: Prompt) -> Callable[[Path], list[Path]]:
    """A function that writes the stored weights into a folder in peft's format and returns the files."""
    delta = load_delta(kept)
    settings, model = prompt.candidate.settings, prompt.model.partition("@")[0]
    return lambda folder: write_delta(delta, settings, model, prompt.model_revision, folder)


def _scores(
    board: Leaderboard, run: RunRecord, entry: str, evaluations: Sequence[EvaluationRecord]
) -> dict[str, dict[str, Any]]:
    """The entry's scores in the run: ``validation``, pooled over folds and repeats, and ``test``.

    A frozen score is left out, since its loss is that of a proxy for the fine-tune and not of the prompt.
    """
    row = next((row for row in board.entries(run.id) if row.entry == entry), None)
    test = kept_tests(evaluations).get(run.id)
    found = {"validation": row.validation if row and row.rung > 0 else None, "test": test.score if test else None}
    return {split: score.to_dict() for split, score in found.items() if score is not None}


@dataclass(frozen=True)
class _TokenizerText:
    """Text of a prompt that depends on the tokenizer: chat format and cut solved examples; None where it has none."""

    chat: tuple[str, str] | None = None
    demos: str | None = None

    @classmethod
    def of(cls, run: RunRecord, candidate: Candidate) -> _TokenizerText:
        """The text for one candidate. The tokenizer is loaded only for a chat format or solved examples."""
        chatting = run.config.chat
        if not chatting and not candidate.demos:
            return cls()
        tokenizer = _tokenizer(run)
        chat = chat_format(tokenizer) if chatting else None
        return cls(chat, Encoder(tokenizer, run.config.max_length).demos(candidate) if candidate.demos else None)


def _tokenizer(run: RunRecord) -> Any:
    from transformers import AutoTokenizer

    name = pinned(run.model, run.config.model_revision)
    return load_safely(locate_model(name).folder, AutoTokenizer.from_pretrained)
