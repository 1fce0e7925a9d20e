"""Pydantic types of the values in a leaderboard's rows, and models that rows share: scores and candidates."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from autoprompt.leaderboard.stored_json import FLOAT_BOUND

Id = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z_-]{0,127}$")]
Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Word = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_.@ -]{0,100}$")]
Moment = Annotated[str, StringConstraints(pattern=r"^[0-9TZ:+. -]{0,40}$")]
Line = Annotated[str, Field(max_length=5_000)]
Text = Annotated[str, Field(max_length=1_000_000)]
TemplateText = Annotated[str, Field(max_length=100_000)]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Small = Annotated[int, Field(ge=0, le=1_000_000)]
Real = Annotated[float, Field(ge=-FLOAT_BOUND, le=FLOAT_BOUND, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1.000001)]
"""A mean may come out slightly above 1."""
Seconds = Annotated[float, Field(ge=0, le=1e12)]


ABSENT: Any = None
"""Default for a missing key; an explicit null in its place is refused."""


class Part(BaseModel):
    """A JSON object or row. Types are not converted; unknown keys, as from other versions, are accepted."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class Score(Part):
    """See ``metrics.Score``."""

    loss: Real = 0.0
    accuracy: Share | None = None
    metric: Word = ""
    value: Real = 0.0
    n: Count = 0


class Demo(Part):
    """See ``candidate.Demo``."""

    row_id: Text
    fields: dict[Line, JsonValue]
    label: Text


class Settings(Part):
    """Training settings; the limits exclude values with which a fine-tune would never end."""

    tuning: Word = "none"
    learning_rate: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] | None = None
    batch_size: Annotated[int, Field(gt=0, le=1_000_000)] | None = None
    epochs: Annotated[int, Field(gt=0, le=100_000)] | None = None
    rank: Annotated[int, Field(gt=0, le=100_000)] | None = None
    calibration: bool = False


class _Prompt(Part):
    template: TemplateText
    settings: Settings
    demos: Annotated[list[Demo], Field(max_length=64)] = ABSENT


class PlainCandidate(_Prompt):
    """A candidate in the form of ``Candidate.to_dict``."""

    label_words: dict[Text, Text]


class Canonical(_Prompt):
    """A candidate as stored in a row: its label words are pairs, since labels are ordered."""

    label_words: list[Annotated[list[Text], Field(min_length=2, max_length=2)]]
