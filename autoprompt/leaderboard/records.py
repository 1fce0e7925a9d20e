"""Records of the leaderboard (runs, evaluations, lines) and their conversion to and from checksummed rows."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

from autoprompt.candidate import Candidate
from autoprompt.errors import InputError
from autoprompt.hashing import canonical_json, digest
from autoprompt.leaderboard.run_config import RunConfig
from autoprompt.leaderboard.stored_json import parsed
from autoprompt.leaderboard.summary import Summary
from autoprompt.metrics import Score
from autoprompt.results import ErrorEstimate, RunResult
from autoprompt.short_repr import short_repr

RUN_STATUSES = ("running", "finished", "stopped", "failed")
STATUSES = ("complete", "pruned", "failed")
BASELINES = ("manual", "manual_tuned", "null", "random")
ROLES = ("search", *BASELINES, "finalist")
EVALUATED_SPLITS = ("frozen", "validation", "test")
"""What evaluations are made on, in the order of a search; ``frozen`` stands for the rows of a frozen score."""
REFINE = "refine"
"""The strategy of a run that refined an entry, and the operator in the refined entry's origin."""
_SHOWN = ("run", "role", "split", "rung", "fold", "repeat", "status", "reason", "readability", "seconds", "tokens",
          "predictions", "row_ids", "losses")  # fmt: skip


@dataclass(frozen=True)
class RunRecord:
    """One run: its inputs, its status and its result."""

    id: str
    name: str | None
    corpus: str
    fingerprint: str
    model: str
    seed: int
    strategy: str
    config: RunConfig
    started: str
    status: str = "running"
    finished: str | None = None
    result: RunResult | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        named = {"name": self.name} if self.name else {}
        return short_repr(
            self, self.id, **named, corpus=self.corpus, model=self.model, strategy=self.strategy, status=self.status
        )

    @property
    def winner(self) -> str | None:
        """The best entry in the run's result; None without a result."""
        return self.result.best.entry or None if self.result and self.result.best else None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return values | {"config": self.config.to_dict(), "result": self.result.to_dict() if self.result else None}

    @property
    def warnings(self) -> Sequence[str]:
        """Warnings for readers of the results: about data and model, and with a result also about the machines."""
        return (self.result.warnings if self.result else self.config.warnings) or ()


def parent_of(run: RunRecord) -> tuple[str, str] | None:
    """Ids of the run and the entry that a refining run started from; None for any other run."""
    told = run.config.refine
    return (told.run, told.entry) if told and {"run", "entry"} <= told.to_dict().keys() else None


