"""Merging of equal texts, and drawing of the splits.

Every draw sorts the rows by a hash of the seed and a row's content. It therefore depends on neither the order of the
rows nor the state of a random generator, and the sample hardly changes when a few rows are added. Within a group, all
splits come from one such order. How many rows a group gives never depends on the hashes of its rows, since that could
leave out rare groups.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor

from autoprompt.corpus.columns import Row
from autoprompt.corpus.types import content_id, normalised
from autoprompt.errors import InputError, parameter

Splits = dict[str, list[Row]]
_PARTS = 1 << 32
"""The number of possible random starts, from 0 to below 1, of a systematic sample."""


@dataclass(frozen=True)
class Sampling:
    """The rows per group for train and for validation (``shots``, or K), the most test rows, and the seed.

    Each class is a group and gives ``--shots`` rows. All rows of a generation corpus are one group, which gives
    twice as many, as two classes would: 32 and 32 with 16 shots. ``validation_rows``: validation takes more than K of
    each group, up to so many in all, where the other splits leave rows over.
    """

    shots: int
    test_rows: int
    seed: int
    validation_rows: int = 0

    def wide_share(self, groups: int) -> int:
        """Each group's share of ``validation_rows``, K among it."""
        return self.validation_rows // groups if groups else 0


def merge_equal_texts(rows: Sequence[Row], *, drop: bool) -> tuple[list[Row], list[str]]:
    """Return the rows with each text once, and warnings.

    Raises InputError where equal texts have different labels; with ``drop``, all rows with such a text are dropped.
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
            f"{example[0].place} with {labels}; correct them, or drop these rows with "
            f"{parameter('drop_duplicates', True)}."
        )
    kept = [group[0] for key, group in groups.items() if key not in disputed]
    warnings = [f"{count} rows were dropped: their texts have different labels."] if disputed else []
    return kept, warnings


def merge_equal_inputs(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Return the rows of a generation corpus with each text once, with its first target; and warnings."""
    kept: dict[str, Row] = {}
    disputed = 0
    for row in rows:
        first = kept.setdefault(normalised(row.fields), row)
        disputed += first.label != row.label
    warnings = [f"{disputed} rows were dropped: an earlier row has another target for their text."] if disputed else []
    return list(kept.values()), warnings


