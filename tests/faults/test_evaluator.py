"""The numbered faults of candidates that an evaluator is given; no model is needed for that."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny

from autoprompt.candidate import Candidate, Settings
from autoprompt.evaluator import CostModel, Evaluation, Evaluator, Rung
from autoprompt.evaluator.worker import Work
from autoprompt.template import LabelWords, Template

CORPUS: Any = SimpleNamespace(labels=tiny.LABELS, train=(), validation=(), unlabeled=())


class Counting:
    """An executor whose every score is another, and fails where it is told to."""

    workers = 1

    def __init__(self, status: str) -> None:
        self.status = status
        self.scored: list[Evaluation] = []

    def map(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        gate: Callable[[], bool] | None = None,
        **_: Any,
    ) -> Iterator[Work]:
        del function, gate
        for item in items:
            if type(item).__name__ not in ("FitTask", "FrozenTask"):
                yield Work(0, 0.0, 0)
                continue
            loss = float(len(self.scored))
            self.scored.append(replace(item.evaluation, status=self.status, losses=(loss,), row_ids=("a",)))
            yield Work(self.scored[-1], 1.0, 7)


def _evaluator(executor: Counting, watched: list[Evaluation | None]) -> Evaluator:
    costs = CostModel(CORPUS, executor.workers)
    observers = [lambda evaluation, _: watched.append(evaluation)]
    return Evaluator(executor, CORPUS, costs, weights=Path(), observers=observers)  # type: ignore[arg-type]


def _candidate(source: str = "{text}\nSentiment: {label}", rank: int = 4) -> Candidate:
    return Candidate(Template.parse(source), LabelWords.of(tiny.WORDS, tiny.LABELS), Settings("tail", 1e-3, 8, 2, rank))


@pytest.mark.parametrize("status", ["complete", "failed"])
def test_fault_14_a_duplicate_reuses_the_stored_score(status: str) -> None:
    """A candidate that was bred again is another object; it is the same if its canonical form is."""
    executor = Counting(status)
    watched: list[Evaluation | None] = []
    evaluator = _evaluator(executor, watched)
    first, other = _candidate(), _candidate("It was {text}: {label}")
    again = Candidate.from_dict(first.to_dict())
    assert again is not first
    one, two, three = evaluator.fit([first, other, again])
    assert (one, one.status) == (three, status)
    assert one.losses != two.losses
    counts = (evaluator.fitted, evaluator.tokens, len(executor.scored), len(watched))
    assert counts[0] == counts[2] == 2
    assert evaluator.fit([again, other]) == [one, two]
    assert (evaluator.fitted, evaluator.tokens, len(executor.scored), len(watched)) == counts
    (new,) = evaluator.fit([_candidate(rank=2)])
    assert new.losses == (2.0,)


def test_fault_14_of_duplicates_that_differ_in_settings_the_frozen_score_is_reused() -> None:
    executor = Counting("complete")
    evaluator = _evaluator(executor, [])
    one, two = evaluator.frozen([_candidate(), _candidate(rank=2)])
    (three,) = evaluator.frozen([_candidate(rank=8)])
    assert len(executor.scored) == 1
    assert one.losses == two.losses == three.losses
    assert [e.candidate.settings.rank for e in (one, two, three)] == [4, 2, 8]
    assert one.rung == Rung.FROZEN
