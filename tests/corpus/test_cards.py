"""The corpora that were written for the package: complete, balanced, varied, and split without leaks."""

import itertools
import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from paths import ROOT

from autoprompt.corpus import Corpus, card, list_cards, load, normalised
from autoprompt.template import LabelWords, Template

FOLDER = ROOT / "corpora"


@dataclass(frozen=True)
class Expected:
    """What one file holds; ``sizes`` are the rows of train, validation and test, ``words`` the least and most."""

    fields: tuple[str, ...]
    answer: str
    labels: tuple[str, ...]
    sizes: tuple[int, int, int]
    metric: str
    words: tuple[int, int]


OWN = {
    "tickets": Expected(
        ("text",),
        "intent",
        ("refund", "delivery", "account", "technical", "cancellation", "feedback"),
        (72, 72, 156),
        "accuracy",
        (4, 120),
    ),
    "pairs": Expected(
        ("premise", "hypothesis"),
        "relation",
        ("entailment", "neutral", "contradiction"),
        (48, 48, 84),
        "accuracy",
        (10, 120),
    ),
    "records": Expected(
        ("bicycle", "complaint", "measurements", "history"),
        "urgency",
        ("routine", "soon", "urgent"),
        (48, 48, 84),
        "f1_macro",
        (15, 150),
    ),
    "headlines": Expected(("article",), "headline", (), (48, 32, 80), "rougeL", (30, 150)),
}


def _rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def _words(value: Any) -> list[str]:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return re.findall(r"\w+", text.lower())


def _grams(words: list[str], size: int) -> set[tuple[str, ...]]:
    return {tuple(words[n : n + size]) for n in range(len(words) - size + 1)}


def _texts(name: str) -> dict[str, list[str]]:
    """The free texts of a file, a list a column. What has only a handful of words, a record's bicycle, is no text."""
    own = {"records": ["complaint"], "headlines": ["article", "headline"]}
    columns = own.get(name, OWN[name].fields)
    return {column: [row[column] for row in _rows(name)] for column in columns}


def _splits(corpus: Corpus) -> list[set[str]]:
    return [{normalised(row.fields) for row in rows} for rows in (corpus.train, corpus.validation, corpus.test)]


def test_all_own_corpora_are_here() -> None:
    assert {known.name for known in list_cards() if known.files} == set(OWN)
    assert "CC0-1.0" in (FOLDER / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", OWN)
def test_rows_fields_and_balance(name: str) -> None:
    expected = OWN[name]
    rows = _rows(name)
    assert len(rows) == sum(expected.sizes)
    assert all(tuple(row) == (*expected.fields, expected.answer) for row in rows)
    assert all(value.strip() == value != "" for row in rows for value in row.values() if isinstance(value, str))
    if expected.labels:
        each = len(rows) // len(expected.labels)
        assert Counter(row[expected.answer] for row in rows) == dict.fromkeys(expected.labels, each)
    if name == "records":
        assert all(isinstance(row["measurements"], dict) and row["measurements"] for row in rows)
        assert all(isinstance(row["history"], list) for row in rows)


@pytest.mark.parametrize("name", OWN)
def test_published_splits(name: str) -> None:
    """Where the file says, whatever the options; no text in two splits."""
    expected = OWN[name]
    corpus = load(name)
    sizes = tuple(map(len, (corpus.train, corpus.validation, corpus.test)))
    assert sizes == expected.sizes
    assert corpus.fingerprint == load(name, shots=3, seed=7, test_rows=5).fingerprint
    assert all(not one & other for one, other in itertools.combinations(_splits(corpus), 2))
    assert corpus.warnings == ()
    assert (corpus.fields, corpus.label_column, corpus.labels) == (expected.fields, expected.answer, expected.labels)
    assert corpus.metric == expected.metric
    for label in expected.labels:
        counts = [sum(row.label == label for row in rows) for rows in (corpus.train, corpus.validation, corpus.test)]
        assert counts == [size // len(expected.labels) for size in expected.sizes]
    if not expected.labels:
        assert corpus.task == "generation"
        assert [row.label for row in corpus.train] == [row[expected.answer] for row in _rows(name)[:48]]


@pytest.mark.parametrize("name", OWN)
def test_cards(name: str) -> None:
    known = card(name)
    corpus = load(name)
    assert (known.licence, known.source) == ("CC0-1.0", "written for autoprompt")
    template = Template.parse(known.template).bind(corpus.fields, corpus.label_column)
    assert set(template.slots) == {*corpus.fields, "label"}
    assert LabelWords.of(corpus.label_words, corpus.labels).labels == corpus.labels


@pytest.mark.parametrize("name", OWN)
def test_no_row_repeats_another(name: str) -> None:
    """No equal texts; word 3-grams of two rows overlap by less than 0.15 (Jaccard); no common run of six words.

    The runs are compared across columns too: one row's hypothesis must not be another's premise.
    """
    runs: Counter[str] = Counter()
    for row in zip(*_texts(name).values(), strict=True):
        runs.update({" ".join(run) for text in row for run in _grams(_words(text), 6)})
    assert [run for run, count in runs.items() if count > 1] == []
    for column, texts in _texts(name).items():
        words = [_words(text) for text in texts]
        assert len({tuple(row) for row in words}) == len(texts), column
        threes = [_grams(row, 3) for row in words]
        near = [
            (texts[a], texts[b])
            for a, b in itertools.combinations(range(len(texts)), 2)
            if threes[a] and len(threes[a] & threes[b]) / len(threes[a] | threes[b]) >= 0.15
        ]
        assert near == [], column


@pytest.mark.parametrize("name", OWN)
def test_texts_come_from_no_grammar(name: str) -> None:
    """At most three rows begin with the same three words."""
    for column, texts in _texts(name).items():
        starts = Counter(" ".join(_words(text)[:3]) for text in texts)
        assert {start: count for start, count in starts.items() if count > 3} == {}, column


def test_no_text_is_in_two_files() -> None:
    found = [{" ".join(_words(text)) for texts in _texts(name).values() for text in texts} for name in OWN]
    assert all(not one & other for one, other in itertools.combinations(found, 2))


@pytest.mark.parametrize("name", OWN)
def test_lengths_are_sane(name: str) -> None:
    least, most = OWN[name].words
    lengths = [sum(len(_words(row[field])) for field in OWN[name].fields) for row in _rows(name)]
    assert least <= min(lengths)
    assert max(lengths) <= most


def test_a_headline_is_short_and_not_copied() -> None:
    for row in _rows("headlines"):
        assert 3 <= len(_words(row["headline"])) <= 14, row["headline"]
        assert row["headline"] not in row["article"]


def test_a_pairs_texts_differ() -> None:
    for row in _rows("pairs"):
        assert _words(row["premise"]) != _words(row["hypothesis"])
