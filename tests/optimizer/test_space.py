"""The searched space: whatever is bred stays consistent, and what is fixed stays as it is for all who compete."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import fakes
import hypothesis
import pytest
from fakes import valid
from hypothesis import given
from hypothesis import strategies as st

from autoprompt.candidate import Candidate, Demo, Settings
from autoprompt.corpus import Corpus, Example
from autoprompt.errors import InputError, UsageError
from autoprompt.evaluator import Evaluation
from autoprompt.models import TokenProposals
from autoprompt.optimizer import SearchConfig, Space, draw_demos, make_space, phrases
from autoprompt.optimizer.operators import (  # fmt: skip
    Crossover,
    DemosChange,
    Hints,
    LabelMove,
    Mating,
    Phrase,
    SoftChange,
    all_operators,
    usable,
)
from autoprompt.optimizer.space import SETTINGS
from autoprompt.optimizer.strategies.grid import points, spread
from autoprompt.registry import STRATEGIES
from autoprompt.template import LABEL, LabelWords, Slot, Soft, Template, edits
from autoprompt.tuning_modes import TUNING_MODES

EVERY = all_operators(gradients=True)
WORDS = LabelWords((("neg", "bad"), ("pos", "good")))
POOL = tuple(Demo.of(f"row{n}", {"a": f"text {n}", "b": "x"}, ("neg", "pos")[n % 2]) for n in range(9))
SOURCES = (
    "{a}\nSentiment: {label}",
    "{a}{label}",
    "Read: {a} and {b} It was {label}",
    "Solve.\n{demos:2}{soft:3}Text: {a}\nIs it {soft:2}so: {label}",
    "{soft:4}{demos:3}{b}, {a}, {b} ({label}",
)
BEFORE = ("It was {label}. {a}", "{demos:2}Label: {soft:2}{label}\nText: {a}", "{a}? {label}, {b}")
"""Templates with a field after the label."""


def space(source: str = SOURCES[0], tuning: str = "tail", seeds: Sequence[str] = (), **values: Any) -> Space:
    """A space around one manual prompt; values of the configuration's sections by name."""
    sections = {name: values.pop(name, {}) for name in ("settings", "template", "search")}
    corpus = Corpus("c", ("a", "b"), LABEL, ("neg", "pos"), _rows(), _rows(), (), label_words=WORDS.mapping())
    manual = Candidate(Template.parse(source), WORDS, Settings.default(tuning, len(POOL)))
    candidates = [_shown(replace(manual, template=Template.parse(text))) for text in (source, *seeds)]
    config = SearchConfig.model_validate(sections)
    made = make_space(candidates[0], candidates[1:], "mood", corpus, config, values.pop("fix", {}), 0)
    return replace(made, vocabulary=("film", "topic", "{odd}"), **values)


def _rows() -> tuple[Example, ...]:
    return tuple(Example(demo.row_id, demo.fields, demo.label) for demo in POOL)


def _shown(candidate: Candidate) -> Candidate:
    return replace(candidate, demos=draw_demos(POOL, candidate.template.demos, random.Random(0)))  # noqa: S311


def mating(parent: Candidate, mate: Candidate, over: Space, seed: int) -> Mating:
    """With hints of the kind that a model gives."""
    edits = fakes.near(parent.template, 4)
    words = [parent.label_words.replace("neg", "poor")]
    hints = Hints({parent.id: TokenProposals(edits, edits)}, {parent.id: words}, ["Text: "])
    return Mating(parent, mate, over, hints, random.Random(seed))  # noqa: S311


def fields_of(candidate: Candidate) -> list[str]:
    return sorted(name for name in candidate.template.slots if name != LABEL)


COUNTS = {"demos": (0, 2, 4), "soft": (0, 3, 8)}
SPACES = st.fixed_dictionaries(
    {
        "tuning": st.sampled_from(["tail", "soft", "none", "full"]),
        "anywhere": st.booleans(),
        "demos": st.sampled_from([None, (0, 2, 4), (1, 3), (2,)]),
        "soft": st.sampled_from([None, (4, 8), (6,)]),
        "positions": st.booleans(),
        "fixed": st.sets(st.sampled_from(["template", "label_words", "epochs", "batch_size", "calibration"])),
    }
)
FIXES = {"template": "Say: {a} {b} is {label}", "label_words": {"neg": "sad", "pos": "glad"}, "epochs": 3,
         "batch_size": 5, "calibration": True}  # fmt: skip


