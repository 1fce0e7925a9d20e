"""``load``: from a source's name to a checked and split corpus."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoprompt import artifacts
from autoprompt.corpus import checks
from autoprompt.corpus.cards import Card, card, has_card
from autoprompt.corpus.columns import Columns, Row, choose_columns, select_rows
from autoprompt.corpus.hub import read_hub
from autoprompt.corpus.readers import Table, is_data_file, read_table
from autoprompt.corpus.splits import (
    Sampling,
    Splits,
    carve_validation,
    merge_equal_texts,
    ranked,
    split_pool,
    take_shots,
)
from autoprompt.corpus.types import SPLITS, Corpus, make_examples
from autoprompt.errors import InputError, UsageError

Progress = Callable[[str, float | None], None]

_SPLIT_FILES = {
    "train": ("train",),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}


@dataclass(frozen=True)
class _Source:
    """The tables of a source, the card if it has one, and how its splits come about."""

    name: str
    tables: dict[str, Table]
    split: Callable[[Splits, Sampling, bool], tuple[Splits, list[str]]]
    card: Card | None = None


def load(
    source: str,
    *,
    shots: int = 16,
    seed: int = 0,
    text_column: str | None = None,
    label_column: str | None = None,
    drop_empty: bool = False,
    drop_duplicates: bool = False,
    test_rows: int = 400,
    progress: Progress | None = None,
) -> Corpus:
    """Load, check and split a corpus: a card's name, a data file, a folder of them, or ``hub:NAME``.

    Raises UsageError for impossible options, NotFoundError for an unknown name, InputError for data that
    cannot be used as it stands, StorageError when an embedded corpus cannot be kept in the cache.
    """
    if shots < 1 or test_rows < 0:
        raise UsageError(f"--shots must be at least 1 and --test-rows at least 0, not {shots} and {test_rows}.")
    found = _open(source, progress)
    columns = _columns(found, text_column, label_column)
    rows = {name: select_rows(table, columns) for name, table in found.tables.items()}
    if source.startswith("hub:") and checks.is_unlabelled(rows.get("test", [])):
        del rows["test"]  # the Hub's competitions keep these labels to themselves
    warnings: list[str] = []
    for name in rows:
        rows[name], notes = checks.drop_blank(found.tables[name].source, rows[name], drop=drop_empty)
        warnings += notes
    checks.require_classes(found.name, (row.label for row in rows["train"]))
    splits, notes = found.split(rows, Sampling(shots, test_rows, seed), drop_duplicates)
    warnings += notes
    splits, notes = checks.separate_splits(splits, drop=drop_duplicates)
    warnings += notes
    checks.check_classes(found.name, splits)
    pool = [row for split in rows.values() for row in split]
    uneven = checks.imbalance("train", splits["train"]) or checks.imbalance("all rows", pool)
    return _corpus(found, columns, splits, [*warnings, *([uneven] if uneven else [])])


def _open(source: str, progress: Progress | None) -> _Source:
    if source.startswith("hub:"):
        return _Source(source, read_hub(source.removeprefix("hub:")), _split_hub)
    if has_card(source):
        known = card(source)
        path = artifacts.ensure(known.artifact, progress=progress) / "rows.jsonl"
        return _Source(known.name, {"train": read_table(path)}, _split_file, known)
    path = Path(source)
    # os.path takes any string; Path's own tests raise for names that the system cannot hold.
    if os.path.isdir(source):
        return _Source(path.resolve().name, _read_folder(path), _split_folder)
    if os.path.exists(source):
        return _Source(path.stem, {"train": read_table(path)}, _split_file)
    if is_data_file(path) or len(path.parts) > 1:
        raise InputError(f"There is no file or folder {source}; check the path.")
    card(source)  # raises NotFoundError with the names that exist
    raise AssertionError(source)


def _read_folder(folder: Path) -> dict[str, Table]:
    try:
        listed = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror or error}; check the path.") from error
    tables = {}
    for split, stems in _SPLIT_FILES.items():
        files = [path for path in listed if path.stem in stems and is_data_file(path)]
        if len(files) > 1:
            names = " and ".join(path.name for path in files)
            raise InputError(f"The folder {folder} has {names} for the {split} split; keep one of them.")
        if files:
            tables[split] = read_table(files[0])
    if "train" not in tables:
        raise InputError(f"The folder {folder} has no train.csv, .tsv, .jsonl or .parquet; add the training rows.")
    return tables


def _columns(found: _Source, text_column: str | None, label_column: str | None) -> Columns:
    if found.card is None:
        return choose_columns(found.tables["train"], text_column, label_column)
    if text_column or label_column:
        raise UsageError(
            f"The card of {found.name} says which columns to use; leave --text-column and --label-column out."
        )
    return Columns(found.card.fields, found.card.label_column)


# --- the splits of each kind of source -----------------------------------------------------------------


def _split_file(rows: Splits, sampling: Sampling, drop: bool) -> tuple[Splits, list[str]]:
    merged, warnings = merge_equal_texts(rows["train"], drop=drop)
    return split_pool(merged, sampling), warnings


def _split_folder(rows: Splits, sampling: Sampling, drop: bool) -> tuple[Splits, list[str]]:
    """Files that say what they are for are used whole."""
    if "validation" in rows:
        return {name: rows.get(name, []) for name in SPLITS}, []
    merged, warnings = merge_equal_texts(rows["train"], drop=drop)
    return carve_validation(merged, sampling) | {"test": rows.get("test", [])}, warnings


def _split_hub(rows: Splits, sampling: Sampling, drop: bool) -> tuple[Splits, list[str]]:
    """K rows a class; without a labelled test split the validation split takes its place."""
    train, warnings = merge_equal_texts(rows["train"], drop=drop)
    if "validation" in rows and "test" in rows:
        validation, notes = merge_equal_texts(rows["validation"], drop=drop)
        warnings += notes
        splits = {"train": take_shots(train, sampling), "validation": take_shots(validation, sampling)}
    else:
        splits = split_pool(train, sampling)
    held_out = rows.get("test") or rows.get("validation")
    if held_out:
        splits["test"] = ranked(held_out, sampling.seed)[: sampling.test_rows]
    return splits, warnings


# --- the finished corpus ---------------------------------------------------------------------------------


def _corpus(found: _Source, columns: Columns, splits: Splits, warnings: Iterable[str]) -> Corpus:
    labels = _labels(found, columns, splits["train"])
    seen: dict[str, int] = {}
    train, validation, test = (
        make_examples(((row.fields, row.label) for row in splits[name]), seen) for name in SPLITS
    )
    known = found.card
    return Corpus(
        name=found.name,
        fields=columns.fields,
        label_column=columns.label,
        labels=labels,
        train=train,
        validation=validation,
        test=test,
        metric=known.metric if known else "accuracy",
        manual_template=known.template if known else "",
        label_words=known.label_words if known else {},
        warnings=tuple(warnings),
    )


def _labels(found: _Source, columns: Columns, train: Sequence[Row]) -> tuple[str, ...]:
    """The card's order, otherwise the ClassLabel's, otherwise sorted (integers by value)."""
    present = {row.label for row in train}
    if found.card is not None:
        if set(found.card.labels) != present:
            raise InputError(f"The rows of {found.name} do not have the labels of its card; pull the corpus again.")
        return found.card.labels
    names = found.tables["train"].class_names.get(columns.label)
    if names:
        return tuple(name for name in names if name in present)
    if all(label.removeprefix("-").isdecimal() for label in present):
        return tuple(sorted(present, key=lambda label: (int(label), label)))
    return tuple(sorted(present))
