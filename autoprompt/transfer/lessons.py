"""What runs say of their prompts: how each fared against the run's own tuned manual prompt on the same rows. Its score
holds on these rows alone, and is carried nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from autoprompt.candidate import Candidate, Settings
from autoprompt.leaderboard import DataRow, EvaluationRecord, Leaderboard, Origin, RunRecord
from autoprompt.metrics import compare
from autoprompt.template import MAX_CHARACTERS, LabelWords, Template
from autoprompt.transfer.profile import MAX_LABELS, Profile, texts_of
from autoprompt.transfer.profile import Label as _Label

MOST_LESSONS = 8
"""Of one run, its best."""
FIRST_TUNED = 1
"""The first rung that fine-tunes."""
MANUAL = ("manual_tuned", "manual")
"""Baselines that others are held against: where nothing is tuned there is but the second."""
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
    """A prompt with its evidence: ``better`` is the share of resamples of ``n`` rows in which its loss was lower than
    that of the run's tuned manual prompt; .5 says nothing."""

    template: _Text
    label_words: Annotated[Mapping[_Label, _Label], Field(max_length=MAX_LABELS)]
    settings: _Values
    better: Annotated[float, Field(strict=True, ge=0, le=1)]
    n: _Count
    score: _Values = field(default_factory=dict)
    """On the run's own validation rows: for readers alone."""

    @property
    def candidate(self) -> Candidate:
        """As its own run had it. Raises InputError for what is none."""
        words = LabelWords(tuple(self.label_words.items()))
        return Candidate(Template.parse(self.template), words, Settings.from_dict(self.settings))


@dataclass(frozen=True)
class Source:
    """One run's lessons, the best first. ``operators``: how often each one's children were fine-tuned, and how often
    they then had a lower loss than their parent. The bounds of values are those of what a stranger's file may say."""

    run: Annotated[str, Field(pattern=r"^\w{1,64}$")]
    corpus: _Text
    model: _Text
    profile: Profile
    lessons: Annotated[tuple[Lesson, ...], Field(max_length=1_000)]
    operators: Annotated[Mapping[_Word, tuple[_Count, _Count]], Field(max_length=1_000)] = field(default_factory=dict)


def sources_of(board: Leaderboard) -> list[Source]:
    """The runs of a leaderboard that can teach something, the newest first. Raises StorageError."""
    found = [_source(board, run) for run in board.runs()]
    return [source for source in found if source.lessons]


def profile_in(board: Leaderboard, run: RunRecord) -> Profile:
    """Of a run's data, as far as its rows were kept. Raises StorageError."""
    rows = [row.fields for row in board.attached(DataRow, run.id) if row.split != "test"]
    fields = tuple(dict.fromkeys(name for row in rows for name in row))
    labels = tuple(run.config.get("labels", ()))
    task = "classification" if labels else "generation"
    return Profile(task, run.config.get("label_column", "label"), labels, fields, texts_of(rows))


def _source(board: Leaderboard, run: RunRecord) -> Source:
    evaluations = [e for e in board.evaluations(run.id) if e.rung >= FIRST_TUNED and e.split == "validation"]
    scores = {row.entry: row.validation.to_dict() for row in board.entries(run.id) if row.validation}
    operators = _operators(evaluations, board.attached(Origin, run.id))
    lessons = _lessons(evaluations, scores)
    return Source(run.id, run.corpus, run.model, profile_in(board, run), lessons, operators)


def _lessons(evaluations: Sequence[EvaluationRecord], scores: Mapping[str, Mapping[str, Any]]) -> tuple[Lesson, ...]:
    """Prompts with solved examples hold rows of their data, and stay where they are."""
    tuned = next((e.entry for role in MANUAL for e in evaluations if e.role == role), None)
    entries: dict[str, dict[_Place, EvaluationRecord]] = {}
    failed = set()
    for evaluation in evaluations:
        if evaluation.status == "complete" and evaluation.losses:
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
    """On the highest rung that both were judged on."""
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
    """Losses by the row's name in this fold and repeat."""
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
