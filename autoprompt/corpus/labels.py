"""Labels of rows: marks in place of a missing gold label, and label columns that no classifier can learn."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from autoprompt.corpus.columns import Columns, Row
from autoprompt.errors import InputError, closest, parameter

_MARKERS = frozenset({"", "-", "--", "?", "NA", "N/A", "n/a", "#N/A", "<NA>", "nan", "NaN", "null", "NULL"})
"""Cells that datasets and programs write where there is no gold label."""
_CODE = re.compile(r"[A-Z]{2}")
_INTEGER = re.compile(r"-?\d+(\.0+)?")
_NUMBER = re.compile(r"-?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_LIST = re.compile(r"\[.*\]|\{.*\}|\(.*,.*\)", re.DOTALL)
_RARE_MARK = 0.05
"""If -1, 0 and 1 are the only labels, -1 is a class, unless at most this share of the rows has it."""
_SCALE = 20
"""Up to this many distinct labels are classes, however few the rows are: half stars, languages."""
_LONE_SHARE = 0.05
"""The largest share of rows whose labels occur once and are taken for typing errors."""


def normalise_labels(
    source: str, splits: Mapping[str, Sequence[Row]], columns: Columns
) -> tuple[dict[str, list[Row]], dict[str, int]]:
    """Return the splits' rows with plain labels, and mark -> number of rows that have it in place of a gold label.

    A row without a gold label gets a blank label. Marks are a blank cell, ``-``, ``?``, ``NA``, ``N/A``, ``nan`` and
    ``null`` (``NA`` among codes of two capitals is a class). -1 is a mark among words, and among classes that are
    numbered from 0, unless -1, 0 and 1 are the classes. Where all labels are whole numbers, ``1.0`` becomes ``1``.

    Raises InputError for lists of labels, and for labels that are no classes: numbers on a scale, texts that hardly
    repeat.
    """
    rows = {name: list(members) for name, members in splits.items()}
    if columns.task != "classification":
        return rows, {}
    counts = Counter(row.label for members in rows.values() for row in members)
    _refuse_lists(rows, columns)
    marks = missing_label_marks(counts)
    gold = [label for label in counts if label not in marks]
    _refuse_scale(source, rows["train"], gold, columns)
    whole = all(_INTEGER.fullmatch(label) for label in gold)
    named = {label: label.partition(".")[0] if whole else label for label in gold} | dict.fromkeys(marks, "")
    plain = {name: [_with_label(row, named[row.label]) for row in members] for name, members in rows.items()}
    return plain, {mark: counts[mark] for mark in sorted(marks)}


def is_plain_number(label: str) -> bool:
    """Whether a label is a number; numbers are ordered by value."""
    return _NUMBER.fullmatch(label) is not None


def drop_lone_labels(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Return the rows without those whose label occurs only once, if these are few and two labels repeat; and warnings.

    Such a label is usually a typing error; the warning names the closest other label.
    """
    counts = Counter(row.label for row in rows)
    lone = [row for row in rows if counts[row.label] == 1]
    classes = [label for label, count in counts.items() if count > 1]
    if not lone or len(classes) < 2 or len(lone) > max(1, _LONE_SHARE * len(rows)):
        return list(rows), []
    names = [f"{row.label!r} ({row.place}{closest(row.label, classes)})" for row in lone[:3]]
    more = f" and {len(lone) - 3} more" if len(lone) > 3 else ""
    left = {id(row) for row in lone}
    kept = [row for row in rows if id(row) not in left]
    what = "row was" if len(lone) == 1 else "rows were"
    return kept, [f"{len(lone)} {what} dropped, whose label no other row has: {', '.join(names)}{more}."]


def _with_label(row: Row, label: str) -> Row:
    return row if row.label == label else replace(row, label=label, group=label)


def missing_label_marks(counts: Mapping[str, int]) -> set[str]:
    """The labels of ``counts`` (label -> rows) that mark a missing gold label; see ``normalise_labels``."""
    marks = {label for label in counts if label in _MARKERS}
    gold = [label for label in counts if label not in marks]
    if "NA" in marks and gold and all(_CODE.fullmatch(label) for label in gold):
        marks.discard("NA")
    numbers = {label: int(label.partition(".")[0]) for label in gold if _INTEGER.fullmatch(label)}
    minus = {label for label, number in numbers.items() if number == -1}
    others = {number for number in numbers.values() if number != -1}
    if len(numbers) < len(gold):
        words = not others and len(gold) - len(minus) > 1
        return marks | minus if words else marks
    numbered = len(others) >= 2 and others == set(range(len(others)))
    rare = sum(counts[label] for label in minus) <= _RARE_MARK * sum(counts[label] for label in gold)
    return marks | minus if numbered and (len(others) > 2 or rare) else marks


def _refuse_lists(splits: Mapping[str, Iterable[Row]], columns: Columns) -> None:
    for members in splits.values():
        for row in members:
            if _LIST.fullmatch(row.label):
                raise InputError(
                    f"{row.place} has the label {row.label[:60]!r}, a list: several labels a row are not supported, "
                    f"since a prompt predicts one; keep one label a row, or name another {columns.parameter}."
                )


def _refuse_scale(source: str, rows: Sequence[Row], gold: Sequence[str], columns: Columns) -> None:
    """Raise InputError for labels that are no classes: numbers on a scale, and texts that hardly repeat."""
    if len(gold) < 2:
        return
    if all(_NUMBER.fullmatch(label) for label in gold):
        decimal = not all(_INTEGER.fullmatch(label) for label in gold)
        if len(gold) > (_SCALE if decimal else max(_SCALE, len(rows) // 4)):
            raise InputError(
                f"{source}: the column {columns.label!r} holds {len(gold)} different numbers, and a prompt predicts "
                f"one of a few classes; round them to a few values, or name another {parameter('label_column')}."
            )
    elif len(gold) > max(_SCALE, len(rows) // 2):
        raise InputError(
            f"{source}: the column {columns.label!r} has {len(gold)} different labels in {len(rows)} rows, too many "
            f"for classes; name another {parameter('label_column')}, or have texts written with "
            f"{parameter('target_column')}."
        )
