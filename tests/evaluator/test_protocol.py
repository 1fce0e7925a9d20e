"""The evaluator, and the one of the tests that has no model, have what a search asks of an evaluator."""

import inspect
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fakes
import pytest

from autoprompt.evaluator import CandidateEvaluator, CostModel, Evaluator

ASKED = {name: member for name, member in vars(CandidateEvaluator).items() if not name.startswith("_")}
EXECUTOR: Any = SimpleNamespace(workers=1)
EVALUATORS: list[CandidateEvaluator] = [
    Evaluator(EXECUTOR, fakes.NO_ROWS, CostModel(fakes.NO_ROWS, 1), weights=Path()),
    fakes.FakeEvaluator(),
]


def _parameters(function: Callable[..., Any]) -> list[tuple[str, Any, bool]]:
    found = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default is p.empty) for p in found if p.name != "self"]


@pytest.mark.parametrize("evaluator", EVALUATORS, ids=["with a model", "without"])
@pytest.mark.parametrize("name", ASKED)
def test_an_evaluator_has_what_a_search_asks_for(evaluator: CandidateEvaluator, name: str) -> None:
    asked, found = ASKED[name], getattr(evaluator, name)
    if not isinstance(asked, property):
        assert _parameters(found) == _parameters(asked)


def test_there_is_something_to_ask_for() -> None:
    assert {"costs", "fitted", "fit", "frozen"} <= set(ASKED)
