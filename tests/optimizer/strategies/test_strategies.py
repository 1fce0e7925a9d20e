"""What the learning strategies remember from one generation to the next."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import fakes
import pytest

from autoprompt.candidate import Candidate, Settings
from autoprompt.evaluator import Evaluation
from autoprompt.optimizer import phrases
from autoprompt.optimizer.config import SearchConfig
from autoprompt.optimizer.space import Space
from autoprompt.optimizer.strategies import genetic
from autoprompt.optimizer.strategies.genetic import Credit
from autoprompt.optimizer.strategies.gradient import GradientStrategy
from autoprompt.optimizer.strategies.hybrid import HybridStrategy
from autoprompt.optimizer.strategy import PROPOSALS, Proposal, Strategy
from autoprompt.template import LabelWords, Template

WORDS = LabelWords((("a", "yes"), ("b", "no")))
MANUAL = Candidate(Template.parse("{text} manual {label}"), WORDS, Settings("tail", 5e-4, 8, 4, 8))


def strategy(**rules: object) -> HybridStrategy:
    config = SearchConfig.model_validate({"search": rules, "template": {"label_words": True}})
    over = Space(MANUAL, "mood", ("word",), config)
    return HybridStrategy(over, fakes.FakeEvaluator(), random.Random(0))  # noqa: S311


def tuned(candidate: Candidate, loss: float, status: str = "complete") -> Evaluation:
    (one,) = fakes.FakeEvaluator().fit([candidate])
    return replace(one, losses=(loss, loss), status=status)


def with_tail(tail: str, rate: float = 5e-4) -> Candidate:
    template = phrases.with_tail(MANUAL.template, f" {tail} ")
    return replace(MANUAL, template=template, settings=MANUAL.settings.change(learning_rate=rate))


def test_what_found_no_place_in_the_first_pool_may_still_be_bred() -> None:
    chosen = strategy(pool=4)
    first = chosen.ask()
    assert len([p for p in first if p.operator in ("seed", "library")]) == 4
    assert chosen.seen == {p.candidate for p in first}
    assert len(chosen.start()) > 4 + 10


def test_new_ones_are_taken_until_there_are_enough() -> None:
    chosen = strategy()
    asked = [Proposal(with_tail(f"t{n}"), "x") for n in range(6)]
    long = Proposal(with_tail("x" * 200), "x")
    assert chosen.fresh([asked[0], long, *asked[:5]], 3) == asked[:3]
    assert [candidate for candidate, _ in chosen.refused] == [long.candidate]
    assert asked[3].candidate not in chosen.seen
    assert chosen.fresh(asked) == asked[3:]


def test_the_model_is_asked_once_of_each_text() -> None:
    chosen = strategy(immigrants=False)
    chosen.tell([tuned(with_tail("one"), 0.2), tuned(with_tail("two"), 0.3)], [])
    generations = [chosen.ask() for _ in range(2)]
    assert chosen.evaluator.asked["propose"] == chosen.evaluator.asked["rank_words"] == 1  # type: ignore[attr-defined]
    first, second = ([p.candidate for p in asked[: 2 * chosen.directed]] for asked in generations)
    best = [[template for template, _ in fakes.near(with_tail(tail).template, 2)] for tail in ("one", "two")]
    assert {c.template for c in first} == {edits[0] for edits in best}
    assert not set(first) & set(second), "the next best of each"
    chosen.tell([tuned(with_tail("two", 1e-3), 0.1), tuned(with_tail("three"), 0.15)], [])
    chosen.ask()
    assert chosen.evaluator.asked["propose"] == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(("immigrants", "most"), [(False, 1), (True, 2)])
def test_a_generation_breeds_one_new_opening_at_most_and_draws_another(immigrants: bool, most: int) -> None:
    """The frozen score of each costs a pass over all rows."""
    chosen = strategy(operators=["slots", "words"], immigrants=immigrants)
    opened = []
    for _ in range(12):
        chosen.tell([tuned(with_tail("one"), 0.2), tuned(with_tail("two"), 0.3)], [])
        asked = [p.candidate for p in chosen.ask()]
        opened.append({c.template.head() for c in asked if not chosen.evaluator.has_prefix(c)})
        chosen.evaluator.frozen(asked)
    assert max(len(heads) for heads in opened) == most < sum(len(heads) for heads in opened)


@pytest.mark.parametrize("immigrants", [False, True])
def test_half_of_a_generation_is_drawn_anew(immigrants: bool) -> None:
    chosen = strategy(pool=10, immigrants=immigrants)
    chosen.evaluator.frozen([MANUAL])  # what says nothing before the text has its passes done
    chosen.tell([tuned(with_tail("one"), 0.2), tuned(with_tail("two"), 0.3)], [])
    asked = chosen.ask()
    drawn = [p for p in asked if not p.parents]
    assert [p.operator for p in drawn] == ["random"] * (5 if immigrants else 0)
    assert len(asked) == 10 + 2 * chosen.directed


def test_gradients_go_on_past_the_first_edits_of_a_parent() -> None:
    """The frozen loss may favour the same parents for ever."""

    class Settled(fakes.FakeEvaluator):
        def frozen(self, candidates: Sequence[Candidate]) -> list[Evaluation]:
            return [
                replace(e, losses=(0.0, 0.0)) if e.candidate.template == MANUAL.template else e
                for e in super().frozen(candidates)
            ]

    over = Space(MANUAL, "mood", ("word",), SearchConfig())
    chosen = GradientStrategy(over, Settled(), random.Random(0))  # type: ignore[arg-type]  # noqa: S311
    chosen.current = [MANUAL]
    chosen.gradient_rounds = 1
    first = chosen.ask()
    assert len(first) == PROPOSALS
    chosen.current = [MANUAL]
    assert chosen.ask() == []
    chosen.current = [MANUAL]
    assert len(chosen.ask()) == PROPOSALS


def test_the_elite_has_several_texts() -> None:
    chosen = strategy()
    ranked = [("one", 5e-4, 0.1), ("one", 1e-3, 0.2), ("two", 5e-4, 0.3), ("three", 5e-4, 0.4)]
    chosen.tell([tuned(with_tail(tail, rate), loss) for tail, rate, loss in ranked], [])
    assert [i.candidate for i in chosen.best] == [with_tail("one"), with_tail("two")]
    chosen.tell([tuned(with_tail("two", 1e-3), 0.05)], [])
    assert [i.candidate for i in chosen.best] == [with_tail("two", 1e-3), with_tail("one")]


def test_an_operator_is_judged_by_its_fine_tuned_children_once_a_generation() -> None:
    chosen = strategy()
    parent = with_tail("parent")
    children = {name: [with_tail(f"{name}{n}") for n in range(4)] for name in ("wins", "loses", "stops", "waits")}
    proposals = [Proposal(c, name, (parent.id,)) for name, own in children.items() for c in own]
    done = [tuned(parent, 0.5)]  # of the same generation
    done += [tuned(children["wins"][0], 0.4), tuned(children["loses"][0], 0.6)]
    done += [tuned(children["stops"][0], 0.9, "pruned"), tuned(children["stops"][1], 0.6)]
    chosen.tell(done, proposals)
    assert chosen.credit.tries == dict.fromkeys(children, 1.0)
    assert chosen.credit.wins == {"wins": 1.0, "loses": 0.5, "stops": 0.25, "waits": 0.0}
    assert Credit().weight("new") == 0.5 < chosen.credit.weight("wins")


@pytest.mark.parametrize("name", ["null", "random"])
def test_baselines_of_no_words_are_no_parents(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def listening(tell: Callable[..., None]) -> Callable[..., None]:
        def heard(self: Strategy, evaluations: Sequence[Evaluation], proposals: Sequence[Proposal]) -> None:
            told.extend(e.candidate.id for e in evaluations)
            tell(self, evaluations, proposals)

        return heard

    monkeypatch.setattr(HybridStrategy, "tell", listening(HybridStrategy.tell))
    over = Space(MANUAL, "mood", ("word",), SearchConfig())
    outcome, _ = fakes.run_search(over, "hybrid", 20)
    assert outcome.baselines["manual_tuned"].candidate.id in told
    assert outcome.baselines[name].candidate.id not in told


def test_many_survive_as_few_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another way to sort those that nobody beats in everything: the same survivors."""
    found = []
    for many in (1000, 0):
        monkeypatch.setattr(genetic, "MANY", many)
        chosen = strategy(population=9)
        for generation in range(2):
            tails = [f"{'tail' * (n % 5)}{generation}{n}" for n in range(20)]
            losses = [0.3 + fakes.share(tail) for tail in tails]
            chosen.tell([tuned(with_tail(tail), loss) for tail, loss in zip(tails, losses, strict=True)], [])
        found.append({individual.candidate.id for individual in chosen.population})
    assert found[0] == found[1]
    assert len(found[0]) == 9