@hypothesis.settings(deadline=None)
@given(
    drawn=SPACES,
    sources=st.lists(st.sampled_from(SOURCES + BEFORE), min_size=2, max_size=2),
    steps=st.lists(st.tuples(st.integers(0, 99), st.integers(0, 2**32)), max_size=12),
)
def test_any_sequence_of_operators_keeps_candidates_valid_and_what_is_fixed(drawn, sources, steps) -> None:
    sources = [s for s in sources if drawn["anywhere"] or s not in BEFORE] or [SOURCES[0]]
    fix = {name: FIXES[name] for name in drawn["fixed"] if name not in ("epochs", "batch_size")}
    if drawn["tuning"] != "none":
        fix |= {name: FIXES[name] for name in ("epochs", "batch_size") if name in drawn["fixed"]}
    template = {"demos": drawn["demos"], "soft": drawn["soft"], "positions": drawn["positions"], "max_length": 1000}
    seeds = () if "template" in fix else sources[1:]
    over = space(sources[0], drawn["tuning"], seeds, template=template, fix=fix, label_anywhere=drawn["anywhere"])
    operators = usable(EVERY, over)
    mate = over.prompts[-1]
    candidate = over.start
    assert all(valid(c, over) for c in over.prompts)
    assert valid(over.manual_tuned, replace(over, template=None))
    for number, seed in steps:
        if not operators:
            break
        operator = operators[number % len(operators)]
        child = operator(mating(candidate, mate, over, seed))
        assert child == operator(mating(candidate, mate, over, seed))
        if child is None:
            continue
        assert valid(child, over), (operator.name, candidate.template.format(), child.template.format())
        assert len(child.demos) == child.template.demos == len(set(child.demos))
        assert set(child.demos) <= set(POOL)
        assert Candidate.from_dict(child.to_dict()) == child
        Template.parse(child.template.format()).bind(("a", "b"))
        if operator.name == "crossover":
            assert fields_of(child) in (fields_of(candidate), fields_of(mate))
            assert child.template.soft in (candidate.template.soft, mate.template.soft)
        else:
            assert fields_of(child) == fields_of(candidate)
            assert operator.name == "demos" or child.demos == candidate.demos
            assert operator.name == "soft" or child.template.soft == candidate.template.soft
        _assert_fixed(child, over, drawn, fix)
        mate, candidate = candidate, child


def _assert_fixed(child: Candidate, over: Space, drawn: dict[str, Any], fix: dict[str, Any]) -> None:
    if "template" in fix:
        assert edits.text(child.template) == edits.text(Template.parse(fix["template"]))
    if "label_words" in fix:
        assert child.label_words.mapping() == fix["label_words"]
    for name in set(fix) & set(SETTINGS):
        assert getattr(child.settings, name) == fix[name]
    if drawn["demos"]:
        assert child.template.demos in drawn["demos"]
    if over.soft_counts:
        assert child.template.soft in over.soft_counts
    assert child.settings.tuning == drawn["tuning"]


@pytest.mark.parametrize("name", sorted(STRATEGIES))
@pytest.mark.parametrize("tuning", ["tail", "none"])
def test_fixed_genes_hold_for_all_competitors_so_that_they_compare_fairly(name: str, tuning: str) -> None:
    fix: dict[str, Any] = {"label_words": FIXES["label_words"], "calibration": True, "demos": 2}
    fix |= {"learning_rate": 2e-3, "rank": 3, "soft": 5} if tuning == "tail" else {}
    over = space(tuning=tuning, seeds=["{a} is {b}: {label}"], fix=fix)
    outcome, found = fakes.run_search(over, name, 30)
    rivals = {e.candidate.id: e.candidate for role, e in found if role != "manual"}
    assert len(rivals) > (8 if name == "grid" else 20)
    for candidate in rivals.values():
        assert candidate.label_words.mapping() == fix["label_words"]
        assert len(candidate.demos) == candidate.template.demos == 2
        assert all(getattr(candidate.settings, gene) == fix[gene] for gene in fix if gene in SETTINGS)
        assert candidate.template.soft == fix.get("soft", 0)
    assert set(outcome.baselines) == {"manual", "manual_tuned", "null", "random"}
    manual, tuned = (outcome.baselines[name].candidate for name in ("manual", "manual_tuned"))
    assert manual == replace(over.manual, settings=Settings("none"))
    assert edits.text(tuned.template) == manual.template


