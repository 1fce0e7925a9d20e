"""Which columns become fields and which the label, and what is said of the others."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from autoprompt.corpus import Corpus, from_rows
from autoprompt.corpus.columns import slot_name, slot_names
from autoprompt.errors import InputError

LABELS = ("billing", "shipping", "praise")
WORDS = ("parcel", "invoice", "server", "login", "refund", "courier", "screen", "thanks")


def _table(size: int = 60, **columns: Callable[[int], Any]) -> list[dict[str, Any]]:
    """Rows with a message, a category and further columns, each made from its row's number."""
    rng = random.Random(5)  # noqa: S311
    return [
        {
            "message": f"the {rng.choice(WORDS)} and the {rng.choice(WORDS)} of case {n} are late",
            "category": LABELS[n % 3],
            **{name: make(n) for name, make in columns.items()},
        }
        for n in range(size)
    ]


def _left_out(corpus: Corpus) -> dict[str, str]:
    assert corpus.summary is not None
    return dict(corpus.summary.left_out)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda n: f"T-{n:05d}", "identifiers"),
        (lambda n: f"A{n % 3}", "identifiers"),
        (lambda n: f"{n * 7919:032x}", "identifiers"),
        (lambda n: f"user{n}@example.org", "identifiers"),
        (lambda n: f"https://example.org/{'abcdefg'[n % 7]}", "identifiers"),
        (lambda n: f"images/{'abcdefg'[n % 7]}.jpg", "identifiers"),
        (lambda n: f"2024-03-{n % 28 + 1:02d}", "dates"),
        (lambda n: f"{n % 28 + 1}.3.2024", "dates"),
        (lambda n: f"2024-03-{n % 28 + 1:02d}T10:{n % 60:02d}:00Z", "dates"),
        (lambda n: f"Mar {n % 28 + 1}, 2024", "dates"),
        (lambda n: f"{n % 28 + 1} March 2024", "dates"),
        (lambda n: f"Tue, {n % 28 + 1} Mar 2024 10:00:00 +0100", "dates"),
        (lambda n: f"{n % 12 + 1}:30 pm", "dates"),
        (lambda _n: "open", "constant"),
        (lambda _n: "", "empty"),
        (lambda n: n, "row numbers"),
        (lambda n: n % 7 + 0.5, "numbers"),
        (lambda n: ("bills", "parcels", "thanks")[n % 3], "it determines the label"),
        (lambda n: ("money", "money", "kind words")[n % 3], "it determines the label"),
        (lambda n: f"{('Billing', 'shipping', 'PRAISE')[n % 3]} it is, as a person said of case {n}",
         "it spells the label out"),
    ],
)  # fmt: skip
def test_columns_without_meaning_and_copies_of_the_label_are_no_fields(make: Callable[[int], Any], why: str) -> None:
    corpus = from_rows(_table(extra=make))
    assert corpus.fields == ("message",)
    assert _left_out(corpus) == {"extra": why}
    assert f"extra ({why}) (name them as text columns to use them)" in str(corpus.summary)


def test_a_column_left_out_can_be_named() -> None:
    corpus = from_rows(_table(code=lambda n: f"T-{n:05d}"), text_column="message,code", label_column="category")
    assert corpus.fields == ("message", "code")
    assert corpus.warnings == ()
    told = from_rows(
        _table(words=lambda n: LABELS[n % 3].title()), text_column="message,words", label_column="category"
    )
    assert told.fields == ("message", "words")
    assert [w for w in told.warnings if "'words'" in w and "may give the label away" in w]


