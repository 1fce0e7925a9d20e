"""Roles of a table's columns: identifiers, dates, constants, splits, and columns that give the label away.

The rules look at the cells, and at a column's name only where other programs write it (such as pandas' ``Unnamed: 0``).
To use a column that is left out here, name it with ``--text-column``.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from autoprompt.corpus.readers import Table
from autoprompt.corpus.split_names import split_of

_SPLIT_COLUMNS = ("split", "splits", "set", "subset", "partition", "fold")
_INDEX_NAME = re.compile(r"unnamed(: ?\d+)?|__index_level_\d+__|level_\d+|index|id|idx|guid|uid|uuid|row_?id|")
_NUMBER = re.compile(r"[+-]?(\d[\d,.]*|[.,]\d+)(e[+-]?\d+)?%?", re.IGNORECASE)
_DAY = r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}"
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_WRITTEN = rf"\d{{1,2}}\.?[ -]{_MONTH},?[ -]\d{{2,4}}|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? \d{{2,4}}"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[ap]m)?"
_ZONE = r" ?(?:z|utc|gmt|[+-]\d{2}:?\d{2})"
_DATE = re.compile(
    rf"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,? )?(?:{_DAY}|{_WRITTEN})(?:[t ,]+{_CLOCK})?(?:{_ZONE})?|{_CLOCK}",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"\w@\w|\w://|[/\\]\S*\.\w{2,4}$")
_WORD = re.compile(r"[^\W\d_]{3,}")

_MOST = 0.95
"""The share of a column's cells for which a rule must hold."""
_WRONG = 0.02
"""The largest share of rows, such as typing errors, that may contradict a column that determines the label."""
_EVIDENCE = 5
"""The fewest judged rows outside the most frequent value for a column to count as determining another."""
_MENTIONED = 0.9
"""The smallest share of rows whose cell names the row's own label, for a column that spells the label out."""
_LOOKED_AT = 500
"""The most rows in which label names are searched for."""
_MOST_NAMES = 100
"""The most labels whose names are searched for."""


def text_of(cell: object) -> str:
    """A cell as the rules compare it: trimmed and case folded; empty for a missing cell, a list or a dict."""
    return str(cell).strip().casefold() if isinstance(cell, str | int | float | bool) and cell == cell else ""


def looks_numeric(text: str) -> bool:
    """Whether a cell's text is a number; separators, an exponent and a percent sign are allowed."""
    return _NUMBER.fullmatch(text) is not None


def has_index_name(name: str) -> bool:
    """Whether programs give this name to row numbers: ``id``, ``Unnamed: 0``, ``__index_level_0__``, an empty name."""
    return _INDEX_NAME.fullmatch(name.strip().casefold()) is not None


def why_meaningless(table: Table, name: str) -> str | None:
    """Why a column says nothing about its row, or None: "empty", "constant", "row numbers", "dates", "identifiers".

    Identifiers are cells without white space that hold digits, addresses or paths: ``T-00017``, ``A1``, a UUID, a URL.
    """
    cells = [row.get(name) for row in table.rows]
    if any(isinstance(cell, dict | list) for cell in cells):
        return None
    texts = [text for text in map(text_of, cells) if text]
    if not texts:
        return "empty"
    if len(texts) == len(cells) > 1 and len(set(texts)) == 1:
        return "constant"
    if has_index_name(name) and (len(set(texts)) == len(texts) or _mostly(texts, looks_numeric)):
        return "row numbers"
    if _mostly(texts, lambda text: _DATE.fullmatch(text) is not None):
        return "dates"
    if _mostly(texts, looks_numeric):
        return "row numbers" if _numbers_rows(texts) else None
    return "identifiers" if _mostly(texts, _is_identifier) else None