@dataclass(frozen=True)
class EvaluationRecord:
    """A candidate's outcome on one rung, fold and repeat."""

    run: str
    key: str
    entry: str
    candidate: Candidate
    role: str
    split: str
    rung: int
    fold: int
    repeat: int
    status: str
    reason: str | None
    score: Score | None
    log_probs: list[list[float]]
    predictions: list[str]
    row_ids: list[str]
    readability: float | None
    seconds: float
    tokens: int
    losses: list[float] = field(default_factory=list)
    """The ranking loss of each row; empty if the evaluation failed."""
    votes: list[list[float]] = field(default_factory=list)
    """Probabilities of the labels for the unlabelled rows [rows][labels]; empty where they were not predicted."""

    def __repr__(self) -> str:
        outcome: dict[str, Any] = (
            {"loss": self.score.loss, "n": self.score.n} if self.score else {"reason": self.reason}
        )
        return short_repr(
            self, self.entry[:12], run=self.run, split=self.split, rung=self.rung, fold=self.fold, repeat=self.repeat,
            status=self.status, **outcome,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, without the candidate, its entry and the key."""
        values = {name: getattr(self, name) for name in _SHOWN}
        return values | {"score": self.score.to_dict() if self.score else None}


def kept_tests(records: Iterable[EvaluationRecord]) -> dict[str, EvaluationRecord]:
    """Run id -> an entry's complete evaluation of the test rows with the weights that it kept: that of the highest
    rung."""
    tested = sorted((record for record in records if record.split == "test"), key=lambda record: record.rung)
    last = {record.run: record for record in tested}
    return {run: record for run, record in last.items() if record.status == "complete"}


@dataclass(frozen=True)
class EntryRow:
    """A line of the leaderboard: one candidate of one run at its highest rung.

    ``group``: id of its group (see ``ranking``); losses are comparable only within a group. ``estimate``: what its run
    came to think of it, if it was fine-tuned, the search has ended, and the data has labels.
    """

    entry: str
    run: str
    rung: int
    status: str
    reason: str | None
    role: str
    template: str
    label_words: dict[str, str]
    settings: Mapping[str, Any]
    demos: Sequence[Mapping[str, Any]]
    validation: Score | None
    readability: float | None
    evaluations: int
    seconds: float
    tokens: int
    group: str
    estimate: ErrorEstimate | None = None

    def __repr__(self) -> str:
        loss = self.validation and self.validation.loss
        return short_repr(
            self, self.entry[:12], run=self.run, template=self.template, rung=self.rung, status=self.status, loss=loss
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; no deep copies, since a listing makes tens of thousands of them."""
        return vars(self) | {
            "validation": self.validation.to_dict() if self.validation else None,
            "estimate": self.estimate.to_dict() if self.estimate else None,
        }


# Column order of the rows' payloads, which the checksums cover.
RUN_COLUMNS = [*(column.name for column in fields(RunRecord)), "evaluations"]
EVALUATION_COLUMNS = list(Summary._fields)
EXAMPLE_COLUMNS = ["log_probs", "predictions", "row_ids", "votes"]

# Made once, as in ``canonical_json``.
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def checksum(values: Iterable[Any]) -> str:
    """Hash of a row's payload, 16 hexadecimal digits; empty for values that this program never stores."""
    try:
        return digest(canonical_json(list(values)))[:16]
    except (TypeError, ValueError):  # bytes, Inf, a lone surrogate: only damage puts them there
        return ""


def run_values(record: RunRecord, evaluations: int) -> tuple[Any, ...]:
    """The payload of a run's row. Raises InputError for values that JSON cannot hold or the schema refuses."""
    values = (
        *(record.id, record.name, record.corpus, record.fingerprint, record.model, record.seed),
        *(record.strategy, ordered_json(record.config.to_dict()), record.started, record.status, record.finished),
        None if record.result is None else ordered_json(record.result.to_dict()),
        *(ordered_json(record.environment), evaluations),
    )
    run_record(values)
    return values


def run_record(values: Sequence[Any]) -> RunRecord:
    """The inverse of ``run_values``. Raises InputError for a row that this program did not write."""
    row = dict(zip(RUN_COLUMNS, values, strict=True))
    for name in ("config", "result", "environment"):
        row[name] = None if name == "result" and row[name] is None else parsed(row[name], f"The {name} of a run")
    row_schema().check(row_schema().Run, row, "The run")
    del row["evaluations"]
    row["config"] = RunConfig.from_dict(row["config"])
    row["result"] = None if row["result"] is None else RunResult.from_dict(row["result"])
    return RunRecord(**row)


def check_summary(values: Sequence[Any]) -> None:
    """Raise InputError for an evaluation's row that this program did not write."""
    row = dict(zip(EVALUATION_COLUMNS, values, strict=True))
    row["candidate"] = parsed(row["candidate"], "The candidate of an evaluation")
    row_schema().check(row_schema().Evaluation, row, "The evaluation")


@cache
def row_schema() -> Any:
    """The module ``row_schema``, imported on first use because it loads slowly."""
    from autoprompt.leaderboard import row_schema as found

    return found


def evaluation_values(record: EvaluationRecord) -> tuple[Any, ...]:
    """The payload of an evaluation's row. Raises InputError for a record that must not be stored."""
    _check(record)
    score = record.score
    scores: tuple[Any, ...] = (None,) * 5
    if score is not None:
        scores = (_real(score.loss), _real(score.accuracy), score.metric, _real(score.value), int(score.n))
    values = (
        *(record.run, record.key, record.entry, record.role, record.split),
        *(int(record.rung), int(record.fold), int(record.repeat), record.status, record.reason),
        *(*scores, _real(record.readability), _real(record.seconds), int(record.tokens)),
        *(record.candidate.template.length, record.candidate.canonical()),
    )
    check_summary(values)
    return values


def example_values(record: EvaluationRecord) -> tuple[str, str, str, str]:
    """The payload of an evaluation's examples. Raises InputError for a log-probability that is not finite."""
    log_probs = [[_real(value) for value in row] for row in record.log_probs]
    votes = [[_real(value) for value in row] for row in record.votes]
    values = (
        *(ordered_json(log_probs), ordered_json(record.predictions), ordered_json(record.row_ids)),
        ordered_json(votes),
    )
    _read_examples(values, losses_value(record))
    return values


def losses_value(record: EvaluationRecord) -> str:
    """The payload of an evaluation's losses. Raises InputError unless they are finite and one for each row."""
    if record.losses and len(record.losses) != len(record.row_ids):
        raise InputError(
            f"The evaluation {record.key!r} of run {record.run!r} has {len(record.losses)} losses and "
            f"{len(record.row_ids)} rows; give one a row."
        )
    return ordered_json([_real(value) for value in record.losses])


def _read_examples(examples: Sequence[str], losses: str) -> Mapping[str, Any]:
    """Parsed columns of examples and losses. Raises InputError for values that this program never stores."""
    where = "The examples of an evaluation"
    row = {name: parsed(text, where) for name, text in zip(EXAMPLE_COLUMNS, examples, strict=True)}
    row["losses"] = parsed(losses, where)
    row_schema().check(row_schema().Examples, row, where)
    return row


def evaluation_record(summary: Summary, examples: Sequence[str], losses: str) -> EvaluationRecord:
    """The record of an evaluation's stored rows. Raises InputError for rows that this program did not write."""
    row = _read_examples(examples, losses)
    _check_losses(summary.status, row["losses"], "The evaluation")
    return EvaluationRecord(
        run=summary.run,
        key=summary.key,
        entry=summary.entry,
        candidate=summary.parsed(),
        role=summary.role,
        split=summary.split,
        rung=summary.rung,
        fold=summary.fold,
        repeat=summary.repeat,
        status=summary.status,
        reason=summary.reason,
        score=summary.score,
        log_probs=row["log_probs"],
        predictions=row["predictions"],
        row_ids=row["row_ids"],
        readability=summary.readability,
        seconds=summary.seconds,
        tokens=summary.tokens,
        losses=row["losses"],
        votes=row["votes"],
    )


def pinned(name: str, revision: str | None) -> str:
    """A Hub name with the commit that a run used, as ``name@revision``; without a revision the name unchanged."""
    return f"{name.partition('@')[0]}@{revision}" if revision else name


def ordered_json(value: Any) -> str:
    """JSON that preserves the order of keys, since labels are ordered. Raises InputError for NaN and non-JSON types."""
    try:
        return _encode(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"A value for the leaderboard is not plain JSON: {error}; store it otherwise.") from error


def _real(value: float | None) -> float | None:
    # SQLite stores a whole REAL as an integer, which loses the sign of -0.0; adding 0.0 removes the sign beforehand.
    return None if value is None else float(value) + 0.0


def _check(record: EvaluationRecord) -> None:
    where = f"The evaluation {record.key!r} of run {record.run!r}"
    for name, known in (("status", STATUSES), ("role", ROLES), ("split", EVALUATED_SPLITS)):
        if getattr(record, name) not in known:
            raise InputError(f"{where} has the {name} {getattr(record, name)!r}; use one of {', '.join(known)}.")
    if record.status == "complete" and record.score is None:
        raise InputError(f"{where} is complete without a score; score it, or store it as failed.")
    if record.status == "failed" and not record.reason:
        raise InputError(f"{where} failed without a reason; say why.")
    _check_losses(record.status, record.losses, where)
    score = record.score
    numbers = [record.seconds, record.readability]
    numbers += [score.loss, score.accuracy, score.value] if score else []
    if not all(number is None or math.isfinite(number) for number in numbers):
        raise InputError(f"{where} has a number that is not finite; store it as failed, without that number.")


def _check_losses(status: str, losses: Sequence[float], where: str) -> None:
    if status != "failed" and not losses:
        raise InputError(f"{where} is {status} without losses; give one a row, or store it as failed.")
