"""The best third's answers to rows without labels, which teach the winner."""

from dataclasses import replace

import pytest

from autoprompt.candidate import Candidate, Settings
from autoprompt.evaluator import Estimate, Evaluation, Rung
from autoprompt.optimizer import teach
from autoprompt.template import LabelWords, Template

WORDS = LabelWords((("neg", "bad"), ("pos", "good")))


def voter(number: int, error: float, *votes: tuple[float, float]) -> Evaluation:
    candidate = Candidate(Template.parse(f"{{text}} {number} {{label}}"), WORDS, Settings("tail", 5e-4, 8, 4, 8))
    return Evaluation(candidate, Rung.TUNED, labels=("neg", "pos"), votes=votes, estimate=Estimate((error,)))


def test_the_best_third_answers_together() -> None:
    bad = [voter(number, 0.9, (1.0, 0.0), (1.0, 0.0)) for number in range(6)]
    good = [
        voter(6, 0.2, (0.2, 0.8), (0.5, 0.5)),
        voter(7, 0.1, (0.0, 1.0), (0.9, 0.1)),
        voter(8, 0.3, (0.4, 0.6), (0.1, 0.9)),
    ]
    found = teach([*bad, *good])
    assert [pytest.approx(row) for row in found] == [(0.2, 0.8), (0.5, 0.5)]
    assert teach([*good, *bad]) == found, "whatever their order"


def test_those_that_did_not_vote_or_failed_teach_nothing() -> None:
    four = [voter(number, number / 10, (0.3, 0.7)) for number in range(4)]
    silent = replace(voter(9, 0.0), votes=())
    failed = voter(10, 0.0, (1.0, 0.0)).failed("memory")
    assert [pytest.approx(row) for row in teach([*four, silent, failed])] == [(0.3, 0.7)]


def test_fewer_than_four_teach_nobody() -> None:
    assert teach([voter(number, 0.1, (0.3, 0.7)) for number in range(3)]) == []
    assert teach([]) == []
