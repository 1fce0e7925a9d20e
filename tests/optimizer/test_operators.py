"""Variation: every operator gives a valid candidate or nothing, whatever it draws."""

import random
import re

import pytest
import tiny
from fakes import valid

from autoprompt.candidate import Candidate, Settings
from autoprompt.models import TokenProposals
from autoprompt.optimizer import SearchConfig, Space, phrases
from autoprompt.optimizer.operators import (
    Crossover,
    GradientReplacement,
    Hints,
    Infill,
    LabelWordChange,
    Mating,
    Operator,
    Phrase,
    SlotMove,
    WordEdit,
    all_operators,
    usable,
)
from autoprompt.registry import OPERATORS
from autoprompt.template import LabelWords, Slot, Template

TWO = LabelWords.of(tiny.WORDS, tiny.LABELS)
SIX = LabelWords(tuple((f"label{n}", word) for n, word in enumerate(("abbreviation", "entity", "a", "b", "c", "d"))))
TAIL = Settings("tail", 5e-4, 8, 8, 8)
SOURCES = (
    "{text}{label}",
    "{text} {label}",
    "{text}\nSentiment: {label}",
    "Read {{this}}: {text}\n\nIn one word, it is\t {label}",
    "{premise} and {hypothesis}: {label}",
    "premise: {premise}\nhypothesis: {hypothesis}\nlabel: {label}",
    "{hypothesis}, {premise}, {hypothesis} ({label}",
)
VOCABULARY = ("good", "film", "topic", "{odd}", "ünï")
MAX_LITERAL = SearchConfig().template.max_length


def _candidate(source: str, words: LabelWords = TWO, settings: Settings = TAIL) -> Candidate:
    return Candidate(Template.parse(source), words, settings)


def _mating(parent: Candidate, seed: int, mate: Candidate | None = None, hints: Hints | None = None) -> Mating:
    mate = mate or _candidate(parent.template.head().format() + "\nAnswer with one: {label}", settings=TAIL)
    return Mating(parent, mate, _space(), hints or _hints(parent), random.Random(seed))  # noqa: S311


def _space(settings: Settings = TAIL) -> Space:
    config = SearchConfig.model_validate({"template": {"label_words": True}})
    return Space(_candidate("{text}\nLabel: {label}", settings=settings), "sentiment", VOCABULARY, config)


EVERY = all_operators(gradients=True)
USUAL = usable(EVERY, _space())
"""The operators of a search that nothing was configured for."""


def _hints(parent: Candidate) -> Hints:
    near = [(phrases.with_tail(parent.template, f" hint{n} "), -float(n)) for n in range(5)]
    words = [parent.label_words, parent.label_words.replace(parent.label_words.labels[0], "fresh")]
    return Hints({parent.id: TokenProposals(near, near[::-1])}, {parent.id: words})


@pytest.mark.parametrize("operator", USUAL, ids=lambda o: o.name)
@pytest.mark.parametrize("words", [TWO, SIX], ids=["two", "six"])
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "seeds", [range(50), pytest.param(range(50, 150), marks=pytest.mark.slow)], ids=["some", "more"]
)
def test_every_child_is_valid(operator: Operator, words: LabelWords, source: str, seeds: range) -> None:
    parent = _candidate(source, words)
    fields = {name for name in parent.template.slots if name != "label"}
    children = []
    for seed in seeds:
        child = operator(_mating(parent, seed))
        assert child == operator(_mating(parent, seed))  # all chance comes from the generator
        if child is None:
            continue
        children.append(child)
        assert child.template.slots.count("label") == 1
        assert child.template.slots[-1] == "label"
        assert child.template.segments[-1] == Slot("label")
        assert set(child.template.slots) - {"label"} == fields
        assert Template.parse(child.template.format()) == child.template
        assert Candidate.from_dict(child.to_dict()) == child
        assert valid(child, _space()) == (child.template.length <= MAX_LITERAL)
        assert child.settings.tuning == parent.settings.tuning
    assert {child.id for child in children} - {parent.id} or (operator.name == "crossover" and not _has_words(parent))


def _has_words(candidate: Candidate) -> bool:
    """Whether there is a word between the text and the label."""
    return re.search(r"\w[^{}]*\{label\}\Z", candidate.template.format()) is not None


@pytest.mark.parametrize("operator", USUAL, ids=lambda o: o.name)
def test_operators_change_only_what_is_theirs(operator: Operator) -> None:
    parent = _candidate("{text}\nSentiment: {label}")
    parts = {
        "gradient": {"template"}, "infill": {"template"}, "phrase": {"template"}, "words": {"template"},
        "slots": {"template"}, "label_words": {"label_words"}, "settings": {"settings"},
        "crossover": {"template", "label_words", "settings"},
    }  # fmt: skip
    mate = _candidate("{text} What a day: {label}", TWO.replace("positive", "fine"), TAIL.change(rank=4))
    changed: set[str] = set()
    for seed in range(50):
        child = operator(_mating(parent, seed, mate))
        if child is not None:
            changed |= {n for n in ("template", "label_words", "settings") if getattr(child, n) != getattr(parent, n)}
    assert changed == parts[operator.name]


def test_the_hybrid_adds_gradients_to_the_genetic_operators() -> None:
    assert [o.name for o in EVERY] == ["gradient", *(o.name for o in all_operators(gradients=False))] == list(OPERATORS)
    assert [o.name for o in USUAL] == [o.name for o in EVERY if o.name not in ("demos", "soft", "label")]
    assert len({o.name for o in EVERY}) == len(EVERY)


