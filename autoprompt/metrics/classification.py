"""Classification metrics and per-example losses, from the log-probability of every label."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from autoprompt.errors import InputError, UsageError
from autoprompt.metrics.types import METRICS, Score

ECE_BINS = 15

LogProbs = Sequence[Sequence[float]]


def losses(log_probs: LogProbs, gold: Sequence[int]) -> list[float]:
    """The log-loss of each example in nats. Raises InputError for rows that do not fit or are not finite."""
    _check(log_probs, gold, None)
    return _losses(log_probs, gold)


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
    value = accuracy if metric == "accuracy" else _value(metric, log_probs, gold, n_labels)
    if not all(math.isfinite(number) for number in (loss, accuracy, value)):
        raise InputError(f"The score is not finite (loss {loss}, {metric} {value}); count it as a failure.")
    return Score(loss, accuracy, metric, value, len(gold))


def _check(log_probs: LogProbs, gold: Sequence[int], n_labels: int | None) -> None:
    if len(log_probs) != len(gold) or not len(gold):
        raise InputError(f"{len(log_probs)} scored rows do not fit {len(gold)} labels; score each row once.")
    width = len(log_probs[0]) if n_labels is None else n_labels
    for number, (row, label) in enumerate(zip(log_probs, gold, strict=True)):
        if len(row) != width or not 0 <= label < width:
            raise InputError(
                f"Row {number} has {len(row)} log-probabilities and the label {label}; expected {width} labels."
            )
        if not all(map(math.isfinite, row)):
            raise InputError(f"Row {number} has a log-probability that is not finite; count it as a failure.")


def _losses(log_probs: LogProbs, gold: Sequence[int]) -> list[float]:
    return [0.0 - row[label] for row, label in zip(log_probs, gold, strict=True)]  # 0.0 - x is never -0.0


def _value(name: str, log_probs: LogProbs, gold: Sequence[int], n_labels: int) -> float:
    if name == "log_loss":
        return math.fsum(_losses(log_probs, gold)) / len(gold)
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
