"""Templates: parsing, canonical form, rendering, and that no data can pass for a part of the template."""

import re
from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autoprompt.errors import InputError, UsageError
from autoprompt.template import LabelWords, Literal, Piece, Segment, Slot, Template, render_value

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
BRACED = st.text(st.sampled_from("{}\n a:é😀|"), max_size=8)
NAMES = st.sampled_from(["text", "label", "premise", "the question", "größe", "text-2", "_a1"])
SEGMENTS = st.lists(st.one_of(TEXT.map(Literal), BRACED.map(Literal), NAMES.map(Slot)), max_size=8)
HOSTILE = st.sampled_from(["{text}", "{label}", "{{", "}}", "{", "[MASK]", "</s>", "{}", "{0}", "%s", "{text!r}"])
DATA = st.one_of(TEXT, HOSTILE, st.lists(HOSTILE, min_size=1, max_size=4).map(" ".join))


@given(SEGMENTS)
def test_parse_is_the_inverse_of_format(segments: list[Segment]) -> None:
    template = Template(tuple(segments))
    assert Template.parse(template.format()) == template
    assert str(template) == template.format()


@given(
    st.lists(st.one_of(st.sampled_from(["{{", "}}", "{text}", "{label}", "{the question}", "\n"]), TEXT), max_size=9)
)
def test_format_is_the_inverse_of_parse_and_parse_never_crashes(parts: list[str]) -> None:
    source = "".join(parts)
    template, refusal = None, ""
    try:
        template = Template.parse(source)
    except InputError as error:
        refusal = str(error)
    if template is not None:
        assert template.format() == source
    else:
        assert set("{}") & set(source)  # only braces can be wrong
        assert re.search(r"column \d+", refusal)


@given(SEGMENTS)
def test_canonical_form_has_no_empty_and_no_adjacent_literals(segments: list[Segment]) -> None:
    template = Template(tuple(segments))
    assert Literal("") not in template.segments
    pairs = zip(template.segments, template.segments[1:], strict=False)
    assert not any(isinstance(a, Literal) and isinstance(b, Literal) for a, b in pairs)
    assert "".join(template.literals) == "".join(s.text for s in segments if isinstance(s, Literal))
    assert template.slots == tuple(s.name for s in segments if isinstance(s, Slot))
    assert template.length == sum(map(len, template.literals))
    assert Template(template.segments) == template
    assert hash(Template(tuple(segments))) == hash(template)


@given(SEGMENTS, st.fixed_dictionaries({"text": DATA, "premise": DATA}), DATA)
def test_no_data_adds_or_removes_a_slot(segments: list[Segment], fields: Mapping[str, str], word: str) -> None:
    known = [s for s in segments if isinstance(s, Literal) or s.name in ("text", "premise", "label")]
    template = Template(tuple(known))
    pieces = template.pieces(fields, word)
    assert tuple(piece.slot for piece in pieces if piece.slot) == template.slots
    expected = "".join(
        s.text if isinstance(s, Literal) else word if s.name == "label" else fields[s.name] for s in known
    )
    assert template.render(fields, word) == expected
    assert [p.text for p in pieces if p.slot is None] == list(template.literals)


@given(DATA)
@example("{label}")
def test_rendering_without_a_label_stops_at_the_predicted_place(text: str) -> None:
    template = Template.parse("A: {text} B {label} C {text}")
    assert template.render({"text": text}) == f"A: {text} B "
    assert template.render({"text": text}, "yes") == f"A: {text} B yes C {text}"


def test_pieces_name_their_slots() -> None:
    assert Template.parse("A {text}{label}!").pieces({"text": "x"}, "w") == [
        Piece("A ", None), Piece("x", "text"), Piece("w", "label"), Piece("!", None),
    ]  # fmt: skip


def test_head_ends_with_the_last_field_before_the_label() -> None:
    assert Template.parse("A {a} B {b} C {label} D {a}").head() == Template.parse("A {a} B {b}")
    assert Template.parse("{text}{label}").head() == Template.parse("{text}")
    assert Template.parse("Go {label}: {text}").head() == Template(())


def test_bind_names_the_predicted_place() -> None:
    expected = Template.parse("{text} is {label}")
    assert expected.bind(["text"]) == expected
    assert Template.parse("{text} is {sentiment}").bind(["text"], "sentiment") == expected
    assert Template.parse("{text} is {mood}").bind(["text"], "sentiment") == expected