@pytest.mark.parametrize(
    "make",
    [
        lambda n: ("phone", "laptop")[n // 3 % 2],  # a category that goes across the classes
        lambda n: WORDS[n * n % 8],
        lambda n: f"title of {WORDS[n % 8]}, {n}",
        lambda n: ["before"] * (n % 4),
        lambda n: f"订单{n}没有到，请尽快处理",
        lambda n: "urgent" if n % 5 else "",
    ],
)
def test_columns_that_say_something_stay(make: Callable[[int], Any]) -> None:
    corpus = from_rows(_table(extra=make))
    assert corpus.fields == ("message", "extra")
    assert _left_out(corpus) == {}


def test_the_only_text_stays_whatever_it_looks_like() -> None:
    words = from_rows([{"word": f"abc{n}", "label": "ab"[n % 2]} for n in range(40)])
    assert words.fields == ("word",)
    spelled = from_rows(
        [{"review": f"a {('good', 'bad')[n % 2]} one {n}", "label": ("good", "bad")[n % 2]} for n in range(40)]
    )
    assert spelled.fields == ("review",)
    beside = from_rows([
        {"review": f"a {('good', 'bad')[n % 2]} one {n}", "shop": ("here", "there", "")[n % 3],
         "label": ("good", "bad")[n % 2]}
        for n in range(40)
    ])  # fmt: skip
    assert beside.fields == ("review", "shop")


def test_an_imbalanced_label_is_not_foretold_by_chance() -> None:
    rows = _table(100, shop=lambda n: f"shop {'abcdefghij'[n % 10]}")
    for number, row in enumerate(rows):
        row["category"] = "spam" if number % 20 == 0 else "ham"
    assert from_rows(rows).fields == ("message", "shop")


@pytest.mark.parametrize("name", ["Unnamed: 0", "__index_level_0__", "index", "", "ID"])
def test_an_index_is_neither_text_nor_label(name: str) -> None:
    rows = [{name: n, "review": f"a film {n}", "sentiment": "ab"[n % 2]} for n in range(40)]
    corpus = from_rows(rows)
    assert (corpus.fields, corpus.label_column) == (("review",), "sentiment")
    assert _left_out(corpus) == {name: "row numbers"}
    texts = [{name: f"r{n}", "text": f"a film {n}", "kind": "ab"[n % 2]} for n in range(40)]
    assert from_rows(texts).label_column == "kind"


@pytest.mark.parametrize("column", ["split", "Set", "partition"])
def test_a_split_column_gives_the_splits(column: str) -> None:
    parts = ("train", "Train ", "training", "dev", "eval")  # as files of a folder may be called
    rows = [{"text": f"a film {n}", "label": "ab"[n // 5 % 2], column: parts[n % 5]} for n in range(50)]
    corpus = from_rows(rows)
    assert [len(split) for split in (corpus.train, corpus.validation, corpus.test)] == [30, 10, 10]
    assert {row.fields["text"] for row in corpus.test} == {f"a film {n}" for n in range(4, 50, 5)}
    assert [w for w in corpus.warnings if f"The column {column!r}" in w]
    assert _left_out(corpus) == {column: "the splits"}


def test_a_split_column_is_never_the_label_unless_it_is_named() -> None:
    rows = [{"text": f"a film {n}", "split": ("train", "test")[n % 2]} for n in range(40)]
    with pytest.raises(InputError, match=r"no column is left for the label, since 'split' says which split"):
        from_rows(rows)
    assert from_rows(rows, label_column="split").labels == ("test", "train")
    other = [row | {"split": ("red", "blue")[n % 2]} for n, row in enumerate(rows)]
    assert from_rows(other).labels == ("blue", "red")  # a column of this name that says nothing of splits


def test_rows_that_a_split_column_calls_unlabelled_are_those() -> None:
    rows = [{"text": f"a film {n}", "label": "ab"[n % 2], "split": "train"} for n in range(40)]
    rows += [{"text": f"another {n}", "label": "", "split": "unlabeled"} for n in range(7)]
    corpus = from_rows(rows)
    assert corpus.summary is not None
    assert corpus.summary.rows == 47
    assert corpus.summary.dropped == {}
    assert corpus.summary.splits["unlabeled"] == 7
    assert {row.fields["text"] for row in corpus.unlabeled} == {f"another {n}" for n in range(7)}


def test_several_labels_a_row_are_named() -> None:
    rows = [{"comment_text": f"a note {n}", "toxic": n % 2, "rude": n % 3 % 2, "threat": 0} for n in range(40)]
    with pytest.raises(InputError, match=r"'toxic', 'rude' look like several labels a row.*label_column"):
        from_rows(rows)
    assert from_rows(rows, label_column="toxic").labels == ("0", "1")


def test_what_determines_a_target_text_is_a_field() -> None:
    rows = [
        {"task": ("Count the words.", "Name the tone.")[n % 2], "source": f"a note {n}", "reply": f"{n % 2} it is"}
        for n in range(40)
    ]
    assert from_rows(rows, target_column="reply").fields == ("task", "source")


def test_a_hundred_columns_of_text_are_not_guessed() -> None:
    rows = [{f"c{i}": f"words of {i} and {n} times {i}" for i in range(100)} | {"label": n % 2} for n in range(20)]
    with pytest.raises(InputError, match=r"has 100 columns of text.*text_column") as caught:
        from_rows(rows)
    assert "and 71 more" in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "fields"),
    [
        (["review.text"], ("review_text",)),
        (["Review Text?"], ("Review_Text",)),
        (["#1 String", "#2 String"], ("column_1_String", "column_2_String")),
        (["a.b", "a:b", "a_b"], ("a_b_2", "a_b_3", "a_b")),
        (["subject line", "from"], ("subject line", "from")),
        (["label"], ("column_label",)),
        (["???"], ("column",)),
        (["naïve größe"], ("naïve größe",)),
    ],
)
def test_every_column_has_a_name_that_templates_can_say(columns: Sequence[str], fields: tuple[str, ...]) -> None:
    assert slot_names(columns) == fields
    assert slot_name(slot_name(columns[0])) == slot_name(columns[0])


def test_a_column_of_another_name_is_read_by_fit_search_and_predict() -> None:
    from autoprompt.corpus import inputs

    rows = [{"review.text": f"a film {n}", "label": "ab"[n % 2]} for n in range(40)]
    corpus = from_rows(rows)
    assert corpus.fields == ("review_text",)
    assert corpus.manual_template == "{review_text}\nLabel: {label}"
    assert corpus.summary is not None
    assert "review_text (column review.text)" in str(corpus.summary)
    assert (
        from_rows(rows, text_column="review.text").fields
        == from_rows(rows, text_column="review_text").fields
        == corpus.fields
    )
    (row,) = inputs([{"review.text": "a fine one"}], corpus.fields)
    assert row.fields == {"review_text": "a fine one"}
