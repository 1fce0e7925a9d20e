"""``Score``, the result of one evaluation, and the names of the metrics."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from autoprompt.errors import UsageError
from autoprompt.registry import CLASSIFICATION_METRICS, GENERATION_METRICS


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
    tasks = {"classification": CLASSIFICATION_METRICS, "generation": GENERATION_METRICS}
    if task not in tasks:
        raise UsageError(f"The task {task!r} is unknown; use one of {', '.join(tasks)}.")
    return tuple(tasks[task])
