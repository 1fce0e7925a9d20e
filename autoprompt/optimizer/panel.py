"""Estimates of candidates' errors from rows with labels and rows without.

A fine-tuned candidate's error is first the mean probability that it leaves to wrong labels on the validation rows: it
ranks better than the log loss, which a few confident mistakes decide. Where there are unlabelled rows, candidates judge
one another on them: the *consensus* for a candidate is the answer of the mean probabilities of the better half of the
others, and its agreement with that says how good it is (zero-label prompt selection, Liao et al. 2022; Parisi et al.
2014, whose condition it shares: candidates that err independently of one another).

The two are combined as two noisy measurements of one error, by the best linear predictor (empirical Bayes, Efron and
Morris 1973). As in prediction-powered inference (Angelopoulos et al. 2023, PPI++), the rows with labels decide what the
consensus is worth: how often it is right there turns agreement into an error, and how the two measurements vary
together over the candidates gives their weights, shrunk to those of a model in which they measure the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from autoprompt.evaluator import Estimate, Evaluation

MIN_VOTERS = 4
"""Fewer candidates make no consensus."""
MIN_TEACHERS = 3
"""The least number of candidates whose mean answers teach another."""
MIN_MARGIN = 0.3
"""The consensus must be right on labelled rows so much more often than a guess of the same kind would be."""
PRIOR = 24
"""Candidates that the weights of the model count for beside those that were observed."""
MODEL_ERROR = 0.03
"""Standard deviation by which agreement misses the error, whatever the number of rows: candidates err alike."""
LEAST_SPREAD = 0.25
"""The least share of the variance of an estimate that is taken for differences between candidates, not for noise."""

Matrix = NDArray[np.float64]


def judged(evaluations: Sequence[Evaluation], voters: Sequence[Evaluation]) -> list[Evaluation]:
    """The evaluations, each complete one of a corpus with labels with an ``Estimate`` of its error.

    ``voters``: evaluations of the data's own split, whose votes on the unlabelled rows are the panel's; those of the
    candidates to be judged must be among them. Without votes, with fewer than ``MIN_VOTERS``, and where the consensus
    is no better on labelled rows than guesses, the labelled rows decide alone. All evaluations are judged alike.
    """
    scored = [e for e in evaluations if e.complete and e.labels and e.gold]
    if not scored:
        return list(evaluations)
    voting = [e for e in voters if e.complete and e.votes]
    panel = Panel.of(voting) if len(voting) >= MIN_VOTERS else None
    errors = {id(e): labelled_errors(e) for e in scored}
    weight = panel.weight(float(np.mean([len(rows) for rows in errors.values()]))) if panel is not None else 0.0
    if weight and not all(e.candidate.id in panel.places for e in scored):  # type: ignore[union-attr]
        weight = 0.0
    found = []
    for e in evaluations:
        if id(e) not in errors:
            found.append(e)
            continue
        rows = (1 - weight) * errors[id(e)]
        votes = weight * panel.vote_errors[panel.places[e.candidate.id]] if panel is not None and weight else _NO_VOTES
        found.append(replace(e, estimate=Estimate(tuple(rows), tuple(votes), weight)))
    return found


def teach(evaluations: Sequence[Evaluation]) -> list[tuple[float, ...]]:
    """The answers of the best third to the unlabelled rows: their mean probabilities of the labels [rows][labels]
    (pattern-exploiting training, Schick and Schütze 2021). Empty with fewer than ``MIN_VOTERS`` votes on them.

    ``evaluations``: judged ones of the data's own split, whose estimates say which are the best.
    """
    voting = sorted((e for e in evaluations if e.complete and e.votes), key=lambda e: e.fitness)
    if len(voting) < MIN_VOTERS:
        return []
    best = voting[: max(MIN_TEACHERS, -(-len(voting) // 3))]
    return [tuple(row) for row in np.mean([e.votes for e in best], axis=0).tolist()]


def labelled_errors(evaluation: Evaluation) -> Matrix:
    """The probability that an evaluation leaves to wrong labels on each of its rows [rows]."""
    log_probs = np.asarray(evaluation.log_probs)
    return np.asarray(1.0 - np.exp(log_probs[np.arange(len(evaluation.gold)), np.asarray(evaluation.gold)]))


_NO_VOTES: Matrix = np.empty(0)


@dataclass(frozen=True)
class Panel:
    """Candidates that vote on unlabelled rows.

    ``ids`` [K]: candidates. ``errors`` [K, n]: the probability that each leaves to wrong labels on each validation row;
    NaN where the row is one of its demonstrations. ``gold`` [n]: label indices. ``probabilities`` [K, n + u, C]: those
    of the labels, on validation rows and on unlabelled ones.
    """

    ids: tuple[str, ...]
    errors: Matrix
    gold: NDArray[np.int64]
    probabilities: Matrix

    @classmethod
    def of(cls, voters: Sequence[Evaluation]) -> Panel:
        """The panel of complete evaluations of the data's own split that have votes, in their order."""
        rows = {row: gold for e in voters for row, gold in zip(e.row_ids, e.gold, strict=True)}
        place = {row: number for number, row in enumerate(rows)}
        n, u, labels = len(rows), len(voters[0].votes), len(voters[0].labels)
        errors = np.full((len(voters), n), np.nan)
        probabilities = np.full((len(voters), n + u, labels), 1 / labels)
        for k, e in enumerate(voters):
            known = [place[row] for row in e.row_ids]
            probabilities[k, known] = np.exp(np.asarray(e.log_probs))
            probabilities[k, n:] = np.asarray(e.votes)
            errors[k, known] = labelled_errors(e)
        gold = np.asarray(list(rows.values()), dtype=np.int64)
        return cls(tuple(e.candidate.id for e in voters), errors, gold, probabilities)

    @cached_property
    def places(self) -> dict[str, int]:
        """Candidate id -> place in the panel."""
        return {candidate: place for place, candidate in enumerate(self.ids)}

    @cached_property
    def labelled(self) -> Matrix:
        """Each candidate's error on the validation rows [K]."""
        return np.asarray(np.nanmean(self.errors, axis=1))

    @cached_property
    def consensus(self) -> NDArray[np.int64]:
        """For each candidate the answers of the better half of the others [K, n + u]."""
        order = np.argsort(self.labelled, kind="stable")
        better = np.zeros(len(order))
        better[order[: (len(order) + 1) // 2]] = 1.0
        whole = np.tensordot(better, self.probabilities, 1)
        others = whole[None] - better[:, None, None] * self.probabilities
        return np.asarray(others.argmax(axis=2))

    @cached_property
    def reliability(self) -> float:
        """The share of validation rows on which the consensus is right, over all candidates; with one right and one
        wrong answer more, so that few rows prove nothing."""
        n = len(self.gold)
        right = float((self.consensus[:, :n] == self.gold).mean())
        return (right * n + 1) / (n + 2)

    @property
    def guess(self) -> float:
        """How often a wrong candidate agrees with the consensus, if wrong answers are spread evenly."""
        return float((1 - self.reliability) / (self.probabilities.shape[2] - 1))

    @cached_property
    def vote_errors(self) -> Matrix:
        """Unbiased estimates of being wrong on each unlabelled row [K, u], from agreement with a consensus of this
        reliability; they may lie outside 0 and 1, their means mostly do not."""
        own = self.probabilities[:, len(self.gold) :].argmax(axis=2)
        agreed = own == self.consensus[:, len(self.gold) :]
        return np.asarray(1.0 - (agreed - self.guess) / (self.reliability - self.guess))

    def weight(self, rows: float) -> float:
        """The weight of the unlabelled rows in an estimate beside so many labelled ones, from 0 to 1.

        Candidates' errors on labelled rows and on unlabelled ones are taken for two noisy measurements, (L, U), of one
        error that differs between candidates. The weights of its best linear predictor are S^-1 c, with S the
        covariance of (L, U) and c their covariance with the error; both are averages of what is observed (the noise of
        L is known from its rows, and that of U is independent of it, so that their covariance is that with the error)
        and of what a model says in which U measures the error as L does, but for ``MODEL_ERROR``.
        """
        if self.reliability - self.guess < MIN_MARGIN:
            return 0.0
        first, second = self.labelled, self.vote_errors.mean(axis=1)
        row_noise = _row_variance(self.errors)
        noise, vote_noise = row_noise / len(self.gold), _row_variance(self.vote_errors) / self.vote_errors.shape[1]
        (own, both), (_, other) = np.cov(first, second)
        spread = max(own - noise, LEAST_SPREAD * own, LEAST_SPREAD * (other - vote_noise - MODEL_ERROR**2))
        share = len(self.ids) / (len(self.ids) + PRIOR)
        extra = row_noise / rows - noise  # the estimate may be of more rows than the panel's
        covariance = share * np.array([[own, both], [both, other]]) + (1 - share) * np.array(
            [[spread + noise, spread], [spread, spread + vote_noise + MODEL_ERROR**2]]
        )
        covariance[0, 0] = max(covariance[0, 0] + extra, 0.0)
        target = share * np.array([max(own - noise, 0.0), both]) + (1 - share) * np.array([spread, spread])
        try:
            found = np.clip(np.linalg.solve(covariance, target), 0.0, None)
        except np.linalg.LinAlgError:  # all candidates answer alike
            return 0.0
        total = float(found.sum())
        return float(found[1]) / total if total > 0 else 0.0


def _row_variance(values: Matrix) -> float:
    """The variance of a candidate's values over rows, without what all candidates have in common on a row."""
    centred = values - np.nanmean(values, axis=0, keepdims=True)
    return float(np.nanmean(np.nanvar(centred, axis=1, ddof=1)))
