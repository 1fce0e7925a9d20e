"""What a finished search says of its winner, in words."""

from typing import Any

import pytest

from autoprompt.results import RunResult
from autoprompt.results import verdict as verdict_of

SCORE = {"loss": 0.5, "accuracy": 0.75, "metric": "accuracy", "value": 0.75, "n": 400}


def result(low: float, high: float, metric: str = "accuracy", **more: Any) -> dict[str, Any]:
    difference = {"metric": metric, "value": (low + high) / 2, "low": low, "high": high}
    best = {"entry": "b" * 64, "test": SCORE, "validation": SCORE}
    return {"best": best, "baselines": {"manual_tuned": {"entry": "m" * 64}}, "difference": difference} | more


def verdict(values: dict[str, Any]) -> str:
    return verdict_of(RunResult.from_dict(values))


def test_a_measurable_gain_is_named_with_interval_and_rows() -> None:
    assert verdict(result(0.025, 0.102)) == (
        "The winner is better than the tuned manual template on the test rows: +6.3 points of accuracy "
        "(95 % interval +2.5 to +10.2, n = 400)."
    )


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.07), (-0.03, 0.0), (-0.02, 0.05)])
def test_an_interval_with_zero_in_it_shows_no_gain(low: float, high: float) -> None:
    said = verdict(result(low, high))
    assert said.startswith("No prompt was measurably better than the tuned manual template: winner - manual_tuned")
    assert f"95 % interval {100 * low:+.1f} to {100 * high:+.1f}, n = 400" in said
    assert said.endswith("keep the manual one, or give more time (--budget) or more rows.")


def test_a_loss_says_so() -> None:
    said = verdict(result(-0.05, -0.01))
    assert said.startswith("The winner is worse than the tuned manual template on the test rows: -3.0 points")
    assert "keep the manual one" in said


def test_the_manual_template_as_the_winner_says_so() -> None:
    said = verdict(result(0.0, 0.0, baselines={"manual_tuned": {"entry": "b" * 64}}))
    assert said.startswith("No prompt was measurably better than the tuned manual template, which is the winner itself")
    assert "n = 400" in said


def test_other_metrics_keep_their_scale() -> None:
    assert "+0.060 rougeL (95 % interval +0.010 to +0.110, n = 400)" in verdict(result(0.01, 0.11, "rougeL"))


def test_without_test_rows_nothing_is_claimed() -> None:
    assert verdict(result(0, 0) | {"difference": None}) == (
        "There are no test rows on which the winner and the tuned manual template could be compared."
    )


def test_a_transferred_prompt_is_judged_on_its_split() -> None:
    said = verdict(result(0.01, 0.03, transfer={"split": "validation"}))
    assert said.startswith("The transferred prompt is better than the tuned manual template on the validation rows")
