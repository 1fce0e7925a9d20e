"""Classification metrics and per-example losses, from the log-probability of every label."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from autoprompt.errors import InputError
from autoprompt.metrics.types import Score
from autoprompt.registry import CLASSIFICATION_METRICS

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
    """Return every metric by name, and ``loss``. Raises InputError for rows that do not fit or are not finite."""
    _check(log_probs, gold, n_labels)
    values = {name: _value(name, log_probs, gold, n_labels) for name in CLASSIFICATION_METRICS}
    return values | {"loss": values["log_loss"]}


def score(log_probs: LogProbs, gold: Sequence[int], n_labels: int, metric: str) -> Score:
    """Score one evaluation. Raises InputError for rows that do not fit or are not finite, UsageError for an
    unknown metric.
    """
    chosen = CLASSIFICATION_METRICS[metric]
    _check(log_probs, gold, n_labels)
    loss = log_loss(log_probs, gold, n_labels)
    right = accuracy(log_probs, gold, n_labels)
    value = right if metric == "accuracy" else float(chosen(log_probs, gold, n_labels))
    if not all(math.isfinite(number) for number in (loss, right, value)):
        raise InputError(f"The score is not finite (loss {loss}, {metric} {value}); count it as a failure.")
    return Score(loss, right, metric, value, len(gold))


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
    return float(CLASSIFICATION_METRICS[name](log_probs, gold, n_labels))


@CLASSIFICATION_METRICS.register("accuracy")
def accuracy(log_probs: LogProbs, gold: Sequence[int], n_labels: int) -> float:
    """Share of rows whose most probable label is the gold one."""
    del n_labels
    return sum(p == g for p, g in zip(predict(log_probs), gold, strict=True)) / len(gold)


@CLASSIFICATION_METRICS.register("balanced_accuracy")
def balanced_accuracy(log_probs: LogProbs, gold: Sequence[int], n_labels: int) -> float:
    """Mean recall over the labels that occur; scikit-learn's own warns about predictions outside of them."""
    from sklearn.metrics import recall_score

    del n_labels
    present = sorted(set(gold))
    return float(recall_score(gold, predict(log_probs), labels=present, average="macro", zero_division=0))


def _averaged(name: str, average: str) -> Callable[[LogProbs, Sequence[int], int], float]:
    """Return a metric of scikit-learn over all labels, 0 for a label without predictions or rows."""

    def metric(log_probs: LogProbs, gold: Sequence[int], n_labels: int) -> float:
        from sklearn import metrics

        labels = list(range(n_labels))
        return float(getattr(metrics, name)(gold, predict(log_probs), average=average, labels=labels, zero_division=0))

    return metric


CLASSIFICATION_METRICS.register("precision_macro")(_averaged("precision_score", "macro"))
CLASSIFICATION_METRICS.register("recall_macro")(_averaged("recall_score", "macro"))
CLASSIFICATION_METRICS.register("f1_macro")(_averaged("f1_score", "macro"))
CLASSIFICATION_METRICS.register("f1_micro")(_averaged("f1_score", "micro"))


@CLASSIFICATION_METRICS.register("mcc")
def mcc(log_probs: LogProbs, gold: Sequence[int], n_labels: int) -> float:
    """Matthews correlation coefficient; 0 where a single label occurs at all, of which scikit-learn warns."""
    from sklearn.metrics import matthews_corrcoef

    del n_labels
    predicted = predict(log_probs)
    return float(matthews_corrcoef(gold, predicted)) if len({*gold, *predicted}) > 1 else 0.0


@CLASSIFICATION_METRICS.register("log_loss")
def log_loss(log_probs: LogProbs, gold: Sequence[int], n_labels: int) -> float:
    """Mean negative log-probability of the gold label, in nats."""
    del n_labels
    return math.fsum(_losses(log_probs, gold)) / len(gold)


@CLASSIFICATION_METRICS.register("ece")
def expected_calibration_error(log_probs: LogProbs, gold: Sequence[int], n_labels: int) -> float:
    """Expected calibration error over bins (lower, upper] of equal width (Guo et al. 2017)."""
    del n_labels
    gaps = [0.0] * ECE_BINS
    for row, predicted, label in zip(log_probs, predict(log_probs), gold, strict=True):
        confidence = math.exp(max(row))
        index = min(ECE_BINS - 1, max(0, math.ceil(confidence * ECE_BINS) - 1))
        gaps[index] += confidence - (predicted == label)
    return math.fsum(abs(gap) for gap in gaps) / len(gold)
