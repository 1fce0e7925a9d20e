"""Results of a run on test and validation rows: scores, ties with the winner, confusion matrix, worst mistakes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from autoprompt.leaderboard import DataRow, EntryRow, EvaluationRecord, Leaderboard, RunRecord, kept_tests
from autoprompt.metrics import Score, compare, proportion_interval
from autoprompt.results import RunResult, ScoredPrompt

SHOWN_WORST = 8


class TestedPrompt(NamedTuple):
    """A prompt with its score on the test rows. ``interval``: the 95 % interval of its accuracy."""

    name: str
    prompt: ScoredPrompt
    interval: tuple[float, float] | None

    @property
    def test(self) -> Score | None:
        """The score on the test rows."""
        return self.prompt.test


class Confusion(NamedTuple):
    """Confusion matrix. ``counts``: rows by label, columns by prediction, both in the order of ``labels``."""

    labels: list[str]
    counts: list[list[int]]


class Mistake(NamedTuple):
    """A test row that the winner got wrong. ``probability``: of the right label; None for generated texts."""

    fields: Mapping[str, object]
    label: str
    predicted: str
    probability: float | None
    loss: float


class Line(NamedTuple):
    """A row of the leaderboard. ``tied``: a paired test cannot tell it from the winner; None without a test."""

    entry: EntryRow
    winner: bool
    tied: bool | None


def tested_prompts(result: RunResult | None) -> list[TestedPrompt]:
    """The winner and the baselines, in the order of the result; empty where it names no winner."""
    if result is None or result.best is None:
        return []
    versions = list(result.versions.items())[:-1]  # the last is the winner itself
    return [
        _tested_prompt("winner", result.best),
        *(_tested_prompt(f"winner, {name}", replace(result.best, test=one.test)) for name, one in versions if one.test),
        *(_tested_prompt(name, row) for name, row in result.baselines.items() if row),
    ]


def _tested_prompt(name: str, prompt: ScoredPrompt) -> TestedPrompt:
    test = prompt.test
    if test is None or test.accuracy is None:
        return TestedPrompt(name, prompt, None)
    return TestedPrompt(name, prompt, proportion_interval(round(test.accuracy * test.n), test.n))


def lines(board: Leaderboard, run: RunRecord, entries: Sequence[EntryRow]) -> list[Line]:
    """Entries of the run, best first. Those on the winner's rung are compared with it by a paired bootstrap."""
    winner = run.winner
    rung = next((e.rung for e in entries if e.entry == winner), None)
    losses = {} if winner is None or rung is None else _losses(board, run, winner, rung)
    found = []
    for entry in entries:
        tied = None
        if losses and entry.entry != winner and entry.rung == rung:
            tied = _tied(losses, _losses(board, run, entry.entry, entry.rung))
        found.append(Line(entry, entry.entry == winner, tied))
    return found


def _losses(board: Leaderboard, run: RunRecord, entry: str, rung: int) -> dict[str, float]:
    """An entry's validation losses on one rung, by fold, repeat and row id."""
    return {
        f"{record.fold}.{record.repeat}.{row}": loss
        for record in board.entry(entry)
        if (record.run, record.split, record.rung, record.status) == (run.id, "validation", rung, "complete")
        for row, loss in zip(record.row_ids, record.losses, strict=True)
    }


def _tied(ours: Mapping[str, float], theirs: Mapping[str, float]) -> bool | None:
    if len(ours.keys() & theirs.keys()) < 2:
        return None
    found = compare(list(ours.values()), list(theirs.values()), list(ours), list(theirs))
    return None if found.ends is None else found.ends[0] <= 0 <= found.ends[1]


def test_evaluation(board: Leaderboard, run: RunRecord) -> EvaluationRecord | None:
    """The winner's evaluation on the test rows, with the weights that were kept."""
    records = board.entry(run.winner) if run.winner else []
    return kept_tests(records).get(run.id)


def gold_labels(test: EvaluationRecord, rows: Mapping[str, DataRow]) -> list[str] | None:
    """The right label of each row; None for generated texts, and where rows or predictions were not stored."""
    gold = [rows[row].label for row in test.row_ids if row in rows]
    whole = len(gold) == len(test.row_ids) == len(test.predictions) and min(map(len, test.log_probs), default=0) >= 2
    return gold if whole else None


def confusion(test: EvaluationRecord, rows: Mapping[str, DataRow]) -> Confusion | None:
    """The confusion matrix of a test; None where ``gold_labels`` is None."""
    gold = gold_labels(test, rows)
    if gold is None:
        return None
    labels = list(dict.fromkeys([*test.candidate.label_words.mapping(), *sorted({*gold, *test.predictions})]))
    counts = [[0] * len(labels) for _ in labels]
    for label, predicted in zip(gold, test.predictions, strict=True):
        counts[labels.index(label)][labels.index(predicted)] += 1
    return Confusion(labels, counts)


def worst_mistakes(test: EvaluationRecord, rows: Mapping[str, DataRow]) -> list[Mistake]:
    """The mistakes with the highest loss; empty where predictions or losses were not stored."""
    found: list[Mistake] = []
    if not len(test.row_ids) == len(test.predictions) == len(test.losses) == len(test.log_probs):
        return found
    for row, predicted, loss, log_probs in zip(
        test.row_ids, test.predictions, test.losses, test.log_probs, strict=True
    ):
        kept = rows.get(row)
        if kept is not None and kept.label != predicted:
            probability = None if len(log_probs) < 2 else math.exp(-loss)
            found.append(Mistake(kept.fields, kept.label, predicted, probability, loss))
    return sorted(found, key=lambda m: -m.loss)[:SHOWN_WORST]
