"""The metrics' names and ``Score``, what one evaluation comes to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from autoprompt.errors import UsageError

METRICS = (
    "accuracy",
    "balanced_accuracy",
    "precision_macro",
    "recall_macro",
    "f1_macro",
    "f1_micro",
    "mcc",
    "log_loss",
    "ece",
)
"""Of classification tasks."""
GENERATION_METRICS = ("exact_match", "token_f1", "bleu", "chrf", "rouge1", "rouge2", "rougeL")
ALL_METRICS = METRICS + GENERATION_METRICS


@dataclass(frozen=True)
class Score:
    """What one evaluation is ranked and read by: mean log-loss in nats, accuracy, the chosen metric.

    The accuracy of a generation task is its share of exact matches.
    """

    loss: float
    accuracy: float | None
    metric: str
    value: float
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def metric_names(task: str) -> tuple[str, ...]:
    """The metrics of ``classification`` or ``generation``. Raises UsageError for another task."""
    names = {"classification": METRICS, "generation": GENERATION_METRICS}
    if task not in names:
        raise UsageError(f"The task {task!r} is unknown; use one of {', '.join(names)}.")
    return names[task]
