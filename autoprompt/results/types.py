"""Typed results: what a search, a refinement and an evaluation return.

All are frozen. ``to_dict`` gives plain JSON values: exactly what the command prints with ``--json``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any

from autoprompt.errors import InputError
from autoprompt.metrics import Score
from autoprompt.short_repr import ShortRepr, short_repr


class Result(ShortRepr):
    """A result with a JSON form."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, in the order of the fields."""
        return {name: plain(value) for name, value in vars(self).items() if not name.startswith("_")}


@dataclass(frozen=True, repr=False)
class ErrorEstimate(Result):
    """The share of rows that a prompt is thought to get wrong, from the rows that chose the winner.

    ``deviation``: its standard error. ``unlabeled_weight``: what the rows without labels count in it, from 0 to 1.
    """

    error: float = 0.0
    deviation: float = 0.0
    unlabeled_weight: float = 0.0

    def __str__(self) -> str:
        """One phrase for people, in percent: ``21.1 ± 3.5 % (rows without labels count 16 %)``."""
        votes = f" (rows without labels count {100 * self.unlabeled_weight:.0f} %)" if self.unlabeled_weight else ""
        return f"{100 * self.error:.1f} ± {100 * self.deviation:.1f} %{votes}"


@dataclass(frozen=True, repr=False)
class ScoredPrompt(Result):
    """A prompt of a run with its scores.

    ``entry``: its id in the leaderboard. ``label_words``: label -> word or phrase; empty for a classifier and for
    generated texts. ``settings``: the tuning mode and its hyperparameters. ``validation`` and ``test``: None where it
    was not scored. ``estimate``: what ranked it among the others; None for generated texts. ``demos``: its
    demonstrations.
    """

    entry: str = ""
    template: str = ""
    label_words: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    demos: Sequence[Mapping[str, Any]] = ()
    validation: Score | None = None
    test: Score | None = None
    estimate: ErrorEstimate | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; without ``demos`` where there are none."""
        found = super().to_dict()
        return found if self.demos else {name: value for name, value in found.items() if name != "demos"}


@dataclass(frozen=True, repr=False)
class Difference(Result):
    """The winner's metric minus that of the tuned manual template, on the same ``n`` rows.

    ``low`` and ``high``: the paired 95 % interval, None where the rows are too few for one.
    """

    metric: str = ""
    value: float = 0.0
    low: float | None = None
    high: float | None = None
    n: int = 0

    @property
    def ends(self) -> tuple[float, float] | None:
        """Both ends of the interval."""
        return _ends(self.low, self.high)


@dataclass(frozen=True, repr=False)
class WinnerVersion(Result):
    """The winner as it was trained on so many ``rows``, with its score on the test rows.

    ``difference``: its accuracy (of generated texts, the metric) minus that of the first version, on the same rows.
    """

    rows: int = 0
    test: Score | None = None
    difference: Difference | None = None


@dataclass(frozen=True, repr=False)
class Spread(Result):
    """The winner's metric over folds and repeats: each value, their mean and standard deviation."""

    metric: str = ""
    values: Sequence[float] = ()
    mean: float = 0.0
    deviation: float = 0.0


@dataclass(frozen=True, repr=False)
class Transferred(Result):
    """Where a transferred prompt was found, and the ``split`` that it was scored on."""

    entry: str = ""
    run: str = ""
    corpus: str = ""
    model: str = ""
    split: str = "validation"


@dataclass(frozen=True, repr=False)
class WarmStart(Result):
    """An earlier run that a search began with: how alike its data are (0 to 1), and the number of its prompts."""

    run: str = ""
    corpus: str = ""
    model: str = ""
    similarity: float = 0.0
    parts: Mapping[str, float] = field(default_factory=dict)
    prompts: int = 0


@dataclass(frozen=True, repr=False)
class Change(Result):
    """Scores before and after refining. ``clear``: whether a paired test tells them apart; None without a test."""

    before: Score | None = None
    after: Score | None = None
    clear: bool | None = None

    @property
    def worse(self) -> bool:
        """Whether the mean loss rose."""
        return self.before is not None and self.after is not None and self.after.loss > self.before.loss


@dataclass(frozen=True, repr=False)
class LossDifference(Result):
    """A mean loss after minus before, in nats; ``low`` and ``high`` as in ``Difference``."""

    loss: float = 0.0
    low: float | None = None
    high: float | None = None

    @property
    def ends(self) -> tuple[float, float] | None:
        """Both ends of the interval."""
        return _ends(self.low, self.high)