@pytest.mark.parametrize("name", ["hybrid", "genetic", "random", "grid"])
def test_a_fixed_template_is_searched_by_its_settings_without_frozen_scores(name: str) -> None:
    over = space(fix={"template": "{a} {b} so {label}", "label_words": WORDS.mapping()})
    outcome, found = fakes.run_search(over, name, 30)
    searched = [e.candidate for role, e in found if role == "search"]
    assert len({c.settings for c in searched}) == len(searched) >= 29
    assert {c.template.format() for c in searched} == {"{a} {b} so {label}"}
    assert outcome.frozen == 0
    assert set(outcome.baselines) == {"manual", "manual_tuned"}
    assert outcome.baselines["manual_tuned"].candidate.template.format() == SOURCES[0]


def test_beside_a_fixed_template_the_manual_one_is_no_parent() -> None:
    over = space(fix={"template": "{a} {b} so {label}"})
    genetic = STRATEGIES["genetic"](over, fakes.FakeEvaluator(), random.Random(0))  # noqa: S311
    genetic.tell([_evaluation(over.manual_tuned), _evaluation(over.start)], [])
    assert [individual.candidate for individual in genetic.population] == [over.start]  # type: ignore[attr-defined]


def test_everything_fixed_leaves_nothing_to_do() -> None:
    fix = {name: FIXES[name] for name in ("template", "label_words", "epochs", "batch_size")}
    over = space(fix={**fix, "learning_rate": 1e-3, "rank": 2})
    assert usable(EVERY, over) == ()
    for name in ("hybrid", "genetic", "random", "grid"):
        outcome, _ = fakes.run_search(over, name)
        assert outcome.fitted == 2  # the fixed candidate and manual_tuned


def test_by_default_nothing_is_put_into_a_template_or_calibrated() -> None:
    over = space()
    assert [o.name for o in EVERY if o not in usable(EVERY, over)] == ["label_words", "demos", "soft", "label"]
    assert over.manual_tuned == over.start == over.manual
    assert over.ranges["learning_rate"] == TUNING_MODES["tail"].rates
    assert over.ranges["calibration"] == (False,)
    assert space(tuning="none").ranges == {"calibration": (False, True)}
    for name in ("hybrid", "random"):
        _, found = fakes.run_search(over, name)
        assert {e.candidate.label_words for _, e in found} == {WORDS}
        assert not any(e.candidate.template.soft or e.candidate.demos for _, e in found)
        assert not any(e.candidate.settings.calibration for _, e in found)


@pytest.mark.parametrize(
    ("given", "vary"),
    [
        ({}, False), ({"tuning": "none"}, True), ({"tuning": "full"}, False),
        ({"template": {"label_words": True}}, True), ({"tuning": "none", "template": {"label_words": False}}, False),
        ({"search": {"operators": ["words", "label_words"]}}, True), ({"search": {"operators": ["words"]}}, False),
        ({"template": {"label_words": True}, "fix": {"label_words": WORDS.mapping()}}, False),
    ],
)  # fmt: skip
def test_label_words_vary_where_nothing_learns_them_or_when_told(given: dict[str, Any], vary: bool) -> None:
    over = space(**given)
    assert over.free("label_words") == vary
    for name in ("hybrid", "random", "grid"):
        _, found = fakes.run_search(over, name, 40)
        assert (len({e.candidate.label_words for _, e in found}) > 1) == vary, name


@pytest.mark.parametrize("tuning", sorted(set(TUNING_MODES) - {"none"}))
def test_each_mode_has_its_own_learning_rates(tuning: str) -> None:
    over = space(tuning=tuning)
    drawn = {over.draw_settings(random.Random(n)) for n in range(200)}  # noqa: S311
    assert {s.learning_rate for s in drawn} == set(TUNING_MODES[tuning].rates)
    assert all((s.rank > 0) == (tuning in ("tail", "lora")) for s in drawn)
    assert all(over.free(name) == (name != "calibration" and (name != "rank" or tuning in ("tail", "lora")))
               for name in SETTINGS)  # fmt: skip


