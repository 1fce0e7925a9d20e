"""How rows become splits: shares of the test sample, rows of small classes, and what is said of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import floor, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoprompt.corpus import Corpus, from_rows
from autoprompt.corpus.columns import Row
from autoprompt.corpus.splits import Sampling, split_pool
from autoprompt.errors import InputError

SHARES = {
    "even": {"a": 500, "b": 500},
    "5 % spam": {"ham": 3800, "spam": 200},
    "five classes": {"billing": 2600, "technical": 1500, "shipping": 600, "account": 200, "praise": 100},
    "one in a hundred": {"no": 3960, "yes": 40},
    "long tail": {f"class {number}": size for number, size in enumerate((900, 450, 300, 225, 180, 150, 128, 112))},
}


def _rows(sizes: Mapping[str, int]) -> list[Row]:
    return [
        Row({"text": f"{label} row {number}"}, label, f"line {number}", label)
        for label, size in sizes.items()
        for number in range(size)
    ]


def _corpus(sizes: Mapping[str, int], **options: int) -> Corpus:
    rows = [{"text": f"row {label} {n}", "label": label} for label, size in sizes.items() for n in range(size)]
    return from_rows(rows, **options)


def _counts(rows: object) -> Counter[str]:
    return Counter(row.label for row in rows)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", SHARES)
def test_the_test_sample_has_the_shares_of_the_data(name: str) -> None:
    sizes = SHARES[name]
    rows, total = _rows(sizes), sum(sizes.values())
    drawn: Counter[str] = Counter()
    for seed in range(9):
        splits = split_pool(rows, Sampling(shots=16, test_rows=400, seed=seed))
        counts = _counts(splits["test"])
        assert counts.total() == 400
        for label, size in sizes.items():
            expected = 400 * size / total
            left = size - 32
            assert counts[label] in ({floor(expected), floor(expected) + 1} if left >= expected else {left}), label
        drawn += counts
    for label, size in sizes.items():
        expected = 400 * size / total
        if size - 32 >= expected:  # a rounded count deviates by at most .5 of a row on the mean
            assert abs(drawn[label] / 9 - expected) <= 4 * 0.5 / sqrt(9), label


def test_which_rows_of_a_class_are_drawn_changes_with_the_seed() -> None:
    rows = _rows({"ham": 950, "spam": 50})
    tests = [
        {row.fields["text"] for row in split_pool(rows, Sampling(4, 100, seed))["test"] if row.label == "spam"}
        for seed in range(20)
    ]
    assert all(len(found) == 5 for found in tests)
    assert len(set.union(*tests)) > 30


DRAWS = {
    "sizes": st.dictionaries(st.sampled_from("abcdef"), st.integers(2, 90), min_size=2),
    "shots": st.integers(1, 20),
    "test_rows": st.integers(0, 120),
    "seed": st.integers(0, 99),
}


@given(**DRAWS)
@settings(max_examples=60, deadline=None)
def test_no_row_is_in_two_splits_and_a_small_class_costs_the_others_nothing(
    sizes: dict[str, int], shots: int, test_rows: int, seed: int
) -> None:
    splits = split_pool(_rows(sizes), Sampling(shots, test_rows, seed))
    texts = [row.fields["text"] for rows in splits.values() for row in rows]
    assert len(texts) == len(set(texts))
    left = 0
    for label, size in sizes.items():
        train, validation = _counts(splits["train"])[label], _counts(splits["validation"])[label]
        if size > 2 * shots:
            assert train == validation == shots
        else:
            assert 1 <= validation <= train <= validation + 1
            assert train == (2 * size + 2) // 5 or size == 2
            assert train + validation < size or size == 2
        left += size - train - validation
    assert len(splits["test"]) == min(left, test_rows)


@given(**DRAWS, more=st.integers(0, 200))
@settings(max_examples=60, deadline=None)
def test_validation_takes_more_of_what_the_test_rows_leave_over(
    sizes: dict[str, int], shots: int, test_rows: int, seed: int, more: int
) -> None:
    rows = _rows(sizes)
    splits, wide = (split_pool(rows, Sampling(shots, test_rows, seed, count)) for count in (0, more))
    assert (wide["train"], wide["test"]) == (splits["train"], splits["test"])
    for label, size in sizes.items():
        train, before, test = (_counts(splits[name])[label] for name in ("train", "validation", "test"))
        after = _counts(wide["validation"])[label]
        assert after == max(before, min(size - train - test, more // len(sizes))), label
    texts = [row.fields["text"] for members in wide.values() for row in members]
    assert len(texts) == len(set(texts))


def test_a_class_of_twenty_rows_leaves_the_others_their_shots() -> None:
    corpus = _corpus({"billing": 600, "technical": 600, "praise": 20})
    assert _counts(corpus.train) == _counts(corpus.validation) == {"billing": 16, "technical": 16, "praise": 8}
    assert _counts(corpus.test)["praise"] == 4
    assert corpus.summary is not None
    assert corpus.summary.classes["praise"] == {"all": 20, "train": 8, "validation": 8, "test": 4}


def test_classes_without_test_rows_or_with_too_few_are_named() -> None:
    lacking = _corpus({"a": 100, "b": 100, "rare": 2})
    assert any("No test row has the label 'rare'" in warning for warning in lacking.warnings)
    few = _corpus({"a": 200, "b": 200, "c": 40})
    assert any("'c' (2.3% of the test rows, 9.1% of the data)" in warning for warning in few.warnings)
    none = _corpus({"a": 100, "b": 100, "rare": 2}, test_rows=0)
    assert none.test == ()
    assert not any("test row" in warning for warning in none.warnings)


def test_a_label_that_comes_once_costs_its_row_and_names_the_closest() -> None:
    rows = [{"text": f"row {n}", "label": ("billing", "shipping")[n % 2]} for n in range(60)]
    corpus = from_rows([*rows, {"text": "a late one", "label": "biling"}])
    assert corpus.labels == ("billing", "shipping")
    assert [w for w in corpus.warnings if "'biling'" in w and "did you mean 'billing'" in w and "row 61" in w]
    assert corpus.summary is not None
    assert corpus.summary.rows == 61
    with pytest.raises(InputError, match="one row only"):  # a third of the rows: no typing errors
        from_rows([*rows[:20], *({"text": f"odd {n}", "label": f"odd {n}"} for n in range(9))])
    with pytest.raises(InputError, match="one row only"):  # the only other class
        from_rows([*rows[::2], {"text": "a late one", "label": "biling"}])


def test_a_sample_that_holds_other_test_rows_is_other_data() -> None:
    sizes = {"ham": 950, "spam": 50}
    many, few = (_corpus(sizes, test_rows=rows) for rows in (200, 100))
    assert (many.train, many.validation) == (few.train, few.validation)
    assert many.fingerprint != few.fingerprint
