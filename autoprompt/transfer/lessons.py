"""Lessons of earlier runs: prompts, each compared with its run's tuned manual prompt on the same rows.

A prompt's score is valid only for these rows and is not used for other data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from autoprompt.candidate import Candidate, Settings
from autoprompt.leaderboard import DataRow, EvaluationRecord, Leaderboard, Origin, RunRecord
from autoprompt.metrics import compare
from autoprompt.template import MAX_CHARACTERS, LabelWords, Template
from autoprompt.transfer.profile import MAX_LABELS, Profile, texts_of
from autoprompt.transfer.profile import Label as _Label

MOST_LESSONS = 8
"""Most lessons of one run: its best prompts."""
FIRST_TUNED = 1
"""The first rung that fine-tunes."""
MANUAL = ("manual_tuned", "manual")
"""Baselines that prompts are compared with. A run without fine-tuning has only the second."""
_Count = Annotated[int, Field(strict=True, ge=0, le=10**12)]
_Word = Annotated[str, Field(max_length=1_000)]
_Text = Annotated[str, Field(max_length=MAX_CHARACTERS)]
_Value = (
    Annotated[bool, Field(strict=True)]
    | _Count
    | Annotated[float, Field(strict=True, allow_inf_nan=False)]
    | _Word
    | None
)
_Values = Annotated[Mapping[_Word, _Value], Field(max_length=64)]
_Place = tuple[int, int, int]
"""Rung, fold and repeat."""


@dataclass(frozen=True)
class Lesson:
    """A prompt with its evidence. ``better``: share of bootstrap resamples of ``n`` rows in which its loss is lower
    than that of the run's tuned manual prompt; 0.5 is no evidence."""

    template: _Text
    label_words: Annotated[Mapping[_Label, _Label], Field(max_length=MAX_LABELS)]
    settings: _Values
    better: Annotated[float, Field(strict=True, ge=0, le=1)]
    n: _Count
    score: _Values
    """On the run's own validation rows; for readers only."""

    @property
    def candidate(self) -> Candidate:
        """The candidate as its run had it. Raises InputError for values that are not a candidate."""
        words = LabelWords(tuple(self.label_words.items()))
        return Candidate(Template.parse(self.template), words, Settings.from_dict(self.settings))


@dataclass(frozen=True)
class Source:
    """One run's lessons, the best first. ``operators``: by name, how many of its children were fine-tuned, and how many
    of these had a lower loss than their parent. All values have limits, since they may come from a stranger's file."""

    run: Annotated[str, Field(pattern=r"^\w{1,64}$")]
    corpus: _Text
    model: _Text
    profile: Profile
    lessons: Annotated[tuple[Lesson, ...], Field(max_length=1_000)]
    operators: Annotated[Mapping[_Word, tuple[_Count, _Count]], Field(max_length=1_000)]


def sources_of(board: Leaderboard) -> list[Source]:
    """The runs of a leaderboard that have lessons, the newest first. Raises StorageError."""
    found = [_source(board, run) for run in board.runs()]
    return [source for source in found if source.lessons]


def profile_in(board: Leaderboard, run: RunRecord) -> Profile:
    """The profile of a run's data, from the training and validation rows stored with it. Raises StorageError."""
    rows = [row.fields for row in board.attached(DataRow, run.id) if row.split != "test"]
    fields = tuple(dict.fromkeys(name for row in rows for name in row))
    labels = tuple(run.config.labels)
    task = "classification" if labels else "generation"
    return Profile(task, run.config.label_column, labels, fields, texts_of(rows))


def _source(board: Leaderboard, run: RunRecord) -> Source:
    evaluations = [e for e in board.evaluations(run.id) if e.rung >= FIRST_TUNED and e.split == "validation"]
    scores = {row.entry: row.validation.to_dict() for row in board.entries(run.id) if row.validation}
    operators = _operators(evaluations, board.attached(Origin, run.id))
    lessons = _lessons(evaluations, scores)
    return Source(run.id, run.corpus, run.model, profile_in(board, run), lessons, operators)


def _lessons(evaluations: Sequence[EvaluationRecord], scores: Mapping[str, Mapping[str, Any]]) -> tuple[Lesson, ...]:
    """The best lessons of a run. Prompts with solved examples are left out, since they hold rows of the data."""
    tuned = next((e.entry for role in MANUAL for e in evaluations if e.role == role), None)
    entries: dict[str, dict[_Place, EvaluationRecord]] = {}
    failed = set()
    for evaluation in evaluations:
        if evaluation.status == "complete":
            place = (evaluation.rung, evaluation.fold, evaluation.repeat)
            entries.setdefault(evaluation.entry, {})[place] = evaluation
        else:
            failed.add(evaluation.entry)
    manual = entries.pop(tuned, {}) if tuned else {}
    found = [_lesson(places, manual, scores.get(e, {})) for e, places in entries.items() if e not in failed]
    told = [lesson for lesson in found if lesson is not None]
    return tuple(sorted(told, key=lambda lesson: (-lesson.better, -lesson.n, lesson.template))[:MOST_LESSONS])


def _lesson(
    found: Mapping[_Place, EvaluationRecord], manual: Mapping[_Place, EvaluationRecord], score: Mapping[str, Any]
) -> Lesson | None:
    """The lesson of one prompt, from the highest rung that it and the manual prompt share.

    None where they share none, and for a prompt with solved examples.
    """
    shared = found.keys() & manual.keys()
    candidate = next(iter(found.values())).candidate
    if not shared or candidate.demos:
        return None
    places = sorted(place for place in shared if place[0] == max(p[0] for p in shared))
    ours, theirs = ([_rows(side[place], place) for place in places] for side in (found, manual))
    losses = [[loss for rows in side for loss in rows.values()] for side in (ours, theirs)]
    names = [[name for rows in side for name in rows] for side in (ours, theirs)]
    outcome = compare(losses[0], losses[1], names[0], names[1])
    values = candidate.to_dict()
    return Lesson(values["template"], values["label_words"], values["settings"], outcome.p_better, outcome.n, score)


def _rows(evaluation: EvaluationRecord, place: _Place) -> dict[str, float]:
    """Losses by fold, repeat and row id."""
    prefix = f"{place[1]}.{place[2]}."
    return {f"{prefix}{row}": loss for row, loss in zip(evaluation.row_ids, evaluation.losses, strict=True)}


def _operators(evaluations: Sequence[EvaluationRecord], origins: Sequence[Origin]) -> dict[str, tuple[int, int]]:
    losses = {e.entry: e.score.loss for e in evaluations if e.rung == FIRST_TUNED and e.score and e.fold == 0}
    found: dict[str, tuple[int, int]] = {}
    for origin in origins:
        parent = next((losses[entry] for entry in origin.parents[:1] if entry in losses), None)
        if origin.entry in losses and parent is not None:
            tries, wins = found.get(origin.operator, (0, 0))
            found[origin.operator] = tries + 1, wins + (losses[origin.entry] < parent)
    return found