def test_configured_ranges_bound_the_manual_prompt_as_well() -> None:
    settings = {"learning_rate": [1e-6, 1e-3], "epochs": [1, 100], "rank": [4, 8]}
    over = space(settings=settings, template={"demos": [2, 4], "soft": [3]})
    tuned = over.manual_tuned
    assert (tuned.settings.learning_rate, tuned.settings.epochs, tuned.settings.rank) == (1e-3, 100, 8)  # by ratio
    assert tuned.template.format() == "{demos:2}{a}{soft:3}\nSentiment: {label}"
    assert len(tuned.demos) == 2
    assert over.bounded(tuned) == tuned
    assert over.manual.template.format() == SOURCES[0]


def test_trainable_vectors_are_there_where_nothing_else_is_tuned() -> None:
    over = space(tuning="soft", seeds=["{soft:3}{a} {label}", "{a} {label}"])
    assert [c.template.soft for c in over.prompts] == [8, 3, 8]
    _, found = fakes.run_search(over, "hybrid", 40)
    assert all(e.candidate.template.soft for role, e in found if role != "manual")
    with pytest.raises(InputError, match="nothing to tune"):
        space(tuning="soft", template={"soft": [0, 4]})


@pytest.mark.parametrize(
    ("values", "error", "part"),
    [
        ({"fix": {"rank": 4}, "tuning": "full"}, UsageError, "fix rank"),
        ({"fix": {"epochs": 4}, "tuning": "none"}, UsageError, "fix epochs"),
        ({"fix": {"soft": 4}, "tuning": "none"}, UsageError, "fix soft"),
        (
            {"fix": {"template": "{a} {label}"}, "seeds": ["{b} {label}"]},
            UsageError,
            "others in templates; leave one out",
        ),
        ({"fix": {"template": "{c} {label}"}}, InputError, "{c}"),
        ({"fix": {"label_words": {"neg": "x"}}}, InputError, "pos"),
        ({"fix": {"demos": 10}}, InputError, "9 training rows"),
        ({"template": {"demos": [0, 10]}}, InputError, "9 training rows"),
    ],
    ids=str,
)
def test_what_does_not_fit_the_run_is_refused(values: dict[str, Any], error: type[Exception], part: str) -> None:
    with pytest.raises(error, match=part):
        space(**values)


@given(st.integers(0, 9), st.integers(0, 2**32), st.integers(0, 4))
def test_solved_examples_are_drawn_from_each_class_in_turn(count: int, seed: int, had: int) -> None:
    have = POOL[:had]
    if count + had > len(POOL):
        with pytest.raises(InputError, match=f"asks for {count + had}"):
            draw_demos(POOL, count, random.Random(seed), have)  # noqa: S311
        return
    drawn = draw_demos(POOL, count, random.Random(seed), have)  # noqa: S311
    assert len(set(drawn)) == len(drawn) == count
    assert not set(drawn) & set(have)
    assert drawn == draw_demos(POOL, count, random.Random(seed), have)  # noqa: S311
    assert drawn[: count // 2] == draw_demos(POOL, count // 2, random.Random(seed), have)  # noqa: S311
    shown = Counter(demo.label for demo in (*have, *drawn))
    assert not count or abs(shown["neg"] - shown["pos"]) <= 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"demos": POOL[:1]}, False),
        ({"demos": POOL[:3]}, False),
        ({"demos": (POOL[0], POOL[0])}, False),
        ({"template": Template.parse("{demos:3}{a} {label}")}, False),
        ({"template": Template.parse("{a}{demos:2} {label}")}, False),
        ({"template": Template.parse("{demos:1}{demos:1}{a} {label}")}, False),
        ({"template": Template.parse("{demos:2}It was {label}. {a}")}, False),
        ({"template": Template.parse("{demos:2}{a}{soft:8} {label}")}, True),
        ({"template": Template.parse("{demos:2}{a}{soft:4} {label}")}, False),
        ({"template": Template.parse("{a} {label}"), "demos": ()}, False),
    ],
    ids=str,
)
def test_valid_wants_parts_that_agree(change: dict[str, Any], expected: bool) -> None:
    over = space(template={"demos": [2, 3], "soft": [0, 8]})
    candidate = replace(over.start, template=Template.parse("{demos:2}{a} {label}"), demos=POOL[:2])
    assert valid(replace(candidate, **change), over) is expected


