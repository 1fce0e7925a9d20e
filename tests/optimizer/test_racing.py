"""Who is better, who is named best, and how much may be spent."""

import random
from dataclasses import replace

import pytest

from autoprompt.candidate import Candidate, Settings
from autoprompt.errors import UsageError
from autoprompt.evaluator import Evaluation, Rung
from autoprompt.optimizer.budget import Budget
from autoprompt.optimizer.racing import best, chances_of_winning, finalists, in_race, join_parts, ranked
from autoprompt.template import LabelWords, Template

WORDS = LabelWords((("a", "yes"), ("b", "no")))


def _evaluation(
    tail: str, losses: list[float], *, readability: float | None = 10.0, fold: int = 0, rank: int = 8
) -> Evaluation:
    candidate = Candidate(Template.parse(f"{{text}}{tail}{{label}}"), WORDS, Settings("tail", 1e-3, 8, 1, rank))
    return Evaluation(
        candidate,
        Rung.TUNED,
        fold=fold,
        row_ids=tuple(f"r{n}" for n in range(len(losses))),
        gold=tuple(0 for _ in losses),
        log_probs=tuple((-loss, -1.0) for loss in losses),
        losses=tuple(losses),
        readability=readability,
    )


def _noisy(mean: float, spread: float, seed: int, rows: int = 32) -> list[float]:
    rng = random.Random(seed)  # noqa: S311
    return [mean + rng.uniform(-spread, spread) for _ in range(rows)]


def test_losses_are_paired_by_row_not_by_place() -> None:
    a = _evaluation(" ", _noisy(0.5, 0.2, 0))
    b = replace(a, row_ids=a.row_ids[::-1], losses=tuple(loss + 0.1 for loss in a.losses[::-1]))
    assert (chances_of_winning(a, [b]), chances_of_winning(b, [a])) == ([1.0], [0.0])


def test_only_rows_that_both_have_are_compared() -> None:
    a = _evaluation(" ", [0.1, 0.2, 0.3, 9.0])
    b = replace(a, row_ids=(*a.row_ids[:3], "another"), losses=(0.2, 0.3, 0.4, 0.0))
    strange = replace(a, row_ids=("w", "x", "y", "z"))
    assert chances_of_winning(a, [b]) == [1.0]
    assert chances_of_winning(a, [strange, b, strange]) == [0.5, 1.0, 0.5]
    assert chances_of_winning(a, []) == []


def test_one_is_sure_of_a_constant_gap_and_unsure_of_noise() -> None:
    low = _noisy(0.5, 0.2, 0)
    higher, lower, shuffled = (
        [x + 0.1 for x in low],
        [x - 0.1 for x in low],
        random.Random(1).sample(low, len(low)),  # noqa: S311
    )
    leader, *others = (_evaluation(f" {n}", losses) for n, losses in enumerate((low, higher, lower, shuffled, low)))
    up, down, noise, same = chances_of_winning(leader, others)
    assert (up, down, same) == (1.0, 0.0, 0.5)
    assert 0.05 < noise < 0.95


def test_ranked_leaves_failures_out() -> None:
    good, bad = _evaluation(" a ", [0.1]), _evaluation(" b ", [0.2])
    assert ranked([bad, good.failed("x"), good]) == [good, bad]
    assert ranked([good.failed("x")]) == []


def test_pooled_puts_folds_one_after_the_other() -> None:
    zero, one = _evaluation(" ", [0.1, 0.3]), _evaluation(" ", [0.5, 0.7], fold=1)
    both = join_parts([zero, one])
    assert both.losses == (0.1, 0.3, 0.5, 0.7)
    assert both.loss == pytest.approx(0.4)
    assert both.row_ids == ("0.0.r0", "0.0.r1", "1.0.r0", "1.0.r1")
    assert len(set(both.row_ids)) == len(both.gold) == len(both.log_probs) == 4
    assert both.candidate == zero.candidate


