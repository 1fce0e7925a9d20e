"""``load`` and ``of``: from a source's name, or from rows in memory, to a checked and split corpus."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from autoprompt import artifacts
from autoprompt.artifacts import Progress
from autoprompt.corpus import checks
from autoprompt.corpus.cards import Card, card, card_files, has_card
from autoprompt.corpus.columns import Columns, Row, choose_columns, select_rows
from autoprompt.corpus.hub import read_hub
from autoprompt.corpus.memory import table_of
from autoprompt.corpus.options import Reading
from autoprompt.corpus.readers import Table, is_data_file, joined, read_table
from autoprompt.corpus.splits import (
    Sampling,
    Splits,
    carve_validation,
    merge_equal_inputs,
    merge_equal_texts,
    published_split,
    ranked,
    split_pool,
    take_shots,
)
from autoprompt.corpus.types import SPLITS, Corpus, make_examples
from autoprompt.errors import InputError, UsageError

Merge = Callable[[Sequence[Row]], tuple[list[Row], list[str]]]

_SPLIT_FILES = {
    "train": ("train",),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}


@dataclass(frozen=True)
class _Source:
    """The tables of a source, the card if it has one, and how its splits come about.

    ``may_hide_test_labels``: test rows without a single label are left out, and no fault.
    """

    name: str
    tables: dict[str, Table]
    split: Callable[[Splits, Sampling, Merge], tuple[Splits, list[str]]]
    card: Card | None = None
    revision: str = ""
    warnings: tuple[str, ...] = ()
    may_hide_test_labels: bool = False


def load(source: str, *, progress: Progress | None = None, **options: Any) -> Corpus:
    """Load, check and split a corpus: a card's name, a data file, a folder of them, or ``hub:NAME``.

    ``options`` are those of ``Reading``: ``load("reviews.csv", shots=8, label_column="stars")``. Files for train,
    validation and test are used whole, as are the published splits of a card that has its rows beside it.
    ``progress`` is told how far the pull of an embedded corpus is, where it is not in the cache yet.

    Raises UsageError for impossible options, NotFoundError for an unknown name, InputError for data that
    cannot be used as it stands, StorageError when an embedded corpus cannot be kept in the cache.
    """
    reading = Reading(**options)
    return _prepare(_open(source, progress), reading)


def of(train: Any, validation: Any = None, test: Any = None, *, name: str = "rows", **options: Any) -> Corpus:
    """``load`` for rows in memory: each a ``datasets.Dataset``, a pandas frame or a list of dicts.

    Train alone is split as a file without splits is; with validation or test rows, all are used whole, as the files
    of a folder are. ``name`` is what messages and the corpus call the rows; ``options`` are those of ``Reading``.
    Raises UsageError and InputError.
    """
    reading = Reading(**options)
    given = {split: rows for split, rows in zip(SPLITS, (train, validation, test), strict=True) if rows is not None}
    tables = {split: table_of(rows, f"{name} ({split})") for split, rows in given.items()}
    return _prepare(_Source(name, tables, _split_folder if len(tables) > 1 else _split_file), reading)


def whole(
    rows: Any,
    *,
    name: str = "rows",
    text_column: str | None = None,
    label_column: str | None = None,
    target_column: str | None = None,
    drop_empty: bool = False,
    trains: bool = True,
) -> Corpus:
    """Rows in memory (see ``of``), all as training rows and none held out.

    ``trains``: several classes are needed. Raises UsageError and InputError.
    """
    reading = Reading(text_column=text_column, label_column=label_column, target_column=target_column)
    return _whole(_Source(name, {"train": table_of(rows, name)}, _split_file), reading, drop_empty, trains=trains)


def rows_of(source: str, *, progress: Progress | None = None, **options: Any) -> Corpus:
    """All rows of a source (see ``load``) as training rows and none held out; of one with splits the training rows.

    ``options``: those of ``whole``. Raises as ``load`` does.
    """
    drop_empty, trains = options.pop("drop_empty", False), options.pop("trains", True)
    return _whole(_open(source, progress), Reading(**options), drop_empty, trains=trains)


def _whole(found: _Source, reading: Reading, drop_empty: bool, *, trains: bool) -> Corpus:
    columns = _columns(found, reading)
    name, table = found.name, found.tables["train"]
    kept, notes = checks.drop_blank(table.source, select_rows(table, columns), columns, drop=drop_empty)
    if trains and columns.task == "classification":
        checks.require_classes(name, (row.label for row in kept))
    return _corpus(found, columns, {"train": kept, "validation": [], "test": []}, notes)


def _prepare(found: _Source, reading: Reading) -> Corpus:
    columns = _columns(found, reading)
    generation = columns.task == "generation"
    rows = {name: select_rows(table, columns) for name, table in found.tables.items()}
    if found.may_hide_test_labels and checks.is_unlabelled(rows.get("test", []), columns):
        del rows["test"]  # the Hub's competitions keep these labels to themselves
    warnings = list(found.warnings)
    for name in rows:
        source = found.tables[name].source
        rows[name], notes = checks.drop_blank(source, rows[name], columns, drop=reading.drop_empty)
        warnings += notes
    if not generation:
        checks.require_classes(found.name, (row.label for row in rows["train"]))
    sampling = Sampling(reading.shots * (2 if generation else 1), reading.test_rows, reading.seed)
    merge = merge_equal_inputs if generation else partial(merge_equal_texts, drop=reading.drop_duplicates)
    splits, notes = found.split(rows, sampling, merge)
    warnings += notes
    splits, notes = checks.separate_splits(splits, drop=reading.drop_duplicates)
    warnings += notes
    checks.require_rows(found.name, splits)
    if not generation:
        checks.check_classes(found.name, splits)
        pool = [row for split in rows.values() for row in split]
        uneven = checks.imbalance("train", splits["train"]) or checks.imbalance("all rows", pool)
        warnings += [uneven] if uneven else []
    return _corpus(found, columns, splits, warnings)


def _open(source: str, progress: Progress | None) -> _Source:
    if source.startswith("hub:"):
        data = read_hub(source.removeprefix("hub:"))
        return _Source(
            source,
            data.tables,
            _split_hub,
            revision=data.revision,
            warnings=data.warnings,
            may_hide_test_labels=True,
        )
    if has_card(source):
        return _open_card(card(source), progress)
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


def _open_card(known: Card, progress: Progress | None) -> _Source:
    if os.path.exists(known.name):
        kind = "folder" if os.path.isdir(known.name) else "file"
        raise InputError(
            f"{known.name!r} is an embedded corpus and a {kind} here too; write ./{known.name} for the {kind}, "
            "or rename it to have the corpus."
        )
    if known.files:
        with card_files(known) as paths:
            table = joined([read_table(path) for path in paths])
        return _Source(known.name, {"train": table}, partial(_split_published, known.split), known)
    path = artifacts.ensure(known.artifact, progress=progress) / "rows.jsonl"
    return _Source(known.name, {"train": read_table(path)}, _split_file, known)


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


def _columns(found: _Source, reading: Reading) -> Columns:
    named = (reading.text_column, reading.label_column, reading.target_column)
    if found.card is None:
        return choose_columns(found.tables["train"], *named)
    if any(named):
        raise UsageError(
            f"The card of {found.name} says which columns to use; leave --text-column, --label-column and "
            "--target-column out."
        )
    return Columns(found.card.fields, found.card.target_column or found.card.label_column, found.card.task)


# --- the splits of each kind of source -----------------------------------------------------------------


def _split_published(
    split: Mapping[str, int], rows: Splits, _sampling: Sampling, _merge: Merge
) -> tuple[Splits, list[str]]:
    return published_split(rows["train"], split), []


def _split_file(rows: Splits, sampling: Sampling, merge: Merge) -> tuple[Splits, list[str]]:
    merged, warnings = merge(rows["train"])
    return split_pool(merged, sampling), warnings


def _split_folder(rows: Splits, sampling: Sampling, merge: Merge) -> tuple[Splits, list[str]]:
    """Files that say what they are for are used whole."""
    if "validation" in rows:
        return {name: rows.get(name, []) for name in SPLITS}, []
    merged, warnings = merge(rows["train"])
    return carve_validation(merged, sampling) | {"test": rows.get("test", [])}, warnings


def _split_hub(rows: Splits, sampling: Sampling, merge: Merge) -> tuple[Splits, list[str]]:
    """K rows a group; without a labelled test split the validation split takes its place."""
    train, warnings = merge(rows["train"])
    if "validation" in rows and "test" in rows:
        validation, notes = merge(rows["validation"])
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
    labels = _labels(found, columns, splits["train"]) if columns.task == "classification" else ()
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
        metric=known.metric if known else "",
        manual_template=known.template if known else "",
        label_words=known.label_words if known else {},
        warnings=tuple(warnings),
        task=columns.task,
        revision=found.revision,
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
