"""Labels as files hold them: marks for no gold label, numbers, lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from autoprompt.corpus import Corpus, from_rows, load
from autoprompt.errors import InputError


def _corpus_of(labels: Sequence[Any]) -> Corpus:
    return from_rows(
        [{"premise": f"it is {n}", "hypothesis": f"so {n}", "label": label} for n, label in enumerate(labels)]
    )


@pytest.mark.parametrize(
    ("labels", "mark", "classes"),
    [
        ([0, 1, 2] * 20, -1, ("0", "1", "2")),
        (["0", "1", "2"] * 20, "-1", ("0", "1", "2")),
        (["yes", "no"] * 20, "-1", ("no", "yes")),
        (["yes", "no"] * 20, "-", ("no", "yes")),
        (["yes", "no"] * 20, "NA", ("no", "yes")),
        (["yes", "no"] * 20, "N/A", ("no", "yes")),
        (["yes", "no"] * 20, "nan", ("no", "yes")),
        (["yes", "no"] * 20, "?", ("no", "yes")),
        (["yes", "no"] * 20, "", ("no", "yes")),
        (["yes", "no"] * 20, None, ("no", "yes")),
        ([1.0, 0.0] * 20, float("nan"), ("0", "1")),
        ([0, 1] * 30, -1, ("0", "1")),
        (["0", "1.0", "2", "1"] * 20, "-1", ("0", "1", "2")),  # one class, written in two ways
        (["0", "1.0", "1"] * 30, "-1", ("0", "1")),
        (["0.0", "1.0", "2.0"] * 20, "-1.0", ("0", "1", "2")),
        (["yes", "no"] * 20, "-1.0", ("no", "yes")),
    ],
)
def test_rows_without_a_gold_label_are_unlabelled_rows(labels: list[Any], mark: Any, classes: tuple[str, ...]) -> None:
    corpus = _corpus_of([*labels, mark, mark, mark])
    assert corpus.labels == classes
    assert corpus.summary is not None
    assert corpus.summary.dropped == {}
    assert corpus.summary.rows == len(labels) + 3
    shown = "blank" if mark in ("", None) or mark != mark else repr(str(mark))
    assert f"3 of {len(labels) + 3} rows of rows (train) have no label ({shown})." in corpus.warnings


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([-1, 0, 1] * 20, ("-1", "0", "1")),
        ([-1, 1] * 20, ("-1", "1")),
        ([-2, -1, 0, 1, 2] * 20, ("-2", "-1", "0", "1", "2")),
        (["NA", "EU", "AS"] * 20, ("AS", "EU", "NA")),
        (["none", "mild"] * 20, ("mild", "none")),
        (["None", "Some"] * 20, ("None", "Some")),
    ],
)
def test_classes_that_look_like_marks_stay_classes(labels: list[Any], classes: tuple[str, ...]) -> None:
    corpus = _corpus_of(labels)
    assert corpus.labels == classes
    assert corpus.summary is not None
    assert corpus.summary.dropped == {}


def test_whole_numbers_are_the_same_label_however_a_file_writes_them(tmp_path: Path) -> None:
    for name, marks in (("train", ("0.0", "1.0")), ("validation", ("0", "1")), ("test", ("1.00", "0"))):
        lines = [f"{name} film {n},{marks[n % 2]}" for n in range(20)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    assert load(str(tmp_path)).labels == ("0", "1")


def test_stars_are_ordered_by_value() -> None:
    assert _corpus_of([f"{n % 10 / 2 + 0.5:.1f}" for n in range(80)]).labels[:3] == ("0.5", "1.0", "1.5")
    assert _corpus_of([str(n % 11) for n in range(88)]).labels[-2:] == ("9", "10")


@pytest.mark.parametrize("label", ["[0, 1]", "['a', 'b']", "{0, 1}", "(0, 1)", "[]"])
def test_a_list_of_labels_is_refused_as_such(label: str) -> None:
    with pytest.raises(InputError, match=r"row 3 has the label .*, a list: several labels a row are not supported"):
        _corpus_of(["a", "b", label] * 10)


def test_a_cell_that_is_a_list_is_refused_as_such() -> None:
    with pytest.raises(InputError, match="row 1 has a list or record as its label"):
        _corpus_of([[0, 1], [1]] * 10)


def test_a_score_is_no_class() -> None:
    with pytest.raises(InputError, match=r"'label' holds \d+ different numbers.*round them"):
        _corpus_of([f"{n * 7 % 51 / 10:.1f}" for n in range(100)])
    with pytest.raises(InputError, match=r"'label' holds \d+ different numbers"):
        _corpus_of([str(n * 7 % 60) for n in range(120)])


def test_texts_are_no_classes() -> None:
    with pytest.raises(InputError, match=r"40 different labels in 40 rows.*target_column"):
        _corpus_of([f"a summary {n}" for n in range(40)])


def test_an_empty_field_beside_others_is_text() -> None:
    rows = [{"instruction": f"name {n}", "input": "" if n % 3 else f"a {n}", "output": f"it is {n}"} for n in range(60)]
    corpus = from_rows(rows, target_column="output")
    assert corpus.fields == ("instruction", "input")
    assert len(corpus.train + corpus.validation) == 48
    assert "rows (train): 40 of 60 rows have an empty 'input', which the prompt shows as it is." in corpus.warnings


def test_every_row_is_accounted_for() -> None:
    rows = [{"text": f"film {n}", "label": "ab"[n % 2]} for n in range(900)]
    rows += [{"text": f"film {n}", "label": "ab"[n % 2]} for n in range(10)]  # the same again
    rows += [{"text": f"none {n}", "label": ""} for n in range(5)]
    rows += [{"text": "", "label": "a"}, {"text": "odd", "label": "aa"}]
    summary = from_rows(rows, drop_empty=True).summary
    assert summary is not None
    told = summary.to_dict()
    assert told["rows"] == 917
    assert sum(told["splits"].values()) + told["unused"] + sum(told["dropped"].values()) == 917
    assert told["dropped"] == {"blank or missing text": 1, "a label that no other row has": 1}
    assert told["splits"] == {"train": 32, "validation": 32, "test": 400, "unlabeled": 128}


def test_a_label_of_one_row_is_dropped_and_counted_as_such() -> None:
    """No warning speaks of a class that is no longer there."""
    corpus = _corpus_of([*["one", "two", "third"] * 20, "thrd"])
    assert corpus.labels == ("one", "third", "two")
    assert corpus.summary is not None
    assert corpus.summary.dropped == {"a label that no other row has": 1}
    assert set(corpus.summary.classes) == {"one", "two", "third"}
    (warning,) = [text for text in corpus.warnings if "thrd" in text]
    assert "dropped" in warning
    assert not any("imbalanced" in text for text in corpus.warnings)
