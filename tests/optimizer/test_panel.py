"""Simulated voters: agreement on unlabelled rows helps where it can, and counts for little where it would mislead."""

import math
from collections.abc import Sequence
from functools import cache
from statistics import fmean

import numpy as np
import pytest
import tiny
from numpy.typing import NDArray
from scipy.stats import spearmanr

from autoprompt.candidate import Candidate, Settings
from autoprompt.evaluator import Evaluation, Rung
from autoprompt.optimizer.panel import MIN_VOTERS, judged
from autoprompt.optimizer.racing import best, chances_of_winning, ranked
from autoprompt.template import LabelWords, Template

LABELLED, UNLABELLED = 32, 200
SEEDS = range(12)


def candidate(number: int) -> Candidate:
    return Candidate(
        Template.parse(f"{{text}} {number} {{label}}"), LabelWords.of(tiny.WORDS, tiny.LABELS), Settings("none")
    )


def probabilities(
    rng: np.random.Generator, right: NDArray[np.bool_], gold: NDArray[np.int64], labels: int, sure: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of voters that are right on some rows: [voters, rows, labels]; a wrong answer is a little less sure."""
    wrong = (gold + rng.integers(1, labels, right.shape)) % labels
    top = np.clip(rng.normal(sure[:, None] - 0.08 * ~right, 0.1), 1 / labels + 0.02, 0.99)
    spread = np.repeat(((1 - top) / (labels - 1))[:, :, None], labels, axis=2)
    np.put_along_axis(spread, np.where(right, gold, wrong)[:, :, None], top[:, :, None], axis=2)
    return spread


def voters(kind: str, seed: int, *, count: int, labels: int = 2) -> tuple[list[Evaluation], NDArray[np.float64]]:
    """Evaluations with votes, and how often each is right in truth.

    ``kind``: "like" rows; unlabelled rows of another "domain", where others are good; of one "class"; five rows again
    and again ("duplicates"); or three of four voters that collude: they give one answer to everything.
    """
    rng = np.random.default_rng([seed, count, labels])
    skill = rng.uniform(0.6, 0.9, count)
    rows = LABELLED + UNLABELLED
    difficulty = rng.normal(0, 0.12, rows)  # of a row, for all: errors are not independent of one another
    gold = rng.integers(0, labels, rows)
    chance = skill[:, None] + difficulty
    if kind == "domain":
        chance[:, LABELLED:] = rng.permutation(skill)[:, None] + difficulty[LABELLED:]
    if kind == "class":
        gold[LABELLED:] = 0
        chance[:, LABELLED:] = (skill + rng.normal(0, 0.15, count))[:, None]
    right = rng.random(chance.shape) < np.clip(chance, 0.02, 0.98)
    found = probabilities(rng, right, gold, labels, np.clip(skill + rng.normal(0, 0.05, count), 0.55, 0.95))
    if kind == "duplicates":
        found[:, LABELLED:] = found[:, LABELLED + rng.integers(0, 5, UNLABELLED)]
    if kind == "collude":
        colluding = 3 * count // 4
        found[:colluding] = 0.1 / (labels - 1)
        found[:colluding, :, 0] = 0.9
        skill[:colluding] = 1 / labels
    return [
        evaluation(number, own[:LABELLED], gold[:LABELLED], own[LABELLED:]) for number, own in enumerate(found)
    ], skill


def evaluation(
    number: int, scores: NDArray[np.float64], gold: NDArray[np.int64], votes: NDArray[np.float64] | None
) -> Evaluation:
    log_probs = np.log(scores)
    return Evaluation(
        candidate(number),
        Rung.TUNED,
        labels=tuple(f"l{n}" for n in range(scores.shape[1])),
        row_ids=tuple(f"r{n}" for n in range(len(gold))),
        gold=tuple(gold.tolist()),
        log_probs=tuple(map(tuple, log_probs.tolist())),
        losses=tuple(-log_probs[np.arange(len(gold)), gold]),
        votes=() if votes is None else tuple(map(tuple, votes.round(4).tolist())),
    )


def rank(values: Sequence[float], skill: NDArray[np.float64]) -> float:
    return float(spearmanr([-value for value in values], skill)[0])


@cache
def outcome(kind: str, count: int, labels: int) -> tuple[float, float, float]:
    """Over the seeds: the mean weight of the votes, and the mean rank correlation with the truth of the estimate and of
    what the labelled rows say alone."""
    weights, estimated, alone = [], [], []
    for seed in SEEDS:
        found, skill = voters(kind, seed, count=count, labels=labels)
        whole = [e.estimate for e in judged(found, found)]
        without = [e.estimate for e in judged(found, [])]
        weights.append(fmean(e.weight for e in whole if e))
        estimated.append(rank([e.error for e in whole if e], skill))
        alone.append(rank([e.error for e in without if e], skill))
    return fmean(weights), fmean(estimated), fmean(alone)


@pytest.mark.parametrize("labels", [2, 4])
@pytest.mark.parametrize("count", [8, 24])
def test_votes_on_rows_like_the_labelled_ones_rank_better(count: int, labels: int) -> None:
    weight, estimated, alone = outcome("like", count, labels)
    assert weight > 0.25
    assert estimated > alone + (0.01 if count == 8 else 0.04)


@pytest.mark.parametrize("labels", [2, 4])
@pytest.mark.parametrize("count", [8, 24])
@pytest.mark.parametrize("kind", ["domain", "class", "duplicates", "collude"])
def test_votes_that_mislead_count_for_little(kind: str, count: int, labels: int) -> None:
    weight, estimated, alone = outcome(kind, count, labels)
    assert weight < 0.6 * outcome("like", count, labels)[0]
    assert estimated > alone - (0.12 if count == 8 else 0.03)


@pytest.mark.parametrize("count", [1, MIN_VOTERS - 1])
def test_few_voters_make_no_consensus(count: int) -> None:
    found, _ = voters("like", 0, count=count)
    for one in judged(found, found):
        assert one.estimate is not None
        assert one.estimate.weight == 0
        assert one.estimate.unlabelled == ()
        wrong = [1 - math.exp(row[gold]) for row, gold in zip(one.log_probs, one.gold, strict=True)]
        assert one.estimate.error == pytest.approx(fmean(wrong))


def test_what_has_no_score_has_no_estimate() -> None:
    found, _ = voters("like", 0, count=6)
    failed, texts = found[0].failed("no memory"), Evaluation(candidate(9), Rung.TUNED, losses=(0.5,), outputs=("a",))
    again = judged([failed, texts, *found[1:]], [failed, *found[1:]])
    assert [e.estimate is None for e in again] == [True, True, *[False] * 5]
    assert again[1].fitness == 0.5


def test_the_order_of_the_voters_changes_nothing() -> None:
    found, _ = voters("like", 3, count=12)
    shuffled = [found[n] for n in np.random.default_rng(0).permutation(12)]
    one, two = ({e.candidate.id: e.fitness for e in judged(given, given)} for given in (found, shuffled))
    assert one == pytest.approx(two)


def test_voters_that_all_answer_alike_are_no_error() -> None:
    found, _ = voters("like", 0, count=1)
    same = [Evaluation(**{**vars(found[0]), "candidate": candidate(n)}) for n in range(6)]
    assert len({e.fitness for e in judged(same, same)}) == 1


def test_rows_that_are_demonstrations_are_left_out() -> None:
    found, _ = voters("like", 1, count=8)
    shown = found[2]
    fewer = {name: getattr(shown, name)[3:] for name in ("row_ids", "gold", "log_probs", "losses")}
    again = judged([*found[:2], Evaluation(**{**vars(shown), **fewer}), *found[3:]], found)
    assert [len(e.estimate.labelled) for e in again if e.estimate] == [32, 32, 29, *[32] * 5]


def test_the_better_of_two_wins_by_its_rows_of_both_kinds() -> None:
    found, skill = voters("like", 5, count=24)
    order = ranked(judged(found, found))
    chances = chances_of_winning(order[0], order[1:])
    assert all(0.5 <= chance <= 1 for chance in chances)
    assert chances[-1] > 0.99
    assert chances[0] < 0.95
    assert order[0].estimate is not None
    assert 0.01 < order[0].estimate.deviation < 0.1
    winner = best(order)
    assert skill[int(winner.candidate.template.format().split()[1])] > np.median(skill)
