"""Pydantic schema of the leaderboard's rows, checked on writing and on reading.

A row that does not fit was not written by this program, even if its checksum is right: anybody can compute a checksum.
JSON keys that this version does not know are accepted; a missing key raises StorageError when the program reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, JsonValue, StringConstraints, ValidationError, model_validator

from autoprompt.errors import InputError
from autoprompt.leaderboard.run_schema import Config, Result
from autoprompt.leaderboard.schema_types import (
    Canonical,
    Count,
    Id,
    Line,
    Moment,
    Part,
    Real,
    Seconds,
    Share,
    Small,
    Text,
    Word,
)
from autoprompt.leaderboard.stored_json import INT64_BOUND

_SHOWN = 60


class Run(Part):
    """A row of ``runs``; ``checks.check_name`` has further rules for the name."""

    id: Id
    name: Annotated[str, Field(max_length=200)] | None
    corpus: Line
    fingerprint: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]{0,128}$")]
    model: Line
    seed: Annotated[int, Field(ge=-INT64_BOUND, lt=INT64_BOUND)]
    strategy: Word
    config: Config
    started: Moment
    status: Literal["running", "finished", "stopped", "failed"]
    finished: Moment | None
    result: Result | None
    environment: dict[Text, Text | int | float | None]
    evaluations: Count


class Evaluation(Part):
    """A row of ``evaluations``."""

    run: Id
    key: Annotated[str, Field(max_length=5_000)]
    entry: Id
    role: Literal["search", "manual", "manual_tuned", "null", "random", "finalist"]
    split: Literal["frozen", "validation", "test"]
    rung: Annotated[int, Field(ge=0, le=100)]
    fold: Small
    repeat: Small
    status: Literal["complete", "pruned", "failed"]
    reason: Text | None
    loss: Real | None
    accuracy: Share | None
    metric: Word | None
    value: Real | None
    n: Count | None
    readability: Real | None
    seconds: Seconds
    tokens: Count
    length: Count
    candidate: Canonical

    @model_validator(mode="after")
    def _whole(self) -> Evaluation:
        scored = [value is not None for value in (self.loss, self.metric, self.value, self.n)]
        if any(scored) != all(scored):
            raise ValueError("its score is incomplete")
        if self.status == "complete" and not all(scored):
            raise ValueError("it is complete without a score")
        if self.status == "failed" and not self.reason:
            raise ValueError("it failed without a reason")
        return self


class Examples(Part):
    """A row of ``examples`` with its row of ``losses``: one prediction and one loss for each data row, or none.

    ``votes``: probabilities for the unlabelled rows.
    """

    log_probs: list[list[Real]]
    predictions: list[Text]
    row_ids: list[Text]
    losses: list[Real]
    votes: list[list[Share]]

    @model_validator(mode="after")
    def _alike(self) -> Examples:
        for name in ("predictions", "losses"):
            count = len(getattr(self, name))
            if count not in (0, len(self.row_ids)):
                raise ValueError(f"it has {count} {name} and {len(self.row_ids)} rows")
        return self


class Step(Part):
    """A row of ``steps``."""

    run: Id
    kind: Literal["task", "decision"]
    key: Text
    value: Any
    spent: Seconds


class Origin(Part):
    """A row of ``origins``."""

    run: Id
    entry: Id
    operator: Line
    parents: Annotated[list[Id], Field(max_length=1_000)]


class EntryEstimate(Part):
    """A row of ``estimates``. The error is an unbiased estimate, which may lie outside 0 and 1."""

    run: Id
    entry: Id
    error: Real
    deviation: Annotated[Real, Field(ge=0)]
    unlabeled_weight: Share


class DataRow(Part):
    """A row of ``data_rows``."""

    run: Id
    split: Literal["train", "validation", "test", "unlabeled"]
    row_id: Text
    fields: dict[Line, JsonValue]
    label: Text


M = TypeVar("M", bound=Part)


def check(model: type[M], values: Mapping[str, Any], where: str) -> None:
    """Raise InputError for values that do not fit the schema; its message begins with ``where``."""
    try:
        model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part)[:40] for part in first["loc"]) or "whole"
        said = "it should be an object" if first["type"] in ("model_type", "dict_type") else first["msg"]
        raise InputError(
            f"{where} cannot be used at {place[:200]!r}: {said.removeprefix('Value error, ')}, and it is "
            f"{_shown(first['input'])}."
        ) from error
    except RecursionError as error:
        raise InputError(f"{where} is nested too deeply.") from error


def _shown(value: Any) -> str:
    """A value for an error message: cut if it is long, only its type if it is nested, since its repr may be huge."""
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if -INT64_BOUND <= value < INT64_BOUND else "a huge number"
    if isinstance(value, str):
        return repr(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…")
    return f"a {type(value).__name__}"
