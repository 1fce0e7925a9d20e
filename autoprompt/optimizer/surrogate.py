"""Prediction of a fine-tune's loss from what is known before it, to choose which candidates are fine-tuned.

Bayesian ridge regression (MacKay 1992; scikit-learn) of the logarithm of the tuned loss on the frozen rung's loss,
the parent's losses and the settings. It is fitted anew at each barrier, on all that was fine-tuned: a handful of
numbers a candidate, so that its state is the leaderboard's.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoprompt.candidate import Candidate

MIN_TUNED = 10
"""Fine-tunes that have to be known before a loss is predicted."""
_SMALLEST = 1e-3
"""Losses are taken as no smaller: below, their logarithm says nothing more."""


@dataclass(frozen=True)
class Known:
    """What is known of a candidate before its fine-tune.

    ``frozen``: the frozen rung's loss. ``parent``: tuned and frozen loss of the candidate that it was bred from, where
    there is one that was fine-tuned.
    """

    candidate: Candidate
    frozen: float
    parent: tuple[float, float] | None = None


def predict_losses(tuned: Sequence[tuple[Known, float]], new: Sequence[Known]) -> list[float] | None:
    """Predicted losses of ``new`` after a fine-tune, from those of the ``tuned`` candidates; None where these are too
    few."""
    if len(tuned) < MIN_TUNED or not new:
        return None
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import BayesianRidge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    targets = np.log([max(loss, _SMALLEST) for _, loss in tuned])
    typical = (
        float(np.median([loss for _, loss in tuned])),
        float(np.median([k.frozen for k, _ in tuned])),
        float(np.mean([_log(k.candidate.settings.learning_rate) for k, _ in tuned])),
    )
    model = make_pipeline(StandardScaler(), BayesianRidge())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(_features([known for known, _ in tuned], typical), targets)
    return [math.exp(value) for value in model.predict(_features(new, typical))]


def _features(known: Sequence[Known], typical: tuple[float, float, float]) -> NDArray[np.float64]:
    """[candidates, features]. ``typical``: the losses that stand for a parent's where there is none, tuned and frozen,
    and the middle of the learning rates' logarithms, from which a rate may be too far either way."""
    rows = []
    for one in known:
        tuned, frozen = one.parent or typical[:2]
        settings = one.candidate.settings
        rate, batch, epochs, rank = map(
            _log, (settings.learning_rate, settings.batch_size, settings.epochs, settings.rank)
        )
        rows.append(
            [
                math.log(max(one.frozen, _SMALLEST)),
                math.log(max(tuned, _SMALLEST)),
                math.log(max(one.frozen, _SMALLEST) / max(frozen, _SMALLEST)),
                float(one.parent is not None),
                rate, (rate - typical[2]) ** 2, batch, epochs, rank, float(settings.calibration),
                float(one.candidate.template.length),
            ]
        )  # fmt: skip
    return np.asarray(rows)


def _log(number: float) -> float:
    """The logarithm of a hyperparameter; 0 for one that the tuning mode does not use."""
    return math.log(number) if number else 0.0