def test_the_best_is_the_shortest_of_those_that_tie() -> None:
    base = _noisy(0.5, 0.3, 0)
    leader = _evaluation(" It was quite long ", base)
    jitter = random.Random(3)  # noqa: S311
    tied = _evaluation(" ", [x + jitter.choice((-0.1, 0.1)) + 0.001 for x in base])
    worse = _evaluation("", [x + 0.2 for x in base])
    assert best([worse, leader, tied]) == tied
    assert best([leader, worse]) == leader
    assert best([worse]) == worse


def test_ties_of_length_go_to_the_readable_then_to_the_id() -> None:
    base = _noisy(0.5, 0.3, 0)
    odd = _evaluation(" zz ", base, readability=90.0)
    plain = _evaluation(" it ", base, readability=9.0)
    unknown = _evaluation(" no ", base, readability=None)
    assert best([odd, plain, unknown]) == plain
    same = [_evaluation(f" {word} ", base) for word in ("it", "so", "at")]
    assert best(same) == best(same[::-1]) == min(same, key=lambda e: e.candidate.id)


def test_finalists_are_distinct_texts_that_the_leader_does_not_beat() -> None:
    base = _noisy(0.5, 0.3, 0)
    jitter = random.Random(3)  # noqa: S311
    leader = _evaluation(" a ", base)
    twin = _evaluation(" a ", [x + 0.0001 for x in base], rank=4)  # same text, other settings
    near = _evaluation(" b ", [x + jitter.choice((-0.1, 0.1)) + 0.002 for x in base])
    far = _evaluation(" c ", [x + 0.3 for x in base])
    failed = _evaluation(" d ", base).failed("nan")
    assert finalists([far, near, failed, twin, leader], 4) == [leader, near]
    assert finalists([far, near, twin, leader], 1) == [leader]
    assert finalists([], 3) == []


def test_a_budget_needs_a_limit_above_nothing() -> None:
    with pytest.raises(UsageError, match="max_evaluations"):
        Budget()
    for seconds in (0.0, -1.0, float("nan")):
        with pytest.raises(UsageError, match=r"^budget is"):
            Budget(seconds=seconds)
    for evaluations in (0, -3):
        with pytest.raises(UsageError, match=r"^max_evaluations is"):
            Budget(evaluations=evaluations)


def test_a_budget_of_seconds_goes_by_its_clock() -> None:
    now = [100.0]
    budget = Budget(seconds=10.0, clock=lambda: now[0])
    assert budget.room(10.0)
    now[0] = 106.0
    assert budget.spent == 6.0
    assert budget.room(4.0)
    assert not budget.room(4.5)
    assert budget.left(5) is None


def test_a_budget_of_evaluations_counts_down_and_has_no_clock() -> None:
    budget = Budget(evaluations=5)
    assert [budget.left(used) for used in (0, 3, 5, 9)] == [5, 2, 0, 0]
    assert budget.room(1e9)


def test_a_race_spends_its_errors_over_all_looks() -> None:
    leader = _evaluation(" a", _noisy(0.5, 0.2, 0))
    losses = list(leader.losses)
    worse = _evaluation(" b", [x + random.Random(n).uniform(-0.1, 0.18) for n, x in enumerate(losses)])  # noqa: S311
    hopeless = _evaluation(" c", [x + 0.5 for x in losses])
    assert 0.975 < chances_of_winning(leader, [worse])[0] < 0.9998
    assert in_race([hopeless, worse, leader], 1) == [leader]
    assert in_race([hopeless, worse, leader], 20) == [leader, worse]
    assert in_race([leader], 1) == [leader]


def test_few_equals_are_dropped_from_a_race() -> None:
    """Rivals as good as the leader, looked at five times on ever more rows."""
    dropped = 0
    for seed in range(200):
        rng = random.Random(seed)  # noqa: S311
        rows: list[list[float]] = [[], []]
        for look in range(1, 6):
            for own in rows:
                own += [rng.gauss(0.5, 0.3) for _ in range(32)]
            pair = [_evaluation(f" {n}", own) for n, own in enumerate(rows)]
            if len(in_race(pair, look)) < 2:
                dropped += 1
                break
    assert dropped <= 200 * 0.1 + 10  # whichever leads may drop the other: twice one side's error