def test_parts_too_large_to_be_written_are_not_valid() -> None:
    over = space()
    template = Template((Slot("a"), Soft(128), Slot(LABEL)))
    assert not valid(replace(over.start, template=template), over)


def test_a_field_may_stand_after_the_label_only_where_the_model_reads_it() -> None:
    over = space(label_anywhere=True)
    for source in BEFORE:
        candidate = _shown(replace(over.start, template=Template.parse(source)))
        assert valid(candidate, over)
        assert not valid(candidate, space())


@pytest.mark.parametrize(
    ("source", "place", "expected"),
    [
        ("{a} It was {label}", 0, "It was {label}. {a}"),
        ("It was {label}. {a}", 1, "{a} It was {label}"),
        ("Text: {a}\nLabel: {label}", 0, "Label: {label}\nText: {a}"),
        ("Label: {label}\nText: {a}", 1, "Text: {a}\nLabel: {label}"),
        ("{a}{label}", 0, "{label}. {a}"),
        ("{a}, {b} {label}", 1, "{a} {label}, {b}"),
        ("{a} {label}, {b}", 2, "{a}, {b} {label}"),
        ("{a} {label}, {b}", 0, "{label}. {a}, {b}"),
        ("Go.\n{demos:2}{soft:3}{a}{soft:2} It was {label}!", 0, "Go.\n{demos:2}{soft:2}It was {label}. {soft:3}{a}"),
    ],
)
def test_the_label_moves_with_its_words(source: str, place: int, expected: str) -> None:
    template = Template.parse(source)
    assert place in edits.label_places(template)
    assert edits.with_label_at(template, place).format() == expected


@pytest.mark.parametrize(
    ("source", "head", "tail", "body"),
    [
        ("{a} It was {label}", "HEAD{a} It was {label}", "{a} TAIL {label}", "{a}"),
        ("Old: {a} It was {label}!", "HEAD{a} It was {label}!", "Old: {a} TAIL {label}", "{a}"),
        ("Go.\n{demos:2}{soft:3}Old: {a}\nL{soft:2}: {label}", "{demos:2}{soft:3}HEAD{a}\nL{soft:2}: {label}",
         "Go.\n{demos:2}{soft:3}Old: {a} TAIL {soft:2}{label}", "{demos:2}{soft:3}{a}"),
        ("{a}{soft:2} It was {label}", "HEAD{a}{soft:2} It was {label}", "{a}{soft:2} TAIL {label}", "{a}"),
        ("It was {label}. {a}", "It was {label}. HEAD{a}", "TAIL {label}. {a}", "{a}"),
        ("{demos:2}L: {label}\nOld: {a}", "{demos:2}L: {label}\nHEAD{a}", "{demos:2}TAIL {label}\nOld: {a}",
         "{demos:2}{a}"),
        ("Old: {a}? {label}, {b}", "HEAD{a}? {label}, {b}", "Old: {a} TAIL {label}, {b}", "{a} {b}"),
    ],
)  # fmt: skip
def test_heads_and_tails_change_around_the_other_parts(source: str, head: str, tail: str, body: str) -> None:
    template = Template.parse(source)
    assert phrases.with_head(template, "HEAD").format() == head
    assert phrases.with_tail(template, " TAIL ").format() == tail
    assert phrases.body(template).format() == body


def children(operator: Any, over: Space, parent: Candidate, mate: Candidate | None = None) -> set[str]:
    found = {operator(mating(parent, mate or parent, over, seed)) for seed in range(300)}
    return {child.template.format() for child in found if child}


def test_crossover_takes_solved_examples_with_the_head() -> None:
    over = space("{demos:2}Text: {a} one {label}", seeds=["{demos:3}{a} two {label}"])
    parent, mate = over.prompts
    found = {Crossover()(mating(parent, mate, over, seed)) for seed in range(200)}
    taken = {child.template.format(): child.demos for child in found if child and child.demos != parent.demos}
    assert taken == {"{demos:3}{a} one {label}": mate.demos}


def test_crossover_adds_up_no_trainable_vectors() -> None:
    over = space("{a}{soft:4} one {label}", seeds=["{soft:4}{a} two {label}"])
    parent, mate = over.prompts
    for one, two in ((parent, mate), (mate, parent)):
        found = {child for seed in range(200) if (child := Crossover()(mating(one, two, over, seed)))}
        assert {child.template.soft for child in found} == {4}


