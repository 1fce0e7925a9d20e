"""The metrics' names and ``Score``, what one evaluation comes to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

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