@pytest.mark.parametrize(
    ("source", "part"),
    [("{text} is {label}, {label}", "column 20"), ("{foo} is {label}", "{foo} at column 1"), ("hm {label}", "{text}")],
)
def test_bind_refuses_what_does_not_fit_the_data(source: str, part: str) -> None:
    with pytest.raises(InputError, match=re.escape(part)):
        Template.parse(source).bind(["text"], "label")


def test_the_column_of_an_unknown_slot_is_not_that_of_escaped_braces() -> None:
    source = "{{foo}} {text} {foo} {label}"
    with pytest.raises(InputError, match=f"column {source.index(' {foo}') + 2} "):
        Template.parse(source).bind(["text"])


@pytest.mark.parametrize(
    "source", ["{demos}{label}", "{demos:0}{label}", "{demos:33}", "{soft:}", "{soft:65}", "{soft:08}"]
)
def test_parts_without_a_usable_number_are_refused(source: str) -> None:
    with pytest.raises(InputError, match="takes a number from 1 to"):
        Template.parse(source)


def test_solved_examples_are_rendered_with_what_follows_them() -> None:
    template = Template.parse("Classify.\n{demos:2}{soft:3}Text: {text}\nLabel: {label}").bind(["text"])
    shown = template.render_demos([({"text": "a {label}"}, "good"), ({"text": "b"}, "bad")])
    assert shown == "Text: a {label}\nLabel: good\n\nText: b\nLabel: bad\n\n"
    assert "".join(p.text for p in template.pieces({"text": "c"}, "good", shown)) == (
        f"Classify.\n{shown}Text: c\nLabel: good"
    )
    assert (template.demos, template.soft) == (2, 3)
    written = template.with_demos(shown)
    assert written.demos == 0
    assert Template.parse(written.format()) == written


@pytest.mark.parametrize(
    "source", ["{text}{demos:2}{label}", "{demos:1}{demos:2}{text}{label}", "{label}{demos:2}{text}"]
)
def test_demos_stand_once_and_before_all_slots(source: str) -> None:
    with pytest.raises(InputError, match="demos"):
        Template.parse(source).bind(["text"])


@pytest.mark.parametrize("source", ["{demos:2}{text}{label}", "{soft:2}{text}{label}"])
def test_parts_that_are_no_text_cannot_leave_for_other_programs(source: str) -> None:
    with pytest.raises(UsageError, match="no text"):
        Template.parse(source).parts()


def test_a_missing_field_is_named() -> None:
    with pytest.raises(InputError, match="'text'"):
        Template.parse("{text}{label}").render({"other": "x"}, "w")


def test_lone_surrogates_are_refused_where_they_enter() -> None:
    with pytest.raises(InputError, match="column 3"):
        Template.parse("a \ud800 {text}{label}")
    with pytest.raises(InputError, match="surrogate"):
        LabelWords((("a", "x\udcff"),))


def test_structured_fields_render_as_lines() -> None:
    assert render_value({"city": "Rome", "tags": ["old", "big"]}) == "city: Rome\ntags: old, big"
    assert render_value(["x", {"a": 1, "b": 2}]) == "1: x\n2: a: 1; b: 2"
    assert render_value(7) == "7"
    assert Template.parse("{text}|{label}").render({"text": {"{label}": "{text}"}}, "w") == "{label}: {text}|w"


def test_label_words_keep_the_labels_order() -> None:
    words = LabelWords.of({"b": "no", "a": "yes"}, ["a", "b"])
    assert (words.labels, words.words, words.mapping()) == (("a", "b"), ("yes", "no"), {"a": "yes", "b": "no"})
    assert words.replace("b", "never").words == ("yes", "never")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ({"a": "x"}, "miss ['b']"),
        ({"a": "x", "b": "y", "c": "z"}, "['c']"),
        ({"a": "x", "b": "x"}, "'a' and 'b' share the word 'x'"),
        ({"a": "x", "b": " x "}, "share"),
        ({"a": "é", "b": "e\u0301"}, "share"),
        ({"a": "x", "b": " \n"}, "'b' is empty"),
        ({"a": "x", "b": 3}, "['b'] are not text"),
    ],
)
def test_unusable_label_words_are_refused(words: dict[str, str], part: str) -> None:
    with pytest.raises(InputError, match=re.escape(part)):
        LabelWords.of(words, ["a", "b"])


def test_a_replacement_that_collides_is_refused() -> None:
    with pytest.raises(InputError, match="share"):
        LabelWords.of({"a": "yes", "b": "no"}, ["a", "b"]).replace("b", "yes")
