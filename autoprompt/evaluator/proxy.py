"""The frozen score (rung 0): how well a candidate tells training and validation rows apart before any fine-tune.

With label words it is the log-loss of calibrated scores: each label's mean score over the rows is taken away (batch
calibration, Zhou et al. 2023), since a few steps of a fine-tune remove such a bias. A classifier has no label words:
there it is the log-loss of a linear probe on the hidden states, logistic regressions that never saw the row they score.
``results/benchmarks/proxies.md`` and ``agreement.md`` have what either foretells.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoprompt.models import Features

FOLDS = 4
STRENGTH = 1.0
"""Inverse L2 strength (C of scikit-learn) on standardised features."""

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


def calibrated(scores: Tensor) -> Tensor:
    """Return log-probabilities [rows, labels] of label scores without their means over the rows."""
    return Calibration(scores.mean(0)).log_probs(scores, scores)


@dataclass(frozen=True)
class Calibration:
    """Takes each label's mean score away. ``bias``: [labels], those means."""

    bias: Tensor

    def log_probs(self, _hidden: Tensor, scores: Tensor, _rows: slice = slice(None)) -> Tensor:
        """Return log-probabilities [rows, labels], differentiable in ``scores`` [rows, labels]."""
        return (scores - self.bias).log_softmax(-1)


@dataclass(frozen=True)
class Probe:
    """Cross-fitted logistic regressions, one a fold: row r is scored with the weights of fold ``fold_of[r]``.

    ``mean``: [width], ``scale``: scalar, ``weight``: [folds, labels, width], ``bias``: [folds, labels], ``fold_of``:
    [rows].
    """

    mean: Tensor
    scale: float
    weight: Tensor
    bias: Tensor
    fold_of: Tensor

    def log_probs(self, hidden: Tensor, _scores: Tensor, rows: slice = slice(None)) -> Tensor:
        """Return held-out log-probabilities [rows, labels], differentiable in ``hidden`` [rows, width]."""
        fold_of = self.fold_of[rows]
        logits = torch.einsum("rlw,rw->rl", self.weight[fold_of], (hidden - self.mean) / self.scale)
        return (logits + self.bias[fold_of]).log_softmax(-1)


@dataclass(frozen=True)
class Proxy:
    """Scores features; it stays as it is when they change, so that its loss has a gradient in them.

    ``scorer``: gives log-probabilities of the labels. ``gold``: [rows].
    """

    scorer: Calibration | Probe
    gold: Tensor

    def log_probs(self, hidden: Tensor, scores: Tensor, rows: slice = slice(None)) -> Tensor:
        """Return log-probabilities of the labels [rows, labels] of the given rows."""
        return self.scorer.log_probs(hidden, scores, rows)

    def losses(self, hidden: Tensor, scores: Tensor, rows: slice = slice(None)) -> Tensor:
        """Return the log-loss of each row [rows]."""
        return -self.log_probs(hidden, scores, rows).gather(1, self.gold[rows][:, None])[:, 0]

    def training_loss(self, rows: slice) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the mean loss of some rows as a function of their features, for token gradients."""
        return lambda hidden, scores: self.losses(hidden.cpu(), scores.cpu(), rows).mean()


def proxy_of(features: Features, gold: Sequence[int], labels: int) -> Proxy:
    """Return what scores these features; a probe's folds get the rows of each label in turn."""
    if features.label_scores.shape[1]:
        return Proxy(Calibration(features.label_scores.mean(0)), torch.tensor(gold))
    hidden = features.hidden.double().numpy()
    probe = fit_probe(hidden, np.asarray(gold), stratified_folds(gold), labels)
    return Proxy(probe, torch.tensor(gold))


def stratified_folds(gold: Sequence[int], folds: int = FOLDS) -> NDArray[np.int64]:
    """Return the fold of each row: stratified by label, in order of appearance."""
    seen: dict[int, int] = {}
    out = []
    for label in gold:
        out.append(seen.get(label, 0) % folds)
        seen[label] = seen.get(label, 0) + 1
    return np.asarray(out, dtype=np.int64)


def fit_probe(values: Array, gold: Labels, fold_of: Labels, labels: int) -> Probe:
    """Fit one regression a fold on the other folds' rows. A label absent there keeps a zero weight and a low bias."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    mean = values.mean(0)
    scale = float(np.sqrt(((values - mean) ** 2).mean())) or 1.0
    standard = (values - mean) / scale
    weight = np.zeros((FOLDS, labels, values.shape[1]))
    bias = np.full((FOLDS, labels), -10.0)
    for fold in range(FOLDS):
        rest = fold_of != fold
        present = sorted(set(gold[rest].tolist()))
        if len(present) < 2:
            bias[fold, present] = 0.0
            continue
        # The strength is divided by the width, so that models of any width are penalised alike.
        model = LogisticRegression(C=STRENGTH / values.shape[1], max_iter=300)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(standard[rest], gold[rest])
        if len(present) == 2:
            weight[fold, present] = np.stack([-model.coef_[0] / 2, model.coef_[0] / 2])
            bias[fold, present] = [-model.intercept_[0] / 2, model.intercept_[0] / 2]
        else:
            weight[fold, present], bias[fold, present] = model.coef_, model.intercept_
    centre, weights, biases = (torch.from_numpy(array).float() for array in (mean, weight, bias))
    return Probe(centre, scale, weights, biases, torch.from_numpy(fold_of))
