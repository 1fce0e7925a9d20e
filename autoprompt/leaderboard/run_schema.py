"""Pydantic schema of a run's JSON: its request, the facts found before it began, and its result.

A key may be missing, since runs differ in what they store; a key that is present must have the right type.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from autoprompt.leaderboard.schema_types import (
    ABSENT,
    Count,
    Demo,
    Hash,
    Id,
    Line,
    Part,
    PlainCandidate,
    Real,
    Score,
    Seconds,
    Settings,
    Small,
    TemplateText,
    Text,
    Word,
)


class _Estimate(Part):
    error: Real = 0.0
    deviation: Real = 0.0
    unlabeled_weight: Real = 0.0


class _ResultCandidate(Part):
    """A candidate in a run's result."""

    entry: Id = ""
    template: TemplateText = ""
    label_words: dict[Text, Text] = ABSENT
    settings: Settings = Settings()
    demos: list[Demo] = ABSENT
    validation: Score = ABSENT
    test: Score | None = None
    estimate: _Estimate | None = None


class _Difference(Part):
    metric: Line = ""
    value: Real = 0.0
    low: Real | None = 0.0
    high: Real | None = 0.0
    n: Count = 0


class _Version(Part):
    rows: Count = 0
    test: Score | None = None
    difference: _Difference | None = None


class _Spread(Part):
    metric: Line = ""
    values: list[Real] = ABSENT
    mean: Real = 0.0
    deviation: Real = 0.0


class _Scores(Part):
    before: Score | None = None
    after: Score | None = None
    clear: bool | None = None


class _Refinement(Part):
    """The value of ``refine``: in a run's config the inputs of the refinement, in its result the outcome."""

    entry: Id = ""
    run: Id = ""
    weights: Hash = "0" * 64
    candidate: PlainCandidate = ABSENT
    new: list[Text] | _Scores = ABSENT
    validation_learnt: bool = False
    kept: bool = True
    rows: dict[Word, Count] = ABSENT
    validation: _Scores | None = None
    difference: dict[Word, Real | None] = ABSENT


class _Profile(Part):
    task: Word = ""
    label_column: Line = ""
    labels: list[Text] = ABSENT
    fields: list[Line] = ABSENT


class _Transfer(Part):
    entry: Id = ""
    run: Id = ""
    corpus: Line = ""
    model: Line = ""
    split: Literal["validation", "test"] = "validation"
    candidate: PlainCandidate = ABSENT
    profile: _Profile = ABSENT


class _Source(Part):
    run: Id = ""
    corpus: Line = ""
    model: Line = ""
    similarity: Real = 0.0
    parts: dict[Line, Real] = ABSENT
    prompts: Count = 0


class _WarmStart(Part):
    prompts: list[PlainCandidate] = ABSENT
    operators: dict[Line, Annotated[list[Real], Field(min_length=2, max_length=2)]] = ABSENT
    sources: list[_Source] = ABSENT


class _DataRequest(Part):
    encoding: Line | None = None
    delimiter: Line | None = None
    no_header: bool = False
    column_names: Line | None = None
    text_column: Line | None = None
    label_column: Line | None = None
    target_column: Line | None = None
    drop_empty: bool = False
    drop_duplicates: bool = False
    max_length: Small = 1
    test_rows: Count = 0
    shots: Small = 1
    validation_rows: Count = 0
    unlabeled: Line | None = None
    unlabeled_rows: Count = 0


class _ModelRequest(Part):
    model: Line = ""
    device: Line | None = None
    workers: Annotated[int, Field(gt=0, le=100_000)] | None = None
    tuning: Word | None = None
    family: Word | None = None
    chat: bool = False
    executor: Line | None = None
    ray_address: Line | None = None
    workers_per_gpu: Annotated[int, Field(gt=0, le=100_000)] | None = None


class _Request(Part):
    """The request that ``resume`` continues with."""

    corpus: Line = ""
    in_memory: bool = False
    data: _DataRequest = _DataRequest()
    model: _ModelRequest = _ModelRequest()
    config: dict[Word, dict[Word, JsonValue]] = ABSENT
    templates: list[TemplateText] = ABSENT
    label_words: dict[Text, Text] | None = None
    strategy: Word = ""
    budget: Seconds | None = None
    max_evaluations: Count | None = None
    metric: Word | None = None
    folds: Small | None = None
    repeats: Small = 1
    refit: bool = False
    seed: int = 0
    name: Line | None = None
    fix: dict[Word, JsonValue] = ABSENT


class _Rows(Part):
    n: Count = 0
    sha256: Line = ""


class _DataFacts(Part):
    fingerprint: Line = ""
    revision: Line | None = None
    rows: dict[Word, _Rows] = ABSENT


class _ModelFacts(Part):
    revision: Line | None = None
    files: dict[Line, Line] = ABSENT


class _DataSummary(Part):
    """Summary of the data that was read, in the form of ``DataSummary.to_dict``."""

    summary: Text = ""
    source: Text = ""
    rows: Count = 0
    fields: list[Text] = ABSENT
    columns: dict[Text, Text] = ABSENT
    splits: dict[Word, Count] = ABSENT
    classes: dict[Text, dict[Word, Count]] = ABSENT
    unused: Count = 0
    dropped: dict[Line, Count] = ABSENT
    left_out: dict[Text, Line] = ABSENT


class _Manifest(Part):
    data: _DataFacts = _DataFacts()
    model: _ModelFacts = _ModelFacts()
    code: dict[Word, str | int] = ABSENT
    reading: _DataSummary | None = None


class Config(Part):
    """A run's request, and the facts found before it began."""

    budget: Seconds | Word | None = None
    max_evaluations: Count | None = None
    family: Word | None = None
    model_revision: Line | None = None
    corpus_revision: Line | None = None
    tuning: Word | None = None
    chat: bool | None = None
    folds: Small | None = None
    repeats: Small | None = None
    workers: Small | None = None
    shots: Small | None = None
    max_length: Small | None = None
    test_rows: Count | None = None
    metric: Word | None = None
    templates: list[TemplateText] = ABSENT
    label_words: dict[Text, Text] | None = None
    search: dict[Word, JsonValue] = ABSENT
    fix: dict[Word, JsonValue] = ABSENT
    warm_start: _WarmStart | None = None
    transfer: _Transfer | None = None
    labels: list[Text] = ABSENT
    label_column: Line = ""
    target_length: Small = 0
    warnings: list[Text] | None = None
    manifest: _Manifest = ABSENT
    request: _Request | None = None
    mark: Line | None = None
    refine: _Refinement | None = None


class Result(Part):
    """The result of a finished run."""

    run: Id | None = None
    corpus: Line = ""
    data: _DataSummary | None = None
    model: Line = ""
    evaluations: Count = 0
    frozen: Count = 0
    generations: Count = 0
    finalists: Count = 0
    seconds: Seconds = 0.0
    best: _ResultCandidate | None = None
    weights: Hash | None = None
    versions: dict[Word, _Version] = ABSENT
    spread: _Spread | None = None
    baselines: dict[Word, _ResultCandidate | None] = ABSENT
    difference: _Difference | None = None
    transfer: _Transfer | None = None
    warm_start: list[_Source] = ABSENT
    warnings: list[Text] | None = None
    history: list[dict[Line, JsonValue]] = ABSENT
    left_out: list[Text] = ABSENT
    verdict: Text | None = None
    refine: _Refinement | None = None
