"""Profiles of corpora (names and text statistics, never their text), and the similarity of two corpora."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Annotated, Any

from pydantic import Field

from autoprompt.corpus import Corpus

SAME_BEGINNING = 3
"""Least length of a label's name for a name that begins with it to mean the same: neg and negative."""
_WEIGHTS = {"labels": 0.4, "fields": 0.2, "texts": 0.4}
_ENOUGH = 1e-3
"""Least number that is compared; smaller ones count as this, since the ratio of tiny shares says nothing."""

MAX_LABELS = 2_000
Label = Annotated[str, Field(max_length=10_000)]
"""A name. Its length and the number of names are limited, since a profile may come from a stranger's file."""


@dataclass(frozen=True)
class Profile:
    """A corpus's task, its names and the mean statistics of its texts: words per row, characters per word, and the
    shares of capitals, digits and punctuation among all characters."""

    task: Label
    label_column: Label
    labels: Annotated[tuple[Label, ...], Field(max_length=MAX_LABELS)]
    fields: Annotated[tuple[Label, ...], Field(max_length=MAX_LABELS)]
    texts: Annotated[Mapping[Label, Annotated[float, Field(ge=0, allow_inf_nan=False)]], Field(max_length=64)]


@dataclass(frozen=True)
class Similarity:
    """``value``: from 0 to 1, the weighted mean of ``parts``; 0 for two different tasks."""

    value: float
    parts: Mapping[str, float]


def profile_of(corpus: Corpus) -> Profile:
    """The profile of a corpus's training and validation rows."""
    rows = [row.fields for row in (*corpus.train, *corpus.validation)]
    return Profile(corpus.task, corpus.label_column, corpus.labels, corpus.fields, texts_of(rows))


def texts_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Mean statistics of the rows' texts; empty without rows."""
    found = [_numbers(" ".join(map(str, fields.values()))) for fields in rows]
    return {name: fmean(numbers[name] for numbers in found) for name in found[0]} if found else {}


def _numbers(text: str) -> dict[str, float]:
    words = text.split()
    letters = max(1, len(text))
    return {
        "words": float(len(words)),
        "letters": sum(map(len, words)) / max(1, len(words)),
        "capitals": sum(map(str.isupper, text)) / letters,
        "digits": sum(map(str.isdigit, text)) / letters,
        "punctuation": sum(not (c.isalnum() or c.isspace()) for c in text) / letters,
    }


def similarity(one: Profile, other: Profile) -> Similarity:
    """The similarity of two corpora."""
    if one.task != other.task:
        return Similarity(0.0, dict.fromkeys(_WEIGHTS, 0.0))
    parts = {
        "labels": _alike_labels(one.labels, other.labels) if one.labels or other.labels else 1.0,
        "fields": _alike_fields(one.fields, other.fields),
        "texts": _alike_texts(one.texts, other.texts),
    }
    return Similarity(sum(_WEIGHTS[name] * value for name, value in parts.items()), parts)


def matched_labels(one: Sequence[str], other: Sequence[str]) -> dict[str, str]:
    """For each label of ``one`` that has a match, the label of ``other`` that means the same; no label is used twice.

    Equal names are matched first, then names where one begins with the other.
    """
    found: dict[str, str] = {}
    used: set[str] = set()
    plain = [(o, _plain(o)) for o in other]
    for alike in (str.__eq__, _share_beginning):
        for label in dict.fromkeys(one):
            if label not in found:
                name = _plain(label)
                free = next((o for o, theirs in plain if alike(name, theirs) and o not in used), None)
                if free is not None:
                    found[label] = free
                    used.add(free)
    return found


def _plain(label: str) -> str:
    return "".join(c for c in label.casefold() if c.isalnum())


def _share_beginning(one: str, other: str) -> bool:
    if min(len(one), len(other)) < SAME_BEGINNING:
        return False
    return one.startswith(other) or other.startswith(one)


def _alike_labels(one: Sequence[str], other: Sequence[str]) -> float:
    """Mean of two ratios: the smaller to the larger number of labels, and matched labels to all distinct ones."""
    count = min(len(one), len(other)) / max(len(one), len(other), 1)
    same = len(matched_labels(one, other))
    return (count + same / (len(one) + len(other) - same)) / 2


def _alike_fields(one: Sequence[str], other: Sequence[str]) -> float:
    count = min(len(one), len(other)) / max(len(one), len(other), 1)
    same = len(set(one) & set(other))
    return (count + same / max(1, len(set(one) | set(other)))) / 2


def _alike_texts(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """The mean ratio of the smaller to the larger number, over all statistics that both have; 0 without any."""
    shared = sorted(one.keys() & other.keys())
    ratios = [math.log(max(one[name], _ENOUGH) / max(other[name], _ENOUGH)) for name in shared]
    return fmean(math.exp(-abs(ratio)) for ratio in ratios) if ratios else 0.0
