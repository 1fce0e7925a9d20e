"""What evaluations are scored and compared by.

Heavy packages are imported where they are used, so that importing this package costs nothing.
"""

from autoprompt.metrics.classification import classification_metrics, predict, score
from autoprompt.metrics.comparison import (
    FEW,
    Comparison,
    Interval,
    chance_better,
    chances_better,
    compare,
    mean_and_deviation,
    paired_bootstrap,
    proportion_interval,
)
from autoprompt.metrics.generation import example_values, generation_metrics, generation_score
from autoprompt.metrics.types import Score, metric_names

__all__ = [
    "FEW",
    "Comparison",
    "Interval",
    "Score",
    "chance_better",
    "chances_better",
    "classification_metrics",
    "compare",
    "example_values",
    "generation_metrics",
    "generation_score",
    "mean_and_deviation",
    "metric_names",
    "paired_bootstrap",
    "predict",
    "proportion_interval",
    "score",
]