@dataclass(frozen=True, repr=False)
class Refinement(Result):
    """How an entry changed when it was trained further with new rows.

    ``entry``, ``run``: the entry that it began with. ``rows``: numbers of old, new and judged rows. ``validation``: the
    scores on the old validation rows, none where the entry has learnt these; ``new``: on the new ones. ``difference``:
    over all judged rows. ``kept``: whether there is a new entry.
    """

    entry: str = ""
    run: str = ""
    rows: Mapping[str, int] = field(default_factory=dict)
    validation: Change = Change()
    new: Change = Change()
    difference: LossDifference = LossDifference()
    kept: bool = True

    @property
    def worse_on_all(self) -> bool:
        """Whether the mean loss rose on the new rows and, where they judge, on the old validation rows."""
        return self.new.worse and (self.validation.worse or self.validation.after is None)


@dataclass(frozen=True, repr=False)
class RunResult(Result):
    """What a run came to.

    ``best``: the winner. ``versions``: the winner as it was trained on training rows alone ("single"), and on
    validation rows and rows without labels as well ("refit"), which is kept and has the scores of ``best`` on the test
    rows; empty where it was not trained once more. ``data``: what was read of the data.
    ``evaluations``: fine-tunes of the search; ``frozen``: frozen scores. ``weights``: the stored weights of the winner,
    None for a frozen model. ``baselines``: manual, manual_tuned, null and random, as far as they were scored.
    ``history``: statistics of each generation. ``left_out``: what the budget left no time for. ``verdict``: whether the
    winner is better than the tuned manual template. ``refine``: for a run that refined an entry; ``run`` and ``best``
    are None if that was not kept.
    """

    run: str | None = None
    corpus: str = ""
    data: Mapping[str, Any] | None = None
    model: str = ""
    evaluations: int = 0
    frozen: int = 0
    generations: int = 0
    finalists: int = 0
    seconds: float = 0.0
    best: ScoredPrompt | None = None
    weights: str | None = None
    versions: Mapping[str, WinnerVersion] = field(default_factory=dict)
    spread: Spread | None = None
    baselines: Mapping[str, ScoredPrompt | None] = field(default_factory=dict)
    difference: Difference | None = None
    transfer: Transferred | None = None
    warm_start: Sequence[WarmStart] = ()
    warnings: Sequence[str] = ()
    history: Sequence[Mapping[str, Any]] = ()
    left_out: Sequence[str] = ()
    verdict: str = ""
    refine: Refinement | None = None

    def __repr__(self) -> str:
        best = self.best and self.best.template
        return short_repr(self, self.run, corpus=self.corpus, model=self.model, best=best, verdict=self.verdict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; of a result that was read exactly what was read, since other versions store other keys."""
        stored = vars(self).get("_stored")
        return super().to_dict() if stored is None else dict(stored)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunResult:
        """The inverse of ``to_dict``; a missing value takes its default. Raises InputError for other types."""
        from pydantic import ValidationError

        refine = values.get("refine")
        try:
            found: RunResult = _reader().validate_python(_given(values) | _given({"refine": refine and _given(refine)}))
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"]))
            raise InputError(f"The result of a run has an unusable value at {where!r}; restore a backup.") from error
        vars(found)["_stored"] = values
        return found


@dataclass(frozen=True, repr=False)
class EvaluationResult(Result):
    """One candidate, fine-tuned on the training rows and scored on a split of ``n`` rows.

    ``metrics``: all metrics by name, and ``loss`` (nats). ``data``: what was read of the data.
    """

    template: str
    label_words: Mapping[str, str]
    tuning: str
    settings: Mapping[str, Any]
    split: str
    metrics: Mapping[str, float]
    n: int
    seconds: float
    data: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        known = {name: self.metrics[name] for name in ("loss", "accuracy") if name in self.metrics}
        return short_repr(self, self.template, tuning=self.tuning, split=self.split, n=self.n, **known)


def _ends(low: float | None, high: float | None) -> tuple[float, float] | None:
    return None if low is None or high is None else (low, high)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without the values that are null, which take their defaults."""
    return {name: value for name, value in values.items() if value is not None}


def plain(value: Any) -> Any:
    """A value as plain JSON: results and scores as dicts, sequences as lists."""
    if isinstance(value, Result):
        return value.to_dict()
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {name: plain(own) for name, own in value.items()}
    if isinstance(value, list | tuple):
        return [plain(own) for own in value]
    return value


@cache
def _reader() -> Any:
    """pydantic's reader of a run's result, made with its first use."""
    from pydantic import TypeAdapter

    return TypeAdapter(RunResult)
