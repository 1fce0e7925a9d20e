"""What data must satisfy before a search may use it. Each check names the fault, its place and the remedy."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from autoprompt.corpus.columns import Columns, Row
from autoprompt.corpus.splits import Splits, class_sizes
from autoprompt.corpus.types import normalised
from autoprompt.errors import InputError

IMBALANCE = 3


def drop_blank(source: str, rows: Sequence[Row], columns: Columns, *, drop: bool) -> tuple[list[Row], list[str]]:
    """The rows that have all their fields and a label or target, and warnings.

    Raises InputError with the count and the first places of blank rows (unless ``drop``), and where not
    a single row is labelled or left.
    """
    if is_unlabelled(rows, columns):
        signs = "-1 or blank" if columns.task == "classification" else "blank"
        raise InputError(
            f"{source} has no {columns.answer}s: all are {signs}; give rows with {columns.answer}s, or another "
            f"{columns.option}."
        )
    missing = f"blank or missing text or {columns.answer}"
    kept = [row for row in rows if row.label and _filled(row.fields.values())]
    blank = len(rows) - len(kept)
    if not blank:
        return kept, []
    if not drop:
        whole = {id(row) for row in kept}
        first = ", ".join(row.place.rpartition(": ")[2] for row in _first(r for r in rows if id(r) not in whole))
        raise InputError(
            f"{source}: {blank} of {len(rows)} rows have a {missing} ({first}); "
            "fill them in, or drop them with --drop-empty."
        )
    if not kept:
        raise InputError(f"{source}: all {blank} rows have a {missing}; fill them in.")
    return kept, [f"{blank} of {len(rows)} rows of {source} were dropped: {missing}."]


def is_unlabelled(rows: Sequence[Row], columns: Columns) -> bool:
    """Whether there are rows, and none of them has a label or target."""
    signs = ("", "-1") if columns.task == "classification" else ("",)
    return bool(rows) and all(row.label in signs for row in rows)


def separate_splits(splits: Splits, *, drop: bool) -> tuple[Splits, list[str]]:
    """Splits that share no text, and warnings.

    Raises InputError with examples where they do; with ``drop`` the text stays in the first split only.
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
            f"{len(leaks)} rows have a text that also stands in another split: {shown}; remove them, or "
            "drop them from the later split with --drop-duplicates."
        )
    removed = _removals(leaks)
    return kept, [f"{count} rows of {name} were dropped: their text is in {first}." for first, name, count in removed]


def _removals(leaks: Iterable[tuple[str, str, Row]]) -> list[tuple[str, str, int]]:
    """(first split, later split, rows) in order of appearance."""
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
            f"{source} holds one class only ({found[0]!r}); give rows of at least two, or another --label-column."
        )


def check_classes(source: str, splits: Mapping[str, Sequence[Row]]) -> None:
    """Raise InputError for one class, a class absent from validation, and a label that train lacks."""
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


def imbalance(name: str, rows: Sequence[Row]) -> str | None:
    """The warning for classes of very different size, with the majority baseline."""
    sizes = class_sizes(rows).most_common()
    if not sizes or sizes[0][1] <= IMBALANCE * sizes[-1][1]:
        return None
    (label, most), (rare, least) = sizes[0], sizes[-1]
    share = most / len(rows)
    return (
        f"The classes of {name} are imbalanced ({most} rows of {label!r}, {least} of {rare!r}): read macro-F1 "
        f"beside accuracy (--metric f1_macro), since always answering {label!r} has an accuracy of {share:.2f}."
    )


def _filled(values: Collection[Any]) -> bool:
    """Whether no text is blank. An empty list or dict beside other fields is a value: a record without a history."""
    return any(values) and all(value.strip() for value in values if isinstance(value, str))


def _first(rows: Iterable[Row], count: int = 3) -> list[Row]:
    return [row for row, _number in zip(rows, range(count), strict=False)]


def _quoted(row: Row) -> str:
    text = " ".join(" / ".join(str(value) for value in row.fields.values()).split())
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