def determines_label(table: Table, name: str, labels: Sequence[str]) -> str | None:
    """How a column gives the label away, in words; None where it does not. ``labels`` [rows], blank where unknown.

    A column determines the label if the other rows with the same value predict the label of nearly every row, or if
    the other rows with the same label predict the value (a coarser class). A column spells the label out if nearly
    every cell contains the name of its row's label and of no other label.
    """
    pairs = [(text_of(row.get(name)), label.casefold()) for row, label in zip(table.rows, labels, strict=True) if label]
    if _predicts(pairs) or _predicts([(label, value) for value, label in pairs]):
        return "it determines the label"
    if _spells_out(pairs):
        return "it spells the label out"
    return None


def is_varied(table: Table, name: str) -> bool:
    """Whether the distinct values are at least half as many as the rows, as for texts but not for categories."""
    values = {json.dumps(cell, sort_keys=True, default=str) for row in table.rows if (cell := row.get(name))}
    return 2 * len(values) >= len(table.rows)


def split_column(table: Table, taken: Iterable[str]) -> str | None:
    """The column whose cells say which split a row is in, if there is one outside ``taken``; otherwise None."""
    for column in table.columns:
        if column.strip().casefold() in _SPLIT_COLUMNS and column not in taken:
            values = {text_of(row.get(column)) for row in table.rows}
            splits = {split_of(value) for value in values}
            if None not in splits and "train" in splits:
                return column
    return None


def split_table(table: Table, column: str) -> dict[str, Table]:
    """Split -> its rows, as a split column names them. Rows keep their places."""
    members: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(table.rows):
        members[str(split_of(text_of(row[column])))].append(number)
    return {
        split: replace(
            table,
            rows=tuple(table.rows[number] for number in numbers),
            places=tuple(table.places[number] for number in numbers),
        )
        for split, numbers in members.items()
    }


def _mostly(texts: Sequence[str], rule: Callable[[str], bool]) -> bool:
    return sum(map(rule, texts)) >= _MOST * len(texts)


def _numbers_rows(texts: Sequence[str]) -> bool:
    """Whether the cells are distinct whole numbers."""
    return len(set(texts)) == len(texts) > 1 and all(text.removesuffix(".0").isdecimal() for text in texts)


def _is_identifier(text: str) -> bool:
    """Whether a text is like ``T-00017``, ``A1``, ``9f8c2e``, ``a@b.org``, ``https://a.org`` or ``images/cat.jpg``.

    Only ASCII texts are, since sentences of some scripts have no white space either.
    """
    if not text.isascii() or any(character.isspace() for character in text):
        return False
    return any(character.isdigit() for character in text) or _ADDRESS.search(text) is not None


def _predicts(pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether a pair's first value predicts its second. Each row is judged by the other rows with the same first value.

    Rows whose first value occurs only once cannot be judged; at least half of the rows must be judged.
    """
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    for first, second in pairs:
        groups[first][second] += 1
    judged, wrong, others = 0, 0, Counter[str]()
    for counts in groups.values():
        size = counts.total()
        if size < 2:
            continue
        judged += size
        others += counts
        (_, most), *rest = counts.most_common()
        # Where no two rows of the group have the same second value, every row is predicted wrong.
        wrong += size - most if most > 1 or not rest else size
    if judged * 2 < len(pairs) or len(others) < 2:
        return False
    minority = judged - others.most_common(1)[0][1]
    return minority >= _EVIDENCE and wrong <= _WRONG * judged and wrong <= minority / 10


def _spells_out(pairs: Sequence[tuple[str, str]]) -> bool:
    pairs = pairs[:_LOOKED_AT]
    names = {label for _cell, label in pairs}
    if not 2 <= len(names) <= _MOST_NAMES or not all(_WORD.search(name) for name in names):
        return False
    own = others = 0
    words = {name: re.compile(rf"(?<!\w){re.escape(name)}(?!\w)") for name in names}
    for cell, label in pairs:
        own += words[label].search(cell) is not None
        others += any(pattern.search(cell) for name, pattern in words.items() if name != label)
    return len(pairs) >= 2 * _EVIDENCE and own >= _MENTIONED * len(pairs) and others <= own / 10
