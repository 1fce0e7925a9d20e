"""Classification metrics against scikit-learn, ties, and the paired test's properties."""

import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from autoprompt.errors import InputError, UsageError
from autoprompt.metrics import (
    Comparison,
    Score,
    chance_better,
    chances_better,
    classification_metrics,
    compare,
    mean_and_deviation,
    metric_names,
    paired_bootstrap,
    predict,
    score,
)
from autoprompt.metrics.classification import ECE_BINS, losses
from autoprompt.registry import CLASSIFICATION_METRICS, GENERATION_METRICS

HALF = math.log(0.5)


def normalised(logits):
    logits = np.asarray(logits, dtype=float)
    return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).tolist()


def sample(seed, rows, labels):
    generator = np.random.default_rng(seed)
    return normalised(generator.normal(size=(rows, labels)) * 2), generator.integers(0, labels, rows).tolist()


@pytest.mark.parametrize(("rows", "labels"), [(200, 2), (97, 5), (12, 6), (1, 3)])
def test_the_metrics_are_those_of_scikit_learn(rows, labels):
    log_probs, gold = sample(rows, rows, labels)
    predicted = np.argmax(log_probs, axis=1)
    known = list(range(labels))
    found = classification_metrics(log_probs, gold, labels)
    common = {"labels": known, "zero_division": 0}
    expected = {
        "accuracy": sk.accuracy_score(gold, predicted),
        "precision_macro": sk.precision_score(gold, predicted, average="macro", **common),
        "recall_macro": sk.recall_score(gold, predicted, average="macro", **common),
        "f1_macro": sk.f1_score(gold, predicted, average="macro", **common),
        "f1_micro": sk.f1_score(gold, predicted, average="micro", **common),
        "log_loss": sk.log_loss(gold, np.exp(log_probs), labels=known),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected["mcc"] = sk.matthews_corrcoef(gold, predicted)
        expected["balanced_accuracy"] = sk.balanced_accuracy_score(gold, predicted)
        expected["ece"] = calibration_error(np.exp(log_probs).max(axis=1), predicted == gold)
    assert predict(log_probs) == predicted.tolist()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name
    assert set(expected) == set(CLASSIFICATION_METRICS)
    assert set(found) == {*CLASSIFICATION_METRICS, "loss"}
    assert found["loss"] == found["log_loss"]


def calibration_error(confidence, correct):
    """From scikit-learn's reliability curve, with the share of rows in each bin."""
    # Two rows without a gap, for scikit-learn takes no curve of one class; bins as in its "uniform".
    confidence, correct = np.append(confidence, [0.0, 1.0]), np.append(correct, [0, 1])
    shares, means = calibration_curve(correct, confidence, n_bins=ECE_BINS)
    counts = np.bincount(np.searchsorted(np.linspace(0, 1, ECE_BINS + 1)[1:-1], confidence), minlength=ECE_BINS)
    return (counts[counts > 0] * np.abs(shares - means)).sum() / (len(confidence) - 2)


def test_every_metric_has_a_task():
    assert metric_names("classification") == tuple(CLASSIFICATION_METRICS)
    assert metric_names("generation") == tuple(GENERATION_METRICS)
    with pytest.raises(UsageError, match=r"'regression'.*classification, generation"):
        metric_names("regression")


def test_no_metric_warns_when_a_label_is_absent_or_the_prediction_constant():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        constant = classification_metrics([[math.log(0.9), math.log(0.1)]] * 4, [0, 0, 0, 0], 2)
        elsewhere = classification_metrics(normalised([[0, 0, 9]] * 3), [0, 1, 0], 3)
    assert (constant["accuracy"], constant["mcc"], constant["f1_macro"]) == (1.0, 0.0, 0.5)
    assert elsewhere["accuracy"] == elsewhere["balanced_accuracy"] == elsewhere["precision_macro"] == 0.0


def test_a_tie_goes_to_the_first_label():
    assert classification_metrics([[HALF, HALF]] * 4, [0, 0, 0, 1], 2)["accuracy"] == 0.75


def test_calibration_error_is_the_gap_between_confidence_and_accuracy():
    sure = [math.log(0.8), math.log(0.2)]
    assert classification_metrics([sure] * 5, [0, 0, 0, 0, 1], 2)["ece"] == pytest.approx(0.0, abs=1e-12)
    assert classification_metrics([sure] * 5, [1, 1, 1, 1, 1], 2)["ece"] == pytest.approx(0.8)
    # Over- and under-confidence in different bins must not cancel.
    unsure = [math.log(0.6), math.log(0.4)]
    assert classification_metrics([sure, unsure], [1, 0], 2)["ece"] == pytest.approx((0.8 + 0.4) / 2)


def test_losses_are_per_example_in_nats_and_never_minus_zero():
    assert losses([[HALF, HALF], [0.0, -50.0]], [1, 0]) == [-HALF, 0.0]
    assert math.copysign(1, losses([[0.0, -50.0]], [0])[0]) == 1


@pytest.mark.parametrize("metric", tuple(CLASSIFICATION_METRICS))
def test_a_score_holds_loss_accuracy_and_the_metric(metric):
    log_probs, gold = sample(3, 40, 3)
    found = score(log_probs, gold, 3, metric)
    everything = classification_metrics(log_probs, gold, 3)
    assert found == Score(everything["loss"], everything["accuracy"], metric, everything[metric], 40)
    assert list(found.to_dict()) == ["loss", "accuracy", "metric", "value", "n"]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("function", [losses, lambda rows, gold: score(rows, gold, 2, "accuracy")])
def test_a_value_that_is_not_finite_is_refused(bad, function):
    with pytest.raises(InputError, match=r"Row 1 .*not finite"):
        function([[HALF, HALF], [HALF, bad]], [0, 0])


@pytest.mark.parametrize(
    ("log_probs", "gold"), [([], []), ([[HALF, HALF]], [0, 1]), ([[HALF, HALF]], [2]), ([[HALF]], [0])]
)
def test_rows_that_do_not_fit_are_refused(log_probs, gold):
    with pytest.raises(InputError):
        classification_metrics(log_probs, gold, 2)


def test_an_unknown_metric_is_named():
    with pytest.raises(UsageError, match="'f2'"):
        score([[HALF, HALF]], [0], 2, "f2")


floats = st.floats(-20, 20)


@given(st.lists(st.tuples(floats, floats), min_size=10, max_size=30))
def test_the_bootstrap_interval_holds_within_the_differences(pairs):
    a, b = zip(*pairs, strict=True)
    interval = paired_bootstrap(a, b, samples=200)
    differences = [x - y for x, y in pairs]
    slack = 1e-9
    assert min(differences) - slack <= interval.low <= interval.high <= max(differences) + slack
    assert interval.mean == pytest.approx(np.mean(differences), abs=1e-9)
    assert 0 <= interval.p_better <= 1
    assert interval == paired_bootstrap(a, b, samples=200)


def test_equal_losses_are_a_tie():
    interval = paired_bootstrap([0.3, 0.9, 0.1] * 4, [0.3, 0.9, 0.1] * 4)
    assert (interval.mean, interval.low, interval.high, interval.p_better) == (0, 0, 0, 0.5)


@pytest.mark.parametrize(("rows", "samples"), [(32, 2000), (700, 4000)], ids=["kept", "in chunks"])
def test_the_chance_alone_is_that_of_the_whole_bootstrap(rows, samples):
    for a, b in np.random.default_rng(5).normal(0.5, 0.3, (3, 2, rows)):
        whole = paired_bootstrap(a, b, samples=samples, seed=2)
        assert chance_better(a, b, samples=samples, seed=2) == whole.p_better


@given(st.integers(1, 40), st.integers(0, 2**32), st.sampled_from([1.0, 1e-9, 1e6]))
def test_many_chances_at_once_are_each_ones_own(rows, seed, scale):
    """Also of differences whose resampled means are 0 but for rounding, and of none at all."""
    generator = np.random.default_rng(seed)
    a = (generator.normal(0.5, 0.3, rows) * scale).tolist()
    others = [(generator.normal(0.5, 0.3, rows) * scale).tolist() for _ in range(5)]
    others += [[x + scale * (0.1 if n % 2 else -0.1) for n, x in enumerate(a)], a, a[::-1]]
    own = [chance_better(a, b, samples=300, seed=2) for b in others]
    assert chances_better(a, others, samples=300, seed=2) == own


def test_many_chances_need_the_same_rows_and_finite_losses():
    assert chances_better([0.1], []) == []
    for others in ([[0.1, 0.2], [0.1]], [[0.1, float("inf")]]):
        with pytest.raises(InputError, match="paired test"):
            chances_better([0.3, 0.4], others)
    long = np.random.default_rng(5).normal(0.5, 0.3, (3, 700)).tolist()
    own = [chance_better(long[0], b, samples=4000) for b in long[1:]]
    assert chances_better(long[0], long[1:], samples=4000) == own


def test_the_bootstrap_matches_the_normal_approximation():
    generator = np.random.default_rng(5)
    b = generator.normal(1.0, 0.3, 400)
    a = b - generator.normal(0.05, 0.4, 400)
    interval = paired_bootstrap(a.tolist(), b.tolist())
    half = 1.96 * np.std(a - b) / 20
    assert interval.low == pytest.approx(np.mean(a - b) - half, abs=0.004)
    assert interval.high == pytest.approx(np.mean(a - b) + half, abs=0.004)
    assert interval.p_better > 0.9
    assert paired_bootstrap(b.tolist(), a.tolist()).p_better < 0.1


def test_an_interval_leaves_0_out_where_the_difference_is_consistent_only():
    better, worse = [0.1, 0.2, 0.3, 0.4] * 8, [0.2, 0.35, 0.45, 0.5] * 8
    assert paired_bootstrap(better, worse).high < 0
    assert paired_bootstrap(worse, better).low > 0
    mixed = paired_bootstrap([0.1, 0.9] * 16, [0.9, 0.1] * 16)
    assert mixed.low < 0 < mixed.high


def test_a_higher_confidence_has_a_wider_interval():
    ones, differences = [1.0] * 40, [0.068, -0.132] * 20  # a mean of two standard errors below 0
    a = [1 + difference for difference in differences]
    assert paired_bootstrap(a, ones, confidence=0.9).high < 0
    assert paired_bootstrap(a, ones, confidence=0.99).high > 0


def test_many_rows_are_resampled_in_pieces_with_the_whole_count():
    a = np.linspace(0, 1, 30_000)
    interval = paired_bootstrap(a.tolist(), np.zeros(30_000).tolist(), samples=150)
    assert interval.low < 0.5 < interval.high
    assert interval.p_better == 0


@pytest.mark.parametrize("arguments", [([1.0], [1.0, 2.0]), ([], []), ([math.nan], [1.0])])
def test_what_is_not_paired_is_refused(arguments):
    with pytest.raises(InputError):
        paired_bootstrap(*arguments)


def test_wrong_arguments_of_the_bootstrap_are_refused():
    with pytest.raises(UsageError):
        paired_bootstrap([1.0], [1.0], confidence=1.0)
    with pytest.raises(UsageError):
        paired_bootstrap([1.0], [1.0], samples=0)


def test_entries_are_compared_over_the_rows_that_both_have():
    ids_a, ids_b = [f"r{i}" for i in range(30)], [f"r{i}" for i in range(10, 50)]
    generator = np.random.default_rng(2)
    a, b = generator.normal(size=30).tolist(), generator.normal(1, 1, size=40).tolist()
    found = compare(a, b, ids_a, ids_b)
    expected = paired_bootstrap(a[10:], b[:20])
    assert found == Comparison(expected.mean, expected.low, expected.high, expected.p_better, 20)
    assert found.mean == pytest.approx(np.mean(a[10:]) - np.mean(b[:20]))
    few = compare(a, b, ids_a, ids_b, samples=50, seed=3, confidence=0.5)
    assert found.low < few.low < few.high < found.high


@given(st.permutations(range(8)), st.permutations(range(8)))
def test_the_order_of_rows_changes_no_comparison(one, other):
    a, b = [0.1 * i for i in range(8)], [0.05 * i * i for i in range(8)]
    found = compare([a[i] for i in one], [b[i] for i in other], [f"r{i}" for i in one], [f"r{i}" for i in other])
    names = [f"r{i}" for i in range(8)]
    assert found == compare(a, b, names, names)


@pytest.mark.parametrize(
    ("ids_a", "ids_b", "message"),
    [
        (["r1", "r2"], ["r3", "r4", "r5"], "share 0 of 2 and 3 rows"),
        (["r1", "r2"], ["r2", "r4", "r5"], "share 1 of 2 and 3 rows"),
        (["r1"], ["r1", "r2", "r3"], "1 row ids"),
        (["r1", "r2"], ["r1", "r2"], "2 row ids"),
        (["r1", "r2"], ["r1", "r2", "r2"], "only 2 differ"),
    ],
)
def test_entries_that_cannot_be_paired_are_refused(ids_a, ids_b, message):
    with pytest.raises(InputError, match=message):
        compare([1.0, 2.0], [1.0, 2.0, 3.0], ids_a, ids_b)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_mean_and_deviation_are_those_of_numpy(values):
    found = mean_and_deviation(values)
    assert found == (pytest.approx(np.mean(values), abs=1e-6), pytest.approx(np.std(values, ddof=1), abs=1e-6))


def test_one_value_deviates_by_nothing_and_none_is_refused():
    assert mean_and_deviation([0.3]) == (0.3, 0.0)
    assert mean_and_deviation([0.1] * 3) == (0.1, 0.0)
    for values in ([], [1.0, math.nan], [math.inf]):
        with pytest.raises(InputError, match="finite"):
            mean_and_deviation(values)


def test_importing_the_package_loads_no_heavy_package():
    heavy = ("numpy", "sklearn", "scipy", "torch", "sacrebleu", "rouge_score", "nltk")
    code = f"import sys, autoprompt.metrics; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
