"""Transfer of another run's prompt to other data or another model, compared with the tuned manual prompt there."""

from __future__ import annotations

from dataclasses import asdict

from autoprompt.candidate import Candidate
from autoprompt.errors import InputError, NothingSucceededError
from autoprompt.evaluator import Evaluator, Rung
from autoprompt.leaderboard import Leaderboard, StoredTransfer
from autoprompt.optimizer import Outcome, Proposal
from autoprompt.run.inputs import Task, with_drawn_demos
from autoprompt.run.recording import Recorder
from autoprompt.transfer import Profile, adapt, profile_in, profile_of

OPERATOR = "transfer"


def prompt_to_transfer(board: Leaderboard, entry: str, split: str) -> StoredTransfer:
    """Data of an entry for a transfer: its candidate, and id, corpus, model and data profile of the
    newest run that has it. ``split``: the rows to score. Raises NotFoundError."""
    evaluations = board.entry(entry)
    having = {evaluation.run for evaluation in evaluations}
    run = next(run for run in board.runs() if run.id in having)
    return StoredTransfer(
        entry=evaluations[0].entry,
        run=run.id,
        corpus=run.corpus,
        model=run.model,
        split=split,
        candidate=evaluations[0].candidate.to_dict(),
        profile=asdict(profile_in(board, run)),
    )


def adapted_prompt(transfer: StoredTransfer, task: Task, seed: int) -> Candidate:
    """The prompt with this task's fields, labels and solved examples.

    It keeps its settings if this task has the same tuning mode. Raises InputError where its fields do not fit the data.
    """
    source, own = Profile(**transfer.profile), profile_of(task.corpus)
    found = adapt(Candidate.from_dict(transfer.candidate), source, own, task.space.start)
    if found is None:
        raise InputError(
            f"The prompt of entry {transfer.entry[:12]} shows the fields {', '.join(source.fields)}, and "
            f"{task.corpus.name!r} has {', '.join(own.fields)}; choose an entry with as many."
        )
    return with_drawn_demos(found, task.corpus, seed)


def score_transfer(
    evaluator: Evaluator, task: Task, transfer: StoredTransfer, seed: int, recorder: Recorder
) -> Outcome:
    """Fine-tune both prompts. Raises InputError as ``adapted_prompt`` does, NothingSucceededError where one fails."""
    candidate, manual = adapted_prompt(transfer, task, seed), task.space.manual_tuned
    # Target texts are generated only on the last rung.
    rung = Rung.TUNED if task.corpus.labels or transfer.split == "test" else Rung.REPEATED
    found = evaluator.fit(list(dict.fromkeys([manual, candidate])), rung=rung)
    recorder(found[:1], "manual_tuned")
    recorder(found[1:], "search", [Proposal(candidate, OPERATOR)])
    for evaluation in found:
        if not evaluation.complete:
            raise NothingSucceededError(
                f"The prompt {evaluation.candidate.template.format()!r} failed: {evaluation.reason}; try another model."
            )
    return Outcome(
        best=found[-1],
        trained=found[::-1],
        answers=[],
        no_time_to_refit=False,
        parts=[],
        baselines={"manual_tuned": found[0]},
        judged=[],
        finalists=0,
        rounds=0,
        history=[],
        generations=0,
        fitted=evaluator.fitted,
        frozen=0,
    )
