"""Checks that data must pass before a search. Each error names the fault, its place and the remedy."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoprompt.corpus.columns import Columns, Row
from autoprompt.corpus.splits import Splits, class_sizes
from autoprompt.corpus.types import normalised
from autoprompt.errors import InputError, parameter

IMBALANCE = 3


@dataclass(frozen=True)
class Usable:
    """Rows of a source with text: those with a label or target, and those without.

    ``dropped``: reason -> number of rows that were left out.
    """

    rows: list[Row]
    unlabelled: list[Row]
    warnings: list[str]
    dropped: dict[str, int]


def usable_rows(
    source: str, rows: Sequence[Row], columns: Columns, *, drop: bool, marks: Mapping[str, int] | None = None
) -> Usable:
    """Return the rows with text, with and without a label or target.

    ``marks``: the marks that rows have in place of a label, with counts. If given, rows without a label or target count
    as unlabelled data; a warning counts them. If None, they are faulty, as rows without text always are. A blank field
    is valid if another field has text; a warning counts such rows.

    Raises InputError with the count and the first places of faulty rows (unless ``drop``), and if no row has a label
    or no row is left.
    """
    if is_unlabelled(rows, columns):
        signs = "-1 or blank" if columns.task == "classification" else "blank"
        raise InputError(
            f"{source} has no {columns.answer}s: all are {signs}; give rows with {columns.answer}s, or another "
            f"{columns.parameter}."
        )
    kept = [row for row in rows if row.label and has_text(row.fields.values())]
    unlabelled = [row for row in rows if not row.label and has_text(row.fields.values())] if marks is not None else []
    left_out = {id(row) for row in (*kept, *unlabelled)}
    faulty = [row for row in rows if id(row) not in left_out]
    missing = "blank or missing text" if marks is not None else f"blank or missing text or {columns.answer}"
    if faulty and not drop:
        first = ", ".join(row.place.rpartition(": ")[2] for row in faulty[:3])
        raise InputError(
            f"{source}: {len(faulty)} of {len(rows)} rows have a {missing} ({first}); "
            f"fill them in, or drop them with {parameter('drop_empty', True)}."
        )
    if not kept:
        raise InputError(f"{source}: all {len(rows)} rows have a {missing}; fill them in.")
    warnings = []
    if unlabelled:
        shown = ", ".join(repr(mark) if mark else "blank" for mark in marks or ()) or "blank"
        warnings.append(f"{len(unlabelled)} of {len(rows)} rows of {source} have no {columns.answer} ({shown}).")
    if faulty:
        warnings.append(f"{len(faulty)} of {len(rows)} rows of {source} were dropped: {missing}.")
    dropped = {missing: len(faulty)} if faulty else {}
    return Usable(kept, unlabelled, warnings + _empty_fields(source, kept), dropped)


def is_unlabelled(rows: Sequence[Row], columns: Columns) -> bool:
    """Whether there are rows, and none of them has a label or target."""
    signs = ("", "-1") if columns.task == "classification" else ("",)
    return bool(rows) and all(row.label in signs for row in rows)


def separate_splits(splits: Splits, *, drop: bool) -> tuple[Splits, list[str]]:
    """Return splits that share no text, and warnings.

    Raises InputError, with examples, where splits share a text; with ``drop`` the text stays in the first split only.
    """
    owner: dict[str, str] = {}
    kept: Splits = {}
    leaks: list[tuple[str, str, Row]] = []
    for name, rows in splits.items():
        kept[name] = []
        for row in rows:
            first = owner.setdefault(normalised(row.fields), name)
            if first == name:
                kept[name].append(row)
            else:
                leaks.append((first, name, row))
    if leaks and not drop:
        shown = "; ".join(f"{_quoted(row)} in {first} and {name}" for first, name, row in leaks[:3])
        raise InputError(
            f"{len(leaks)} rows have a text that is also in another split: {shown}; remove them, or "
            f"drop them from the later split with {parameter('drop_duplicates', True)}."
        )
    removed = _removals(leaks)
    return kept, [f"{count} rows of {name} were dropped: their text is in {first}." for first, name, count in removed]


def texts_of_test(rows: Sequence[Row], splits: Splits) -> int:
    """The number of these rows whose text is a test row's."""
    tested = {normalised(row.fields) for row in splits["test"]}
    return sum(normalised(row.fields) in tested for row in rows)


