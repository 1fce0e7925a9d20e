"""Classification metrics, per-example losses, and the paired test that comparisons rest on.

scikit-learn and numpy are imported where they are used, so that importing this module costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from autoprompt.errors import InputError, UsageError

ECE_BINS = 15
_CHUNK = 2_000_000  # resampled values held in memory at once

GREATER_IS_BETTER = {
    "accuracy": True,
    "balanced_accuracy": True,
    "precision_macro": True,
    "recall_macro": True,
    "f1_macro": True,
    "f1_micro": True,
    "mcc": True,
    "log_loss": False,
    "ece": False,
}
METRICS = tuple(GREATER_IS_BETTER)

LogProbs = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Score:
    """What one evaluation is ranked and read by: mean log-loss in nats, accuracy, the chosen metric."""

    loss: float
    accuracy: float | None
    metric: str
    value: float
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Interval:
    """Bootstrap interval of a mean paired difference; ``p_better`` is the share of resamples below 0."""

    mean: float
    low: float
    high: float
    p_better: float


def losses(log_probs: LogProbs, gold: Sequence[int]) -> list[float]:
    """The log-loss of each example in nats. Raises InputError for rows that do not fit or are not finite."""
    _check(log_probs, gold, None)
    return [0.0 - row[label] for row, label in zip(log_probs, gold, strict=True)]  # 0.0 - x is never -0.0


def predict(log_probs: LogProbs) -> list[int]:
    """The most probable label of each row, the first one on ties."""
    return [max(range(len(row)), key=row.__getitem__) for row in log_probs]


def classification_metrics(log_probs: LogProbs, gold: Sequence[int], n_labels: int) -> dict[str, float]:
    """All of ``METRICS`` and ``loss``. Raises InputError for rows that do not fit or are not finite."""
    _check(log_probs, gold, n_labels)
    values = {name: _value(name, log_probs, gold, n_labels) for name in METRICS}
    return values | {"loss": values["log_loss"]}


def score(log_probs: LogProbs, gold: Sequence[int], n_labels: int, metric: str) -> Score:
    """Score one evaluation. Raises InputError for rows that do not fit or are not finite, UsageError for an
    unknown metric.
    """
    if metric not in METRICS:
        raise UsageError(f"The metric {metric!r} is unknown; use one of {', '.join(METRICS)}.")
    _check(log_probs, gold, n_labels)
    loss = _value("log_loss", log_probs, gold, n_labels)
    accuracy = _value("accuracy", log_probs, gold, n_labels)
    value = _value(metric, log_probs, gold, n_labels)
    if not all(math.isfinite(number) for number in (loss, accuracy, value)):
        raise InputError(f"The score is not finite (loss {loss}, {metric} {value}); count it as a failure.")
    return Score(loss, accuracy, metric, value, len(gold))


def paired_bootstrap(
    a: Sequence[float], b: Sequence[float], *, samples: int = 10_000, seed: int = 0, confidence: float = 0.95
) -> Interval:
    """The mean of a - b over paired examples with its percentile interval; losses below 0 favour ``a``.

    Raises InputError when the two are not paired, empty or not finite, and UsageError for other arguments.
    """
    import numpy as np

    if samples < 1 or not 0 < confidence < 1:
        raise UsageError(f"Give samples above 0 and a confidence between 0 and 1, not {samples}, {confidence}.")
    if len(a) != len(b) or not len(a):
        raise InputError(f"A paired test needs the same rows on both sides, not {len(a)} and {len(b)}.")
    differences = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    if not np.isfinite(differences).all():
        raise InputError("A paired test was given a loss that is not finite; count it as a failure.")
    n = len(differences)
    generator = np.random.default_rng(seed)
    rows = max(1, _CHUNK // n)
    parts = [
        differences[generator.integers(0, n, size=(min(rows, samples - start), n))].mean(axis=1)
        for start in range(0, samples, rows)
    ]
    means = np.concatenate(parts)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    better = float((means < 0).mean() + (means == 0).mean() / 2)
    return Interval(float(differences.mean()), float(low), float(high), better)


def separable(a: Sequence[float], b: Sequence[float], confidence: float = 0.95) -> bool:
    """Whether the paired test says which of two is better: its interval leaves out 0.

    So few rows that even agreeing signs would be chance (2 ** (1 - n) > 1 - confidence) separate nothing: a
    bootstrap of two or three rows is sure of anything. Raises as ``paired_bootstrap`` does.
    """
    interval = paired_bootstrap(a, b, confidence=confidence)
    enough = 0.5 ** (len(a) - 1) <= 1 - confidence
    return enough and (interval.high < 0 or interval.low > 0)


def _check(log_probs: LogProbs, gold: Sequence[int], n_labels: int | None) -> None:
    if len(log_probs) != len(gold) or not len(gold):
        raise InputError(f"{len(log_probs)} scored rows do not fit {len(gold)} labels; score each row once.")
    width = len(log_probs[0]) if n_labels is None else n_labels
    for number, (row, label) in enumerate(zip(log_probs, gold, strict=True)):
        if len(row) != width or not 0 <= label < width:
            raise InputError(
                f"Row {number} has {len(row)} log-probabilities and the label {label}; expected {width} labels."
            )
        if not all(math.isfinite(value) for value in row):
            raise InputError(f"Row {number} has a log-probability that is not finite; count it as a failure.")


def _value(name: str, log_probs: LogProbs, gold: Sequence[int], n_labels: int) -> float:
    if name == "log_loss":
        return math.fsum(losses(log_probs, gold)) / len(gold)
    predicted = predict(log_probs)
    if name == "accuracy":
        return sum(p == g for p, g in zip(predicted, gold, strict=True)) / len(gold)
    if name == "ece":
        confidence = [math.exp(max(row)) for row in log_probs]
        return _calibration_error(confidence, [p == g for p, g in zip(predicted, gold, strict=True)])
    return float(_sklearn_metric(name, n_labels)(gold, predicted))


def _calibration_error(confidence: Sequence[float], correct: Sequence[bool]) -> float:
    """Expected calibration error over bins (lower, upper] of equal width."""
    gaps = [0.0] * ECE_BINS
    for value, hit in zip(confidence, correct, strict=True):
        index = min(ECE_BINS - 1, max(0, math.ceil(value * ECE_BINS) - 1))
        gaps[index] += value - hit
    return math.fsum(abs(gap) for gap in gaps) / len(confidence)


def _sklearn_metric(name: str, n_labels: int) -> Callable[[Sequence[int], Sequence[int]], float]:
    from sklearn import metrics

    labels = range(n_labels)
    common = {"labels": list(labels), "zero_division": 0}

    def balanced(gold: Sequence[int], predicted: Sequence[int]) -> float:
        # Mean recall over the labels that occur; scikit-learn's own warns about predictions outside of them.
        present = sorted(set(gold))
        return float(metrics.recall_score(gold, predicted, labels=present, average="macro", zero_division=0))

    def mcc(gold: Sequence[int], predicted: Sequence[int]) -> float:
        # matthews_corrcoef warns when a single label occurs at all; it would answer 0.
        return float(metrics.matthews_corrcoef(gold, predicted)) if len({*gold, *predicted}) > 1 else 0.0

    def averaged(function: Callable[..., float], average: str) -> Callable[..., float]:
        return lambda gold, predicted: function(gold, predicted, average=average, **common)

    functions: dict[str, Callable[[Sequence[int], Sequence[int]], float]] = {
        "balanced_accuracy": balanced,
        "mcc": mcc,
        "precision_macro": averaged(metrics.precision_score, "macro"),
        "recall_macro": averaged(metrics.recall_score, "macro"),
        "f1_macro": averaged(metrics.f1_score, "macro"),
        "f1_micro": averaged(metrics.f1_score, "micro"),
    }
    return functions[name]