def test_solved_examples_come_go_change_and_move() -> None:
    over = space(template={"demos": [0, 1, 3]})
    bare = over.start
    assert children(DemosChange(), over, bare) == {"{demos:1}" + SOURCES[0]}
    three = over.with_demos(bare, 3)
    found = {DemosChange()(mating(three, three, over, seed)) for seed in range(300)}
    assert {c.template.demos for c in found if c} == {1, 3}
    kept = [c.demos for c in found if c and c.template.demos == 3]
    assert any(set(demos) == set(three.demos) for demos in kept)
    assert any(len(set(demos) & set(three.demos)) == 2 for demos in kept)
    one = over.with_demos(bare, 1)
    assert children(DemosChange(), over, one) == {part + SOURCES[0] for part in ("", "{demos:1}", "{demos:3}")}


def test_trainable_vectors_come_go_and_move() -> None:
    over = space("{a} It was {label}", template={"soft": [0, 4]})
    places = {"{soft:4}{a} It was {label}", "{a}{soft:4} It was {label}", "{a} It was {soft:4}{label}"}
    assert children(SoftChange(), over, over.start) == places
    parent = replace(over.start, template=Template.parse("{soft:4}{a} It was {label}"))
    assert children(SoftChange(), over, parent) == places - {parent.template.format()} | {"{a} It was {label}"}


def test_the_label_moves_only_where_the_space_lets_it() -> None:
    over = space("{a} and {b} {label}", label_anywhere=True)
    assert children(LabelMove(), over, over.start) == {"{label}. {a} and {b}", "{a} {label} and {b}"}
    for fixed in (space(), space(label_anywhere=True, template={"positions": False})):
        assert not fixed.free("positions")
        assert children(LabelMove(), fixed, fixed.start) == set()