def _removals(leaks: Iterable[tuple[str, str, Row]]) -> list[tuple[str, str, int]]:
    """(first split, later split, number of rows) in order of appearance."""
    counts: dict[tuple[str, str], int] = {}
    for first, name, _row in leaks:
        counts[first, name] = counts.get((first, name), 0) + 1
    return [(first, name, count) for (first, name), count in counts.items()]


def require_rows(source: str, splits: Mapping[str, Sequence[Row]]) -> None:
    """Raise InputError where train or validation is empty."""
    for name in ("train", "validation"):
        if not splits[name]:
            raise InputError(f"The {name} split of {source} has no rows left; add rows whose texts no other split has.")


def require_classes(source: str, labels: Iterable[str]) -> None:
    """Raise InputError unless there are two labels."""
    found = sorted(set(labels)) or ["none"]
    if len(found) < 2:
        raise InputError(
            f"{source} holds one class only ({found[0]!r}); give rows of at least two, or another "
            f"{parameter('label_column')}."
        )


def check_classes(source: str, splits: Mapping[str, Sequence[Row]]) -> None:
    """Raise InputError if train has only one class, if validation lacks a class, or if a label is not in train."""
    sizes = {name: class_sizes(rows) for name, rows in splits.items()}
    require_classes(f"The train split of {source}", sizes["train"])
    for name, rows in splits.items():
        for row in rows:
            if row.label not in sizes["train"]:
                raise InputError(
                    f"{row.place} ({name}) has the unknown label {row.label!r}; the training rows have "
                    f"{', '.join(map(repr, sorted(sizes['train'])))}, so correct it or add training rows."
                )
    absent = sorted(set(sizes["train"]) - set(sizes["validation"]))
    if absent:
        raise InputError(
            f"The validation split of {source} has no row of the class {', '.join(map(repr, absent))}; "
            "add rows of it, or leave the validation file out and it is drawn from train."
        )


def imbalance_warning(name: str, rows: Sequence[Row]) -> str | None:
    """A warning, with the accuracy of the majority baseline, for classes of very different size; otherwise None."""
    sizes = class_sizes(rows).most_common()
    if not sizes or sizes[0][1] <= IMBALANCE * sizes[-1][1]:
        return None
    (label, most), (rare, least) = sizes[0], sizes[-1]
    share = most / len(rows)
    return (
        f"The classes of {name} are imbalanced ({most} rows of {label!r}, {least} of {rare!r}): read macro-F1 "
        f"beside accuracy (metric f1_macro), since always answering {label!r} has an accuracy of {share:.2f}."
    )


def test_share_warnings(splits: Mapping[str, Sequence[Row]], population: Sequence[Row]) -> list[str]:
    """Warnings for classes that the test rows lack, or whose share of the test rows is below half that of all rows."""
    test = class_sizes(splits["test"])
    sizes = class_sizes(population)
    if not splits["test"]:
        return []
    absent = [label for label in sizes if label and not test[label]]
    shares = {label: (test[label] / test.total(), size / sizes.total()) for label, size in sizes.items()}
    few = [label for label, (drawn, share) in shares.items() if test[label] and drawn < share / 2]
    warnings = []
    if absent:
        warnings.append(
            f"No test row has the label {_joined(absent)}: its data end with the training and validation rows, so the "
            "test accuracy says nothing of it."
        )
    if few:
        said = [
            f"{label!r} ({shares[label][0]:.1%} of the test rows, {shares[label][1]:.1%} of the data)" for label in few
        ]
        warnings.append(
            f"The test rows hold too few of {', '.join(said[:3])}, whose rows went into training and validation: read "
            "the test accuracy with that in mind, or give fewer shots."
        )
    return warnings


def _joined(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - 5} more" if len(labels) > 5 else ""
    return ", ".join(map(repr, labels[:5])) + more


def has_text(values: Collection[Any]) -> bool:
    """Whether some field has text. The others may be empty: a task without an input, a record without a history."""
    return any(value.strip() if isinstance(value, str) else value for value in values)


def _empty_fields(source: str, rows: Sequence[Row]) -> list[str]:
    """A warning with the number of rows in which a field is blank while another has text; empty if there are none."""
    counts = Counter(
        name for row in rows for name, value in row.fields.items() if isinstance(value, str) and not value.strip()
    )
    said = [f"{count} of {len(rows)} rows have an empty {name!r}" for name, count in counts.items()]
    return [f"{source}: {', '.join(said)}, which the prompt shows as it is."] if said else []


def _quoted(row: Row) -> str:
    text = " ".join(" / ".join(str(value) for value in row.fields.values()).split())
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
