"""What a cell may be, for rows in memory and for files alike, and which forms of rows in memory are taken."""

import array
import datetime
import decimal
import enum
import fractions
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy
import pandas
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoprompt.corpus import from_rows, inputs
from autoprompt.corpus.memory import table_of
from autoprompt.errors import AutopromptError, InputError, UsageError

TEXTS = [f"the film was {word}, take {n}" for n in range(10) for word in ("good", "poor")]
LABELS = [n % 2 for n in range(20)]
ROWS = [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)]


class Mood(enum.StrEnum):
    GOOD = "good"


class Level(enum.IntEnum):
    ONE = 1


class Opaque:
    def __str__(self) -> str:
        raise AssertionError("no object is asked for its text")


def _read(cell: Any) -> Any:
    """The field that a cell becomes, beside another: a row without any is refused."""
    (example,) = inputs([{"title": "a title", "text": cell}], ["title", "text"])
    return example.fields["text"]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("NA", "NA"), (True, "true"), (numpy.bool_(False), "false"), (3, "3"), (numpy.int8(3), "3"), (2.0, "2"),
        (numpy.float16(2.5), "2.5"), (None, ""), (float("nan"), ""), (numpy.float32("nan"), ""), (pandas.NA, ""),
        (pandas.NaT, ""), (numpy.datetime64("NaT"), ""), (decimal.Decimal("NaN"), ""),
        (b"caf\xc3\xa9", "café"), (bytearray(b"a"), "a"), (memoryview(b"a"), "a"), (numpy.bytes_(b"neg"), "neg"),
        (numpy.str_("a"), "a"), (decimal.Decimal("1.50"), "1.50"), (decimal.Decimal("1E+3"), "1000"),
        (decimal.Decimal("1E+999999"), "1E+999999"), (datetime.date(2024, 5, 1), "2024-05-01"),
        (datetime.time(1, 2), "01:02:00"), (pandas.Timestamp("2024-05-01 01:02"), "2024-05-01T01:02:00"),
        (numpy.datetime64("2024-05-01"), "2024-05-01"), (numpy.datetime64(1, "ns"), "1970-01-01T00:00:00.000000001"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (["a", None, float("nan"), b"b", (1, 2)], ["a", None, None, "b", [1, 2]]),
        (numpy.array(["a", "b"]), ["a", "b"]), (array.array("i", [1]), [1]),
        ({1: {"a": numpy.int64(2)}}, {"1": {"a": 2}}),
    ],
    ids=lambda value: type(value).__name__,  # what some are shown as holds an address
)  # fmt: skip
def test_cells_that_are_text_numbers_bools_or_turn_into_them(cell: Any, value: Any) -> None:
    assert _read(cell) == value


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (b"\xff", "bytes that are not UTF-8"), ({"a"}, "a set"), (frozenset(), "a set"), (Mood.GOOD, "an enum"),
        (Level.ONE, "an enum"), (float("inf"), "an infinite number"), (numpy.float64("-inf"), "an infinite number"),
        (decimal.Decimal("Infinity"), "an infinite number"), (1j, "a complex"), (Opaque(), "a Opaque"),
        (fractions.Fraction(1, 3), "a Fraction"), (Path("a"), "a PosixPath"), (10**5000, "a number of thousands"),
        (numpy.longdouble(1), "a longdouble"), (pandas.Period("2024-05"), "a Period"), (print, "a builtin_function"),
        (datetime.timedelta(1), "a timedelta"), ([{"a": {1}}], "a set"), ({"a": [b"\xff"]}, "bytes"),
        ([Mood.GOOD], "an enum"), ([float("inf")], "an infinite number"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_all_other_cells_are_refused_with_row_and_column(cell: Any, said: str) -> None:
    rows = [*ROWS[:2], {"text": cell, "label": 0}, *ROWS[2:]]
    with pytest.raises(InputError, match=rf"rows \(train\): row 3 has {said}.* in the column 'text'.*leave") as caught:
        from_rows(rows, text_column="text")
    assert "\n" not in str(caught.value)
    if not isinstance(cell, list | dict):
        with pytest.raises(InputError, match=rf"row 3 has {said}.* in the column 'label'"):
            from_rows([*ROWS[:2], {"text": "a", "label": cell}, *ROWS[2:]])
    # A column that is not used may hold anything.
    assert from_rows([row | {"other": cell} for row in ROWS], text_column="text", label_column="label").fields == (
        "text",
    )


def test_lists_without_end_or_very_deep_are_refused() -> None:
    deep: Any = "a"
    for _ in range(200):
        deep = [deep]
    for cell in (ENDLESS, deep):
        with pytest.raises(InputError, match=r"row 1 .*flatten them"):
            from_rows([{"text": cell, "label": 0}, *ROWS])


CELLS = st.recursive(
    st.one_of(st.text(max_size=5), st.integers(), st.floats(), st.booleans(), st.none(), st.binary(max_size=4),
              st.datetimes(), st.decimals(), st.complex_numbers(), st.frozensets(st.integers(), max_size=2),
              st.uuids(), st.timedeltas(), st.just(Opaque()), st.just(pandas.NA), st.just(numpy.float32(1))),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=5,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(CELLS, min_size=1, max_size=5))
def test_any_cells_are_read_or_refused(cells: list[Any]) -> None:
    rows = [{"text": cell} for cell in cells]
    try:
        examples = inputs(rows, ["text"])
    except AutopromptError:
        return
    assert len(examples) == len(cells)


# --- forms of rows in memory -----------------------------------------------------------------------------------------

DATASET = datasets.Dataset.from_list(ROWS)
FRAME = pandas.DataFrame(ROWS)
TUPLES = list(zip(TEXTS, LABELS, strict=True))


@pytest.mark.parametrize(
    "rows",
    [
        tuple(ROWS), {"text": TEXTS, "label": LABELS}, {"text": numpy.array(TEXTS), "label": pandas.Series(LABELS)},
        DATASET[:], pyarrow.table({"text": TEXTS, "label": LABELS}), {"train": FRAME},
        datasets.DatasetDict(train=DATASET),
        {"Training": ROWS}, numpy.array(TUPLES, dtype=[("text", "U60"), ("label", "i4")]),
        [{"text": text.encode(), "label": numpy.float32(label)} for text, label in TUPLES],
        FRAME.assign(label=pandas.Categorical(LABELS)),
        FRAME.set_index(pandas.Index(range(5, 25))),
    ],
    ids=lambda rows: type(rows).__name__,
)  # fmt: skip
def test_forms_that_are_taken(rows: Any) -> None:
    assert from_rows(rows).fingerprint == from_rows(ROWS).fingerprint


def _other(mark: str) -> list[dict[str, Any]]:
    return [row | {"text": f"{row['text']} {mark}"} for row in ROWS]


def test_splits_are_called_as_files_of_a_folder_are() -> None:
    splits = {
        "train": DATASET,
        "dev": datasets.Dataset.from_list(_other("d")),
        "Test": _other("t"),
        "unsupervised": _other("u"),
        "more": ROWS,
    }
    for given_splits in (splits, datasets.DatasetDict(train=DATASET, dev=splits["dev"])):
        corpus = from_rows(given_splits)
        assert (len(corpus.train), len(corpus.validation)) == (20, 20)
    assert len(from_rows(splits).unlabeled) == len(ROWS)
    assert from_rows(splits).warnings == ("Not used of rows: the splits 'more'.",)
    with pytest.raises(UsageError, match=r"a dict of 'dev', 'test'; give it train"):
        from_rows({"dev": ROWS, "test": ROWS})


FORMS: list[tuple[Callable[[], Any], str]] = [
    (DATASET.to_iterable_dataset, r"an IterableDataset; take .*list\(dataset\.take"),
    (lambda: {"train": DATASET.to_iterable_dataset()}, "an IterableDataset; take"),
    (lambda: FRAME.text, r"a Series; give a frame .*frame\[\['text', 'label'\]\]"),
    (lambda: TUPLES, r"row 1 is not a dict but a tuple; give each row as a dict"),
    (lambda: (TEXTS, LABELS), r"a pair such as \(texts, labels\); give rows: \[\{'text'"),
    (lambda: (row for row in ROWS), r"a generator; give its rows as a list: list\(rows\)"),
    (lambda: numpy.array(TUPLES), r"an ndarray|a ndarray; name its columns: pandas\.DataFrame"),
    (lambda: TEXTS, r"row 1 is not a dict but a str"),
    (lambda: {1: 2}, r"a dict whose 1 is a int; give a list for each column"),
    (lambda: {"text": TEXTS, "label": LABELS[1:]}, r"columns of different lengths \('text' 20, 'label' 19\)"),
    (lambda: pandas.DataFrame({("a", "text"): TEXTS, ("a", "label"): LABELS}), "2 levels; flatten them: frame.columns"),
    (lambda: pandas.DataFrame([["a", "b"]], columns=[0, "0"]), "the column '0' twice"),
    (lambda: [{0: "a", "0": "b"}], "row 1 names a column twice"),
    (lambda: FRAME.rename(columns={"text": 0}).drop(columns="label"), "not clear which column is the label.* of '0'"),
]


@pytest.mark.parametrize(("form", "said"), FORMS, ids=range(len(FORMS)))
def test_forms_that_are_refused_say_what_to_do(form: Callable[[], Any], said: str) -> None:
    with pytest.raises((UsageError, InputError), match=said) as caught:
        from_rows(form())
    assert "\n" not in str(caught.value)


def test_ragged_rows_have_blank_cells() -> None:
    assert "1 of 21 rows of rows (train) have no label (blank)." in from_rows([{"text": "a"}, *ROWS]).warnings
    with pytest.raises(InputError, match=r"1 of 21 rows have a blank or missing text \(row 1\)"):
        from_rows([{"label": ROWS[0]["label"]}, *ROWS])
    assert table_of([{"a": 1}, {"b": 2}], "rows").columns == ("a", "b")
