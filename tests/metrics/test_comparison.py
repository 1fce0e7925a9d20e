"""How often 95 % intervals cover the true value, down to two rows, and where none is given."""

from pathlib import Path

import numpy as np
import pytest
import typed
from shown import COMPARISON, RESULT

from autoprompt.metrics import FEW, paired_bootstrap, proportion_interval
from autoprompt.report import formatting
from autoprompt.report.comparing import Gain, Pair

ROUNDS = 400
ERROR = 3 * (0.95 * 0.05 / ROUNDS) ** 0.5
"""Three standard errors of a share of .95."""
SHORT = {10: 0.06, 30: 0.03}
"""What a percentile bootstrap lacks with so many rows."""


@pytest.mark.parametrize("n", [2, 5, 9, 10, 30])
@pytest.mark.parametrize("kind", ["normal", "losses"])
def test_an_interval_of_a_mean_difference_covers_it(n, kind):
    generator = np.random.default_rng(n)
    if kind == "normal":
        pairs, true = generator.normal([0.1, 0.0], 0.3, (ROUNDS, n, 2)), 0.1
    else:  # log-losses: never below 0, with a long tail
        pairs, true = generator.exponential([0.5, 0.4], (ROUNDS, n, 2)), 0.1
    found = [paired_bootstrap(one[:, 0], one[:, 1], samples=600) for one in pairs]
    covered = np.mean([interval.low <= true <= interval.high for interval in found])
    assert covered >= 0.95 - ERROR - SHORT.get(n, 0)
    if kind == "normal" and n < FEW:
        assert covered <= 0.95 + ERROR, "exact, not only wide"


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_few_right_and_wrong_answers_give_no_interval(n):
    generator = np.random.default_rng(n)
    for ours, theirs in generator.integers(0, 2, (200, 2, n)):
        interval = paired_bootstrap(ours, theirs, samples=50)
        assert interval.ends is None
        assert interval.mean == pytest.approx((ours - theirs).mean())


def test_one_row_and_equal_differences_give_no_interval():
    assert paired_bootstrap([0.3], [0.1]).ends is None
    assert paired_bootstrap([0.3] * 9, [0.1] * 9).ends is None
    assert paired_bootstrap([0.3 + i / 7 for i in range(9)], [0.1 + i / 7 for i in range(9)]).ends is None
    assert paired_bootstrap([0.3] * 10, [0.1] * 10).ends == (pytest.approx(0.2), pytest.approx(0.2))


@pytest.mark.parametrize("n", [1, 2, 5, 9, 10, 30])
def test_an_interval_of_an_accuracy_covers_it(n):
    """Exactly, over all counts: of few rows for each true share, of more on the mean over shares."""
    from scipy.stats import binom

    shares = np.linspace(0.02, 0.98, 49)
    ends = [proportion_interval(right, n) for right in range(n + 1)]
    covered = [
        sum(binom.pmf(right, n, share) for right, (low, high) in enumerate(ends) if low <= share <= high)
        for share in shares
    ]
    assert min(covered) >= 0.95 if n < FEW else np.mean(covered) >= 0.945


def few(n: int, /, **difference: object) -> dict:
    test = RESULT["best"]["test"] | {"n": n}
    return RESULT | {
        "best": RESULT["best"] | {"test": test},
        "difference": {"metric": "accuracy", "value": 0.5} | difference,
    }


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (few(5, low=None, high=None, n=5), "too few"),
        (few(40, low=0.25, high=0.75), "(95 % interval +25.0 to +75.0, n = "),
        (few(5, low=0.25, high=0.75, n=5), "(95 % interval +25.0 to +75.0, n = "),
    ],
)
def test_what_is_told_of_a_difference_has_an_interval_or_says_why_not(capsys, monkeypatch, result, said):
    monkeypatch.setenv("COLUMNS", "200")
    typed.show_result(result, Path("lb.sqlite"))
    assert said in next(line for line in capsys.readouterr().out.splitlines() if "+50.0 points" in line)
    ends = typed.result(result).difference.ends
    assert ends == (None if said == "too few" else (0.25, 0.75))
    assert formatting.gain(Gain("accuracy", 0.5, ends, "test")).startswith(
        "+50.0 points" + (" (+25.0" if ends else ",")
    )
    told = Pair("a", "b", 5, 0.5, ends)
    assert told.verdict == ("the first is better" if ends else "too few rows to tell")


def test_a_comparison_of_few_rows_counts_no_resamples(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for changes, said in (
        ({"n": 2, "difference": {"mean": -0.25, "low": None, "high": None}}, "of loss (too few rows for an interval)"),
        ({"n": 9}, "(95 % interval -0.5000 to +0.0000)"),
    ):
        typed.show_comparison(COMPARISON | changes)
        shown = capsys.readouterr().out
        assert said in shown
        assert "resamples" not in shown
