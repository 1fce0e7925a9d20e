"""Merging equal texts and drawing the splits.

Every draw is a sort by a hash of the seed and a row's content, so that it depends on neither the order of
the rows nor a generator's state, and the sample hardly moves when a few rows are added.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoprompt.corpus.columns import Row
from autoprompt.corpus.types import content_id, normalised
from autoprompt.errors import InputError

Splits = dict[str, list[Row]]


@dataclass(frozen=True)
class Sampling:
    """How many rows a group gives to train and to validation, how many test has at most, and the seed.

    A class is a group and gives ``--shots`` rows. The rows of a generation corpus are one group, which gives
    twice as many, as two classes would: 32 and 32 with 16 shots.
    """

    shots: int
    test_rows: int
    seed: int


def merge_equal_texts(rows: Sequence[Row], *, drop: bool) -> tuple[list[Row], list[str]]:
    """The rows with each text once, and warnings.

    Raises InputError where equal texts have different labels; with ``drop`` all rows of such a text go.
    """
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[normalised(row.fields)].append(row)
    disputed = {key: group for key, group in groups.items() if len({row.label for row in group}) > 1}
    count = sum(map(len, disputed.values()))
    if disputed and not drop:
        example = next(iter(disputed.values()))
        labels = " and ".join(repr(label) for label in sorted({row.label for row in example}))
        raise InputError(
            f"{len(disputed)} texts ({count} rows) have different labels for the same text, first "
            f"{example[0].place} with {labels}; correct them, or drop these rows with --drop-duplicates."
        )
    kept = [group[0] for key, group in groups.items() if key not in disputed]
    warnings = [f"{count} rows were dropped: their texts have different labels."] if disputed else []
    return kept, warnings


def merge_equal_inputs(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """The rows of a generation corpus with each text once, and warnings: the first target is kept."""
    kept: dict[str, Row] = {}
    disputed = 0
    for row in rows:
        first = kept.setdefault(normalised(row.fields), row)
        disputed += first.label != row.label
    warnings = [f"{disputed} rows were dropped: an earlier row has another target for their text."] if disputed else []
    return list(kept.values()), warnings


def published_split(rows: Sequence[Row], split: Mapping[str, int]) -> Splits:
    """The first rows of each group in the order of the file are train, the next validation, the rest test.

    Neither ``--shots`` nor the seed moves these splits, so that results on them can be compared.
    """
    found: Splits = {"train": [], "validation": [], "test": []}
    sizes: Counter[str] = Counter()
    for row in rows:
        before = sizes[row.group]
        sizes[row.group] += 1
        if before < split["train"]:
            found["train"].append(row)
        elif before < split["train"] + split["validation"]:
            found["validation"].append(row)
        else:
            found["test"].append(row)
    return found


def split_pool(rows: Sequence[Row], sampling: Sampling) -> Splits:
    """K rows a group for train and for validation, the rest as test; 40/40/20 where a group has too few.

    Raises InputError where a group cannot be in both train and validation.
    """
    groups = _by_group(rows, sampling.seed)
    enough = all(len(members) > 2 * sampling.shots for members in groups.values())
    found: Splits = {"train": [], "validation": [], "test": []}
    for group, members in groups.items():
        size = len(members)
        taken = sampling.shots if enough else min((2 * size + 2) // 5, size // 2)
        _require_two(group, taken)
        found["train"] += members[:taken]
        found["validation"] += members[taken : 2 * taken]
        found["test"] += members[2 * taken :]
    ordered = {name: ranked(members, sampling.seed) for name, members in found.items()}
    return ordered | {"test": ordered["test"][: sampling.test_rows]}


def carve_validation(rows: Sequence[Row], sampling: Sampling) -> Splits:
    """Train and validation from one training file: a fifth of each group, at least K, at most half.

    Raises InputError where a group cannot be in both.
    """
    found: Splits = {"train": [], "validation": []}
    for group, members in _by_group(rows, sampling.seed).items():
        taken = min(len(members) // 2, max(sampling.shots, len(members) // 5))
        _require_two(group, taken)
        found["validation"] += members[:taken]
        found["train"] += members[taken:]
    return {name: ranked(members, sampling.seed) for name, members in found.items()}


def take_shots(rows: Sequence[Row], sampling: Sampling) -> list[Row]:
    """At most K rows a group."""
    groups = _by_group(rows, sampling.seed)
    return ranked([row for members in groups.values() for row in members[: sampling.shots]], sampling.seed)


def ranked(rows: Sequence[Row], seed: int) -> list[Row]:
    """The rows in their random order."""

    def rank(row: Row) -> str:
        return hashlib.sha256(f"{seed}:{content_id(row.fields, row.label)}".encode()).hexdigest()

    return sorted(rows, key=rank)


def class_sizes(rows: Sequence[Row]) -> Counter[str]:
    """Rows of each label."""
    return Counter(row.label for row in rows)


def _by_group(rows: Sequence[Row], seed: int) -> Mapping[str, list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in ranked(rows, seed):
        groups[row.group].append(row)
    return groups


def _require_two(group: str, taken: int) -> None:
    if taken < 1 and group:
        raise InputError(
            f"The class {group!r} has one row only, and needs one in train and one in validation; "
            "add rows of it, or remove it."
        )
    if taken < 1:
        raise InputError("The data has one row only, and needs one in train and one in validation; add rows.")
