"""What evaluations are scored and compared by.

Heavy packages are imported where they are used, so that importing this package costs nothing.
"""

from autoprompt.metrics.classification import ECE_BINS, LogProbs, classification_metrics, losses, predict, score
from autoprompt.metrics.comparison import Interval, paired_bootstrap, separable
from autoprompt.metrics.types import GREATER_IS_BETTER, METRICS, Score

__all__ = [
    "ECE_BINS",
    "GREATER_IS_BETTER",
    "METRICS",
    "Interval",
    "LogProbs",
    "Score",
    "classification_metrics",
    "losses",
    "paired_bootstrap",
    "predict",
    "score",
    "separable",
]