def published_split(rows: Sequence[Row], split: Mapping[str, int]) -> Splits:
    """Split each group in file order: the first rows are train, the next are validation, the rest is test.

    Neither ``--shots`` nor the seed changes these splits, so that results on them can be compared.
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
    """Draw K rows of each group for train and K for validation, and the test rows from the rest (see ``draw_test``).

    A group of at most 2 K rows gives 40 % to train, 40 % to validation and the rest to test; other groups still give K.
    What is left after the test rows goes to validation, up to ``validation_rows`` (the test rows do not depend on it).
    Raises InputError where a group has too few rows to be in both train and validation.
    """
    train, validation, rest = [], [], []
    groups = _by_group(rows, sampling.seed)
    for group, members in groups.items():
        taken, judging = _shares(len(members), sampling.shots)
        _require_two(group, judging)
        train += members[:taken]
        validation += members[taken : taken + judging]
        rest += members[taken + judging :]
    test = draw_test(rest, sampling, rows)
    tested = set(map(id, test))
    known = Counter(row.group for row in validation)
    share = sampling.wide_share(len(groups))
    for row in rest:  # each group's rows are still in the order in which they are drawn
        if known[row.group] < share and id(row) not in tested:
            known[row.group] += 1
            validation.append(row)
    return {
        "train": shuffled(train, sampling.seed),
        "validation": shuffled(validation, sampling.seed),
        "test": test,
    }


def draw_test(rest: Sequence[Row], sampling: Sampling, population: Sequence[Row] | None = None) -> list[Row]:
    """Draw at most ``test_rows`` of the rest, with each group's share as in the population (default: as in the rest).

    The expected count of each group is exact and is rounded up or down at random. A group with too few rows left gives
    all of them, and the other groups fill the gap.
    """
    members = _by_group(rest, sampling.seed)
    if len(rest) <= sampling.test_rows:
        return shuffled(rest, sampling.seed)
    sizes = Counter(row.group for row in population or rest)
    order = sorted(members, key=lambda group: _seeded_hash(sampling.seed, "test", group))
    quotas = _quotas({g: sizes[g] for g in order}, {g: len(members[g]) for g in order}, sampling.test_rows)
    drawn: list[Row] = []
    reached = Fraction(int(_seeded_hash(sampling.seed, "rounding"), 16) % _PARTS, _PARTS)
    for group in order:  # systematic sampling: one random start, then steps of the quotas
        before, reached = reached, reached + quotas[group]
        drawn += members[group][: floor(reached) - floor(before)]
    return shuffled(drawn, sampling.seed)


def _quotas(sizes: Mapping[str, int], left: Mapping[str, int], total: int) -> dict[str, Fraction]:
    """Group -> expected number of rows: its share of ``sizes``, at most ``left``; the numbers add up to ``total``."""
    quotas = {group: Fraction(0) for group in sizes}
    open_groups, rows = set(sizes), Fraction(total)
    while open_groups:
        whole = sum(sizes[group] for group in open_groups)
        shares = {group: rows * sizes[group] / whole for group in sizes if group in open_groups}
        full = [group for group, share in shares.items() if share >= left[group]]
        if not full:
            return quotas | shares
        for group in full:
            quotas[group] = Fraction(left[group])
        open_groups -= set(full)
        rows -= sum(left[group] for group in full)
    return quotas


def _shares(size: int, shots: int) -> tuple[int, int]:
    """How many of a group's rows are for train and for validation; of three or more, at least one is left for test."""
    if size > 2 * shots:
        return shots, shots
    taken = min((2 * size + 2) // 5, size // 2)
    return taken, taken - 1 if 2 * taken == size > 2 else taken


def carve_validation(rows: Sequence[Row], sampling: Sampling) -> Splits:
    """Split training rows into train and validation, which gets a fifth of each group, at least K and at most half.

    Raises InputError where a group has too few rows to be in both.
    """
    found: Splits = {"train": [], "validation": []}
    for group, members in _by_group(rows, sampling.seed).items():
        taken = min(len(members) // 2, max(sampling.shots, len(members) // 5))
        _require_two(group, taken)
        found["validation"] += members[:taken]
        found["train"] += members[taken:]
    return {name: shuffled(members, sampling.seed) for name, members in found.items()}


def draw_unlabelled(rows: Sequence[Row], splits: Splits, count: int, seed: int) -> list[Row]:
    """Draw at most ``count`` rows, each text once and none that a split has, without a look at their labels.

    The rows come back with blank labels.
    """
    seen = {normalised(row.fields) for members in splits.values() for row in members}
    bare = []
    for row in rows:
        text = normalised(row.fields)
        if text not in seen:
            seen.add(text)
            bare.append(replace(row, label="", group=""))
    return shuffled(bare, seed)[:count]


def take_shots(rows: Sequence[Row], sampling: Sampling, *, wide: bool = False) -> list[Row]:
    """Draw at most K rows of each group; ``wide``, for validation: more, up to ``validation_rows`` in all."""
    groups = _by_group(rows, sampling.seed)
    most = max(sampling.shots, sampling.wide_share(len(groups)) if wide else 0)
    return shuffled([row for members in groups.values() for row in members[:most]], sampling.seed)


def shuffled(rows: Sequence[Row], seed: int) -> list[Row]:
    """The rows in the random order that the seed gives."""

    return sorted(rows, key=lambda row: _seeded_hash(seed, content_id(row.fields, row.label)))


def class_sizes(rows: Sequence[Row]) -> Counter[str]:
    """Rows of each label."""
    return Counter(row.label for row in rows)


def _seeded_hash(seed: int, *parts: str) -> str:
    """A hash of the seed and the parts, 64 hex digits."""
    return hashlib.sha256(":".join([str(seed), *parts]).encode()).hexdigest()


def _by_group(rows: Sequence[Row], seed: int) -> Mapping[str, list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in shuffled(rows, seed):
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
