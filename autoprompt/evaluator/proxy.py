"""The frozen score (rung 0): cross-fitted logistic regression on frozen features.

A linear probe that never saw the row it scores predicts the loss after fine-tuning better than the frozen loss does:
the frozen loss is dominated by a bias that a few steps of fine-tuning remove. Two probes are fitted, one on the label
words' scores and one on the hidden state at the predicted position; their log-losses are summed.
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
HIDDEN_STRENGTH = 1.0
SCORES_STRENGTH = 10.0
"""Inverse L2 strengths (C of scikit-learn) on standardised features."""

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Probe:
    """The cross-fitted probes of one feature, one a fold: row r is scored with the weights of fold ``fold_of[r]``.

    ``mean``: [width], ``scale``: scalar, ``weight``: [folds, labels, width], ``bias``: [folds, labels].
    """

    mean: Tensor
    scale: float
    weight: Tensor
    bias: Tensor

    def log_probs(self, values: Tensor, fold_of: Tensor) -> Tensor:
        """Return log-probabilities [rows, labels], differentiable in ``values`` [rows, width]."""
        standard = (values - self.mean) / self.scale
        logits = torch.einsum("rlw,rw->rl", self.weight[fold_of], standard) + self.bias[fold_of]
        return logits.log_softmax(-1)


@dataclass(frozen=True)
class Proxy:
    """The two probes, fitted on the same rows and folds; ``scores`` is None without label words (a classifier)."""

    hidden: Probe
    scores: Probe | None
    fold_of: Tensor
    gold: Tensor

    def log_probs(self, hidden: Tensor, scores: Tensor, rows: slice = slice(None)) -> list[Tensor]:
        """Return each probe's held-out log-probabilities [rows, labels] of the given rows."""
        fold_of = self.fold_of[rows]
        found = [self.hidden.log_probs(hidden, fold_of)]
        return found + ([self.scores.log_probs(scores, fold_of)] if self.scores is not None else [])

    def losses(self, hidden: Tensor, scores: Tensor, rows: slice = slice(None)) -> Tensor:
        """Return the sum of the probes' log-losses for each row [rows]."""
        gold = self.gold[rows][:, None]
        summed = torch.stack([part.gather(1, gold) for part in self.log_probs(hidden, scores, rows)]).sum(0)
        return -summed[:, 0]

    def training_loss(self, rows: slice) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the mean loss of some rows as a function of their features, for token gradients."""
        return lambda hidden, scores: self.losses(hidden.cpu(), scores.cpu(), rows).mean()


def cross_fit(features: Features, gold: Sequence[int], labels: int) -> Proxy:
    """Fit both probes; the rows of each label are assigned to the folds in turn."""
    target = np.asarray(gold)
    fold_of = stratified_folds(gold)
    hidden = fit_probe(features.hidden.double().numpy(), target, fold_of, labels, HIDDEN_STRENGTH)
    scores = None
    if features.label_scores.shape[1]:
        scores = fit_probe(features.label_scores.double().numpy(), target, fold_of, labels, SCORES_STRENGTH)
    return Proxy(hidden, scores, torch.from_numpy(fold_of), torch.from_numpy(target))


def stratified_folds(gold: Sequence[int], folds: int = FOLDS) -> NDArray[np.int64]:
    """Return the fold of each row: stratified by label, in order of appearance."""
    seen: dict[int, int] = {}
    out = []
    for label in gold:
        out.append(seen.get(label, 0) % folds)
        seen[label] = seen.get(label, 0) + 1
    return np.asarray(out, dtype=np.int64)


def fit_probe(
    values: Array, gold: NDArray[np.int64], fold_of: NDArray[np.int64], labels: int, strength: float
) -> Probe:
    """Fit one probe a fold on the other folds' rows. A label absent there keeps a zero weight and a low bias."""
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
        model = LogisticRegression(C=strength / values.shape[1], max_iter=300)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(standard[rest], gold[rest])
        if len(present) == 2:
            weight[fold, present] = np.stack([-model.coef_[0] / 2, model.coef_[0] / 2])
            bias[fold, present] = [-model.intercept_[0] / 2, model.intercept_[0] / 2]
        else:
            weight[fold, present], bias[fold, present] = model.coef_, model.intercept_
    return Probe(
        torch.from_numpy(mean).float(), scale, torch.from_numpy(weight).float(), torch.from_numpy(bias).float()
    )
