"""Who is fine-tuned: the frozen rung's order, the surrogate's, and neither."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import fakes
import pytest

from autoprompt.candidate import Candidate, Settings
from autoprompt.evaluator import Evaluation, Rung
from autoprompt.optimizer.config import SearchConfig
from autoprompt.optimizer.screening import Screening
from autoprompt.optimizer.space import Space
from autoprompt.optimizer.strategy import Proposal
from autoprompt.optimizer.surrogate import MIN_TUNED, Known, predict_losses
from autoprompt.template import LabelWords, Template

WORDS = LabelWords((("a", "yes"), ("b", "no")))


def candidate(tail: str, rate: float = 5e-4) -> Candidate:
    return Candidate(Template.parse(f"{{text}} {tail} {{label}}"), WORDS, Settings("tail", rate, 8, 4, 8))


def space(**rules: object) -> Space:
    config = SearchConfig.model_validate({"search": {"survivors": 4} | rules})
    return Space(candidate("manual"), "label", ("word",), config)


def loss(c: Candidate) -> float:
    """What the fake gives: lower rates are better, whatever the text."""
    return 0.2 + 200 * c.settings.learning_rate + 0.05 * fakes.share(c.text_id)


def tuned(c: Candidate) -> Evaluation:
    (one,) = fakes.FakeEvaluator().fit([c])
    return replace(one, losses=tuple(loss(c) for _ in one.losses))


def choice(over: Space, *, guided: bool = True) -> Screening:
    return Screening(fakes.FakeEvaluator(), over, guided)


def proposals(tails: Sequence[str], operator: str = "words", **settings: float) -> list[Proposal]:
    return [Proposal(candidate(tail, **settings), f"{operator}{n}") for n, tail in enumerate(tails)]


def bred(tails: Sequence[str], operator: str) -> list[Proposal]:
    return [Proposal(candidate(tail), operator, (candidate("x").id,)) for tail in tails]


def test_frozen_scores_choose_before_anything_is_tuned() -> None:
    asked = proposals([f"t{n}" for n in range(9)])
    chosen, scored = choice(space()).survivors(asked, [], exhaustive=False)
    frozen = {e.candidate.id: e.loss for e in scored}
    assert [c.id for c in chosen] == sorted(frozen, key=frozen.__getitem__)[:4]
    assert len(scored) == 9


def test_one_place_is_for_new_settings_of_a_tuned_text() -> None:
    over = choice(space(surrogate=False))
    first = proposals(["x", "y"])
    over.survivors(first, [], exhaustive=False)
    done = [tuned(p.candidate) for p in first]
    variants = proposals(["x", "y"], rate=1e-3)
    chosen, scored = over.survivors([*proposals([f"t{n}" for n in range(6)]), *variants], done, exhaustive=False)
    best = min(done, key=lambda e: e.loss).candidate.text_id
    assert [c.text_id for c in chosen].count(best) == 1
    assert sum(c.settings.learning_rate == 1e-3 for c in chosen) == 1
    assert len(chosen) == 4
    assert len(scored) == 6


def test_the_surrogate_learns_what_frozen_scores_cannot_tell() -> None:
    over = choice(space())
    rng = random.Random(0)  # noqa: S311
    history = [candidate(f"h{n}", rng.choice((2e-4, 5e-4, 1e-3, 2e-3))) for n in range(3 * MIN_TUNED)]
    for start in range(0, len(history), 6):
        asked = [Proposal(c, "seed") for c in history[start : start + 6]]
        over.survivors(asked, [], exhaustive=False)
    done = [tuned(c) for c in history]
    asked = [Proposal(candidate(f"n{n}", 2e-4 if n % 3 == 0 else 2e-3), f"o{n}") for n in range(12)]
    chosen, _ = over.survivors(asked, done, exhaustive=False)
    assert [c.settings.learning_rate for c in chosen] == [2e-4] * 4
    unguided = choice(space(), guided=False)
    plain, _ = unguided.survivors(asked, done, exhaustive=False)
    assert {c.settings.learning_rate for c in plain} != {2e-4}


def test_each_operator_has_its_turn_before_any_has_more() -> None:
    over = choice(space())
    first = proposals(["x"])
    over.survivors(first, [], exhaustive=False)
    done = [tuned(p.candidate) for p in first]
    alike = bred([f"g{n}" for n in range(6)], "gradient")
    others = bred([f"o{n}" for n in range(6)], "words")
    order = sorted((candidate(f"g{n}") for n in range(6)), key=lambda c: fakes.share(c.text_id))
    chosen, _ = over.survivors(alike, done, exhaustive=False)
    assert chosen == order[:4], "nobody else is there"
    beside, _ = over.survivors([*alike, *others], done, exhaustive=False)
    assert sorted(c in order for c in beside) == [False, False, True, True]
    few, _ = over.survivors([*alike, *others[:1]], done, exhaustive=False)
    assert len(few) == 4
    assert others[0].candidate in few


@pytest.mark.parametrize("rules", [{}, {"ladder": False}, {"surrogate": False}])
@pytest.mark.parametrize("operator", ["label_words", "settings"])
def test_what_leaves_the_text_as_it_is_has_one_place(rules: dict[str, object], operator: str) -> None:
    over = choice(space(**rules))
    over.survivors(proposals(["x"]), [], exhaustive=False)
    variants, others = bred(["v0", "v1", "v2"], operator), bred(["o0", "o1", "p0"], "words")
    others[2] = replace(others[2], operator="phrase")
    chosen, _ = over.survivors([*variants, *others], [tuned(candidate("x"))], exhaustive=False)
    assert sum(c in [p.candidate for p in variants] for c in chosen) == 1


@pytest.mark.parametrize("rules", [{}, {"ladder": False}, {"surrogate": False}])
def test_what_is_bred_and_what_is_drawn_anew_have_a_place_in_turn(rules: dict[str, object]) -> None:
    over = choice(space(**rules))
    over.survivors(proposals(["x"]), [], exhaustive=False)
    drawn = [Proposal(candidate(f"d{n}"), "random") for n in range(6)]
    children = [*bred(["a0", "a1", "a2"], "words"), *bred(["b0", "b1", "b2"], "phrase")]
    done = [tuned(candidate("x"))]
    chosen, _ = over.survivors([*children, *drawn], done, exhaustive=False)
    assert sorted(c in [p.candidate for p in drawn] for c in chosen) == [False, False, True, True]
    chosen, _ = over.survivors([*children[:1], *drawn], done, exhaustive=False)
    assert [c in [p.candidate for p in drawn] for c in chosen] == [False, True, True, True]


def stopped(c: Candidate, milestone: float) -> Evaluation:
    return replace(tuned(c), status="pruned", milestone=milestone)


def test_what_was_stopped_early_is_neither_new_nor_unknown() -> None:
    over = choice(space(surrogate=False))
    first = proposals(["x", "y"])
    over.survivors(first, [], exhaustive=False)
    done = [stopped(first[0].candidate, 0.9), replace(tuned(first[1].candidate), milestone=0.5)]
    variants = proposals(["x", "y"], rate=1e-3)
    fresh = proposals([f"t{n}" for n in range(6)])
    chosen, _ = over.survivors([*fresh, *variants], done, exhaustive=False)
    assert [c.text_id for c in chosen if c in [p.candidate for p in variants]] == [first[1].candidate.text_id]


def test_the_surrogate_learns_from_what_was_stopped() -> None:
    over = choice(space())
    history = [candidate(f"h{n}", 2e-4 if n % 3 else 2e-3) for n in range(3 * MIN_TUNED)]
    over.survivors([Proposal(c, "seed") for c in history], [], exhaustive=False)
    done = [
        stopped(c, 2.0) if c.settings.learning_rate == 2e-3 else replace(tuned(c), milestone=1.0, losses=(0.5, 0.5))
        for c in history
    ]
    asked = [Proposal(candidate(f"n{n}", 2e-4 if n % 3 == 0 else 2e-3), f"o{n}") for n in range(12)]
    chosen, _ = over.survivors(asked, done, exhaustive=False)
    assert [c.settings.learning_rate for c in chosen] == [2e-4] * 4


def test_the_baselines_frozen_score_is_known_to_its_children() -> None:
    over = choice(space())
    manual = candidate("manual")
    chosen, scored = over.survivors(proposals(["x"]), [], exhaustive=False, beside=[manual])
    assert [e.candidate for e in scored] == [manual, candidate("x")]
    assert manual not in chosen
    assert manual.text_id in over.readability


@pytest.mark.parametrize("rules", [{"ladder": False}, {}])
def test_without_the_ladder_the_proposals_come_as_they_are(rules: dict[str, object]) -> None:
    over = choice(space(**rules))
    asked = proposals([f"t{n}" for n in range(9)])
    chosen, scored = over.survivors(asked, [], exhaustive=False)
    first = [p.candidate for p in asked[:4]]
    assert (chosen == first) == ("ladder" in rules)
    assert bool(scored) == ("ladder" not in rules)


def test_nothing_is_foretold_from_little() -> None:
    known = [(Known(candidate(f"k{n}"), 0.5), 0.4) for n in range(MIN_TUNED - 1)]
    assert predict_losses(known, [Known(candidate("new"), 0.5)]) is None
    known.append((Known(candidate("k"), 0.5), 0.4))
    (value,) = predict_losses(known, [Known(candidate("new"), 0.5)]) or [0.0]
    assert value == pytest.approx(0.4)
    assert predict_losses(known, []) is None


def test_a_learning_rate_may_be_too_low_and_too_high() -> None:
    rng = random.Random(2)  # noqa: S311
    rates = (1e-4, 2e-4, 5e-4, 1.2e-3, 3e-3)
    known = [
        (Known(candidate(f"k{n}", rate), 1.0), math.exp(0.3 * math.log(rate / 5e-4) ** 2) * rng.uniform(0.9, 1.1))
        for n, rate in enumerate(rates * 8)
    ]
    expected = predict_losses(known, [Known(candidate("new", rate), 1.0) for rate in rates]) or []
    assert expected[2] == min(expected)
    assert expected[0] > 1.5 * expected[2]
    assert expected[4] > 1.5 * expected[2]


def test_a_good_parent_is_a_good_sign() -> None:
    rng = random.Random(1)  # noqa: S311
    known = []
    for n in range(40):
        parent = rng.uniform(0.2, 1.0)
        known.append((Known(candidate(f"k{n}"), rng.uniform(0.5, 1.5), (parent, 1.0)), parent * rng.uniform(0.9, 1.1)))
    low, high = (
        predict_losses(known, [Known(candidate("a"), 1.0, (0.25, 1.0)), Known(candidate("b"), 1.0, (0.9, 1.0))]) or []
    )
    assert low == pytest.approx(0.25, rel=0.3)
    assert high == pytest.approx(0.9, rel=0.3)


def test_a_failed_frozen_score_is_no_survivor() -> None:
    class Failing(fakes.FakeEvaluator):
        def frozen(self, candidates: Sequence[Candidate]) -> list[Evaluation]:
            return [e.failed("no") if "bad" in e.candidate.template.format() else e for e in super().frozen(candidates)]

    over = Screening(Failing(), space(), guided=True)  # type: ignore[arg-type]
    chosen, scored = over.survivors(proposals(["bad", "good"]), [], exhaustive=False)
    assert [c.template.format() for c in chosen] == ["{text} good {label}"]
    assert [e.status for e in scored] == ["failed", "complete"]
    assert all(e.rung == Rung.FROZEN for e in scored)