@pytest.mark.parametrize("operator", [GradientReplacement(), Infill(), LabelWordChange()])
def test_without_hints_there_is_nothing_to_propose(operator: Operator) -> None:
    parent = _candidate("{text}\nSentiment: {label}")
    assert operator(_mating(parent, 0, hints=Hints())) is None
    nothing = Hints({parent.id: TokenProposals([], [])}, {parent.id: [parent.label_words]})
    assert operator(_mating(parent, 0, hints=nothing)) is None


def test_better_hints_are_taken_more_often() -> None:
    parent = _candidate("{text}\nSentiment: {label}")
    children = [GradientReplacement()(_mating(parent, seed)) for seed in range(300)]
    templates = [t for t, _ in _hints(parent).tokens[parent.id].replacements]
    counts = [sum(child is not None and child.template == t for child in children) for t in templates]
    assert sum(counts) == 300
    assert counts[0] > counts[2] > counts[4] / 2
    assert min(counts) > 0


def _single(text: str) -> str:
    """The text with one blank wherever there are several."""
    return re.sub(" +", " ", text)


def test_word_edits_insert_delete_replace_and_swap() -> None:
    parent = _candidate("{text} one two {label}")
    found = {_single(c.template.format()) for seed in range(400) if (c := WordEdit()(_mating(parent, seed)))}
    assert {"{text} one {label}", "{text} two {label}", "{text} two one {label}", "{text} one good {label}",
            "{text} good two {label}", "{text} one two good {label}"} <= found  # fmt: skip
    bare = {WordEdit()(_mating(_candidate("{text}{label}"), seed)) for seed in range(100)}
    assert None in bare
    assert {c.template.format() for c in bare if c} == {
        f"{{text}} {w.replace('{', '{{').replace('}', '}}')} {{label}}" for w in VOCABULARY
    }


def test_slots_move_in_out_and_about() -> None:
    two = {c.template.format() for s in range(200) if (c := SlotMove()(_mating(_candidate("{a}, {b} {label}"), s)))}
    assert "{b}, {a} {label}" in two
    assert "Sentiment?\n{a}, {b} {label}" in two
    opened = _candidate("Text: {text} {label}")
    moved = {c.template.format() for s in range(200) if (c := SlotMove()(_mating(opened, s)))}
    assert {"{text} {label}", "Sentiment?\n{text} {label}"} <= moved


def test_crossover_takes_a_beginning_and_an_end() -> None:
    parent = _candidate("{text} one two {label}")
    mate = _candidate("{text} three four {label}")
    found = {
        _single(c.template.format().split("{text}")[1])
        for s in range(300)
        if (c := Crossover()(_mating(parent, s, mate)))
    }
    assert found == {" one two {label}", " one four {label}", " one two four {label}", " one three four {label}",
                     " one two three four {label}"}  # fmt: skip


def test_settings_are_drawn_from_their_ranges() -> None:
    for default in (TAIL, Settings("full", 5e-5, 8, 4)):
        space = _space(default)
        drawn = {space.draw_settings(random.Random(seed)) for seed in range(200)}  # noqa: S311
        assert len(drawn) > 20
        assert all(s.tuning == default.tuning and s.epochs >= 1 and not s.calibration for s in drawn)
    frozen = Settings("none")
    drawn = {_space(frozen).draw_settings(random.Random(seed)) for seed in range(20)}  # noqa: S311
    assert drawn == {frozen, frozen.change(calibration=True)}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{text} {label}", True),
        ("{text}{label}", True),
        ("{text}", False),
        ("{label} {text}", False),
        ("{text} {label} {label}", False),
        ("{text}" + "x" * MAX_LITERAL + "{label}", True),
        ("{text}" + "x" * (MAX_LITERAL + 1) + "{label}", False),
    ],
)
def test_valid_wants_one_label_at_the_end_and_little_text(source: str, expected: bool) -> None:
    assert valid(_candidate(source), _space()) is expected


@pytest.mark.parametrize("words", [TWO, SIX], ids=["two", "six"])
@pytest.mark.parametrize("head", ["{text}", "{premise}\n{hypothesis}", "Read: {text}"])
def test_phrases_make_templates(words: LabelWords, head: str) -> None:
    tails = phrases.tails("question type", words)
    assert len(set(tails)) == len(tails) > 20
    for tail in tails:
        template = phrases.with_tail(Template.parse(head + " old {label}"), tail)
        assert template.head() == Template.parse(head)
        assert valid(_candidate(template.format(), words), _space())
        assert not set("{}") & set(tail)
    assert "\nThe question type is " in tails
    spelled = [tail for tail in tails if "good or bad" in tail]
    assert len(spelled) == (2 if words == TWO else 0)
    if words == SIX:
        assert not any("entity" in tail for tail in tails)
    assert all("{" not in opening for opening in phrases.heads("question type", words))


def test_a_phrase_replaces_what_stood_after_the_text() -> None:
    child = Phrase()(_mating(_candidate("Read: {text} old words {label}"), 3))
    assert child is not None
    assert "old" not in child.template.format()
    assert child.template.head() == Template.parse("Read: {text}")


def test_the_body_has_no_opening_words() -> None:
    assert phrases.body(Template.parse("A {a} b {c} d {label}")) == Template.parse("{a} b {c}")
    assert phrases.body(Template.parse("{a}{label}")) == Template.parse("{a}")
