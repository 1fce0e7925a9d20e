"""Rows without labels: where they come from, that no other split has their texts, and that labels are unseen."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprompt.corpus import Corpus, from_rows, load
from autoprompt.corpus.columns import Row
from autoprompt.corpus.splits import Splits, draw_unlabelled
from autoprompt.errors import InputError, UsageError


def labelled(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [{"text": f"film {n}", "label": "ab"[n % 2]} for n in range(start, start + count)]


def bare(count: int) -> list[dict[str, Any]]:
    return [{"text": f"another {n}"} for n in range(count)]


def texts(corpus: Corpus, split: str = "unlabeled") -> list[str]:
    return [row.fields["text"] for row in getattr(corpus, split)]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# Where they come from


def test_a_file_of_the_folder(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", labelled(40))
    write(tmp_path / "Unlabelled.jsonl", bare(9))
    corpus = load(str(tmp_path))
    assert set(texts(corpus)) == {f"another {n}" for n in range(9)}
    assert len(corpus.train + corpus.validation) == 40
    assert {row.label for row in corpus.unlabeled} == {""}
    assert "40 rows" not in str(corpus.summary)
    assert "0 test + 9 unlabeled rows" in str(corpus.summary)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("more.jsonl", '{"text": "one"}\n{"text": "two"}\n'),
        ("more.csv", "number,text,label\n1,one,a\n2,two,nonsense\n"),
        ("more.txt", "one\ntwo\n"),
        ("more.jsonl", '{"text": "one", "label": null}\n{"text": "  "}\n{"text": "two", "label": 7}\n'),
    ],
)
def test_a_file_that_the_option_names(tmp_path: Path, name: str, content: str) -> None:
    """Its labels are not looked at, and a row without text is none."""
    (tmp_path / name).write_text(content, encoding="utf-8")
    source = write(tmp_path / "rows.jsonl", labelled(40))
    corpus = load(str(source), unlabeled=str(tmp_path / name), test_rows=400)
    assert sorted(texts(corpus)) == ["one", "two"]


def test_blank_labels_and_blank_targets() -> None:
    rows = [*labelled(40), *({**row, "label": ""} for row in bare(5))]
    assert len(from_rows(rows).unlabeled) == 5
    talks = [{"talk": f"talk {n}", "gist": f"gist {n}" if n < 70 else ""} for n in range(75)]
    corpus = from_rows(talks, target_column="gist")
    assert sorted(row.fields["talk"] for row in corpus.unlabeled) == [f"talk {n}" for n in range(70, 75)]
    assert corpus.warnings == ("5 of 75 rows of rows (train) have no target (blank).",)


@pytest.mark.parametrize(
    "given_rows",
    [
        {"train": labelled(40), "unlabeled": bare(6)},
        {"train": labelled(40), "unsupervised": [row["text"] for row in bare(6)]},
        {"train": labelled(40), "unlabelled": {"text": [row["text"] for row in bare(6)]}},
    ],
)
def test_a_dict_of_splits(given_rows: Mapping[str, Any]) -> None:
    corpus = from_rows(given_rows)
    assert len(corpus.unlabeled) == 6
    assert corpus.warnings == ()
    assert len(corpus.test) == 8  # with one labelled split the rows are drawn as from a file


@pytest.mark.parametrize("form", [bare(6), [row["text"] for row in bare(6)], {"text": [r["text"] for r in bare(6)]}])
def test_rows_in_memory(form: Any, tmp_path: Path) -> None:
    corpus = from_rows(labelled(40), unlabeled=form) if not isinstance(form, dict) else None
    if corpus is None:
        import pandas

        corpus = from_rows(labelled(40), unlabeled=pandas.DataFrame(form))
    assert len(corpus.unlabeled) == 6
    path = write(tmp_path / "bare.jsonl", bare(6))
    assert from_rows(labelled(40), unlabeled=path).fingerprint == corpus.fingerprint


def test_what_a_sample_leaves_over() -> None:
    corpus = from_rows(labelled(100), shots=8, test_rows=20, unlabeled_rows=30)
    assert [len(getattr(corpus, s)) for s in ("train", "validation", "test", "unlabeled")] == [16, 16, 20, 30]
    assert corpus.summary is not None
    assert corpus.summary.unused == 18
    assert from_rows(labelled(100), shots=8, test_rows=68).unlabeled == ()
    corpus = from_rows(labelled(100), shots=8, test_rows=20, validation_rows=40)
    assert [len(getattr(corpus, s)) for s in ("train", "validation", "test", "unlabeled")] == [16, 40, 20, 24]


# What holds for them


def test_their_labels_are_not_looked_at() -> None:
    """Rows with other labels are drawn all the same."""
    splits: Splits = {"train": [], "validation": [], "test": [Row({"text": "film 7"}, "a", "", "a")]}
    kinds = ("a", "b", "ab")
    drawn = [
        draw_unlabelled([Row({"text": f"film {n}"}, kind[n % len(kind)], "", "") for n in range(50)], splits, 20, 3)
        for kind in kinds
    ]
    assert len(drawn[0]) == 20
    assert drawn[0] == drawn[1] == drawn[2]
    assert {row.label for row in drawn[0]} == {""}
    assert "film 7" not in [row.fields["text"] for row in drawn[0]]


def test_a_text_of_another_split_is_none() -> None:
    rows = {"train": labelled(20), "validation": labelled(20, 20), "test": labelled(20, 40)}
    given_rows = [
        {"text": "FILM  3"},
        {"text": "film 25"},
        {"text": "film 41"},
        {"text": "film 59"},
        *bare(2),
        *bare(1),
    ]
    corpus = from_rows(**rows, unlabeled=given_rows)
    assert sorted(texts(corpus)) == ["another 0", "another 1"]
    assert corpus.warnings == ("2 rows without labels were dropped: their texts are test rows.",)
    assert corpus.summary is not None
    assert corpus.summary.dropped == {"no label, and the text of a test row": 2}
    assert corpus.summary.unused == 3  # texts of train and validation, and one that is there twice


@given(st.integers(0, 30), st.integers(0, 25), st.integers(0, 3), st.integers(1, 12))
def test_every_row_is_accounted_for(extra: int, most: int, seed: int, shots: int) -> None:
    rows = [*labelled(60), *({**row, "label": ""} for row in bare(extra))]
    options = {"unlabeled_rows": most, "seed": seed, "shots": shots, "test_rows": 10}
    corpus = from_rows(rows, **options)
    assert corpus.summary is not None
    told = corpus.summary
    assert sum(told.splits.values()) + told.unused + sum(told.dropped.values()) == 60 + extra == told.rows
    every = [text for split in ("train", "validation", "test", "unlabeled") for text in texts(corpus, split)]
    assert len(every) == len(set(every))
    assert len(corpus.unlabeled) == min(most, 60 + extra - 2 * 2 * shots - len(corpus.test))
    again = from_rows(rows[::-1], **options)
    assert again.unlabeled == corpus.unlabeled, "the order of the rows plays no part"


def test_they_are_part_of_the_fingerprint() -> None:
    rows = {"train": labelled(20), "validation": labelled(20, 20)}
    corpora = [from_rows(**rows, unlabeled=bare(n) if n else None) for n in (0, 4, 5)]
    assert len({corpus.fingerprint for corpus in corpora}) == 3
    assert corpora[1].without_test().fingerprint == corpora[1].fingerprint
    assert corpora[1].without_test().unlabeled == corpora[1].unlabeled


# What is refused


def test_what_cannot_be_unlabelled_rows(tmp_path: Path) -> None:
    source = str(write(tmp_path / "rows.jsonl", labelled(40)))
    for name in ("unlabeled_rows", "validation_rows"):
        with pytest.raises(UsageError, match=f"{name} must be at least 0, not -1"):
            load(source, **{name: -1})
    other = tmp_path / "more.csv"
    other.write_text("review\nfine\nwell\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"more\.csv has no column 'text', which the training rows have"):
        load(source, unlabeled=str(other))
    with pytest.raises(InputError, match=r"none\.jsonl"):
        load(source, unlabeled=str(tmp_path / "none.jsonl"))
    with pytest.raises(UsageError, match="is one text, not a list"):
        from_rows(labelled(40), unlabeled=b"a text")