@hypothesis.settings(deadline=None)
@given(st.lists(st.integers(1, 5), max_size=4))
def test_a_spread_has_every_cell_once_and_begins_in_the_middle(sizes: list[int]) -> None:
    cells = list(spread(sizes))
    assert len(cells) == len(set(cells))
    assert set(cells) == set(_product(sizes))
    assert cells[0] == tuple(size // 2 for size in sizes)


def _product(sizes: Sequence[int]) -> list[tuple[int, ...]]:
    cells: list[tuple[int, ...]] = [()]
    for size in sizes:
        cells = [(*cell, n) for cell in cells for n in range(size)]
    return cells


def test_the_first_points_of_a_grid_are_coarse() -> None:
    for first in (6, 12):
        cells = list(spread([9, 5, 3, 3, 3]))[:first]
        for axis, size in enumerate((9, 5, 3, 3, 3)):
            assert len({cell[axis] for cell in cells}) >= min(size, first) / 2


def test_a_grid_is_every_combination_once_and_then_idle() -> None:
    settings = {"learning_rate": [1e-4, 1e-3], "batch_size": [8], "epochs": [1, 2, 3], "rank": [8]}
    fixed = {"label_words": WORDS.mapping()}
    over = space(
        settings=settings, template={"demos": [0, 2], "positions": False}, seeds=["{b} {a} {label}"], fix=fixed
    )
    found = list(points(over))
    prompts = {edits.text(c.template).format() for c in found}
    assert {SOURCES[0], "{b} {a} {label}"} < prompts
    assert len(found) == len({c.id for c in found}) == len(prompts) * 2 * 3 * 2
    assert found == list(points(over))
    assert edits.text(found[0].template).format() == SOURCES[0]
    assert all(valid(c, over) for c in found)
    evaluator = fakes.FakeEvaluator()
    grid = STRATEGIES["grid"](over, evaluator, random.Random(0))  # noqa: S311
    rounds = []
    while proposals := grid.ask():
        rounds.append([p.candidate for p in proposals])
    assert [c for asked in rounds for c in asked] == found
    assert {len(asked) for asked in rounds[:-1]} == {over.config.search.survivors}
    assert grid.ask() == []
    assert evaluator.asked == {"frozen": 0, "propose": 0, "rank_words": 0}


def test_a_grid_search_fine_tunes_every_point_and_ends() -> None:
    settings = {"learning_rate": [1e-4, 1e-3], "batch_size": [8], "epochs": [1, 2], "rank": [8]}
    over = space(settings=settings, fix={"template": "{a} {label}", "label_words": WORDS.mapping()})
    outcome, found = fakes.run_search(over, "grid", 1000)
    assert outcome.fitted == 4 + 1  # and manual_tuned
    assert {e.candidate.id for role, e in found if role == "search"} == {c.id for c in points(over)}


def test_a_grid_has_label_words_orders_of_fields_and_places_of_the_label() -> None:
    settings = {"learning_rate": [1e-3], "batch_size": [8], "epochs": [1], "rank": [8]}
    over = space("{a} and {b} {label}", settings=settings, label_anywhere=True)
    other = WORDS.replace("neg", "poor")
    found = [c for c in points(over, (other,)) if valid(c, over)]
    assert {c.label_words for c in found} == {WORDS, other}
    slots = {tuple(name for name in c.template.slots) for c in found}
    assert {("a", "b", LABEL), ("b", "a", LABEL), (LABEL, "a", "b"), ("a", LABEL, "b")} <= slots
    fixed = space("{a} and {b} {label}", settings=settings, template={"positions": False}, label_anywhere=True)
    assert {c.template.slots for c in points(fixed)} == {("a", "b", LABEL)}


def test_random_draws_vary_every_free_gene() -> None:
    over = space("{a} and {b} {label}", label_anywhere=True,
                 template={"demos": [0, 2], "soft": [0, 4], "label_words": True})  # fmt: skip
    _, found = fakes.run_search(over, "random", 120)
    drawn = [e.candidate for role, e in found if role == "search" and e.rung == 1]
    slots = {tuple(s for s in c.template.slots if s in ("a", "b", LABEL)) for c in drawn}
    assert {("a", "b", LABEL), ("b", "a", LABEL)} < slots
    assert any(order[-1] != LABEL for order in slots)
    for values in (
        {c.label_words for c in drawn}, {c.template.demos for c in drawn}, {c.template.soft for c in drawn},
        *({getattr(c.settings, name) for c in drawn} for name in SETTINGS if over.free(name)),
    ):  # fmt: skip
        assert len(values) > 1


def test_calibration_is_a_gene_of_label_words_alone() -> None:
    wordless = Candidate(Template.parse(SOURCES[0]), LabelWords(()), Settings.default("none", len(POOL)))
    corpus = Corpus("c", ("a", "b"), LABEL, (), _rows(), _rows(), ())
    over = make_space(wordless, (), "title", corpus, SearchConfig(), {}, 0)
    assert not over.free("calibration")
    assert over.draw_settings(random.Random(0)) == wordless.settings  # noqa: S311
    with pytest.raises(UsageError, match="calibration changes nothing without label words"):
        make_space(wordless, (), "title", corpus, SearchConfig(), {"calibration": True}, 0)


def test_a_bred_candidate_that_must_not_be_scored_is_stored_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 14."""
    long = phrases.with_tail(space().start.template, " long" * 40 + " ")

    class Long(Phrase):
        def __call__(self, mating: Mating) -> Candidate:
            return replace(mating.parent, template=long)

    monkeypatch.setattr(
        "autoprompt.optimizer.strategies.genetic.all_operators", lambda **_: (Long(), *all_operators(gradients=False))
    )
    outcome, found = fakes.run_search(space(), "genetic", 40)
    failed = [e for _, e in found if e.candidate.template == long]
    assert failed
    assert len({e.candidate.id for e in failed}) == len(failed), "a duplicate is not stored twice"
    assert all(e.status == "failed" and "more than 120 characters" in str(e.reason) for e in failed)
    assert outcome.fitted == 40
    assert outcome.best.candidate.template != long


def test_sizes_of_a_search_are_read() -> None:
    over = space(search={"pool": 3, "survivors": 2, "population": 2, "finalists": 1})
    for name in ("hybrid", "random"):
        chosen = STRATEGIES[name](over, fakes.FakeEvaluator(), random.Random(0))  # noqa: S311
        first = chosen.ask()
        assert len(first) <= 3 + 2  # two with other label words
        chosen.tell([_evaluation(p.candidate) for p in first], first)
        assert 1 <= len(chosen.ask()) <= 3 + 2 * 3
        if name == "hybrid":
            assert len(chosen.population) == 2


def _evaluation(candidate: Candidate) -> Evaluation:
    (evaluation,) = fakes.FakeEvaluator().fit([candidate])
    return evaluation
