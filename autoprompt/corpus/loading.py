"""Loading of a checked and split corpus: from a source's name (``load``) or from rows in memory (``from_rows``)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autoprompt.artifacts import Progress
from autoprompt.corpus import checks
from autoprompt.corpus.column_choice import choose_columns, leakage_warnings
from autoprompt.corpus.columns import Columns, Row, select_rows
from autoprompt.corpus.labels import drop_lone_labels, is_plain_number, normalise_labels
from autoprompt.corpus.memory import splits_of, table_of
from autoprompt.corpus.options import Reading
from autoprompt.corpus.readers import Table, read_inputs
from autoprompt.corpus.sources import Merge, Source, by_split_column, open_source, split_file, split_folder, with_chats
from autoprompt.corpus.split_names import UNLABELED
from autoprompt.corpus.splits import (
    Sampling,
    Splits,
    class_sizes,
    draw_unlabelled,
    merge_equal_inputs,
    merge_equal_texts,
)
from autoprompt.corpus.summary import DataSummary
from autoprompt.corpus.types import SPLITS, Corpus, make_examples
from autoprompt.corpus.unlabelled import bare_rows, input_table
from autoprompt.errors import InputError, UsageError, parameter

LONE_LABEL = "a label that no other row has"
TESTED = "no label, and the text of a test row"
"""Reasons of dropped rows, in the summary of the data."""


def load(source: str, *, progress: Progress | None = None, **options: Any) -> Corpus:
    """Load, check and split a corpus. ``source``: a card's name, a data file, a folder of them, or ``hub:NAME``.

    ``options`` are those of ``Reading``: ``load("reviews.csv", shots=8, label_column="stars")``. Files for train,
    validation and test are used whole, as are the published splits of a card whose rows lie beside it.
    ``progress`` is called during the pull of an embedded corpus that is not in the cache yet.

    Raises UsageError for impossible options, NotFoundError for an unknown name, InputError for data that
    cannot be used as it is, StorageError when an embedded corpus cannot be stored in the cache.
    """
    reading = Reading(**options)
    return _prepare(open_source(source, progress, reading), reading)


def from_rows(
    train: Any, validation: Any = None, test: Any = None, unlabeled: Any = None, *, name: str = "rows", **options: Any
) -> Corpus:
    """Check and split rows in memory, as ``load`` does for a source.

    Each split is a ``datasets.Dataset``, a pandas frame, a list of dicts or a dict of lists. ``train`` alone is split
    like a file without splits; with validation or test rows, all are used whole, like the files of a folder. Instead
    of separate arguments, ``train`` may be a dict of all splits, such as a ``DatasetDict``. ``unlabeled``: rows without
    labels, as such a table, a list of texts, or the path of a data file. ``name`` is the name of the rows in messages
    and of the corpus; ``options`` are those of ``Reading``. Raises UsageError and InputError.
    """
    if isinstance(unlabeled, str | Path):
        options, unlabeled = {**options, "unlabeled": str(unlabeled)}, None
    reading = Reading(**options)
    reading.check_no_file(name)
    given: Mapping[str, Any] = {
        split: rows for split, rows in zip(SPLITS, (train, validation, test), strict=True) if rows is not None
    }
    notes: tuple[str, ...] = ()
    if len(given) == 1:
        given, notes = splits_of(train, name)
    tables = {split: table_of(rows, f"{name} ({split})") for split, rows in given.items() if split != UNLABELED}
    split_rows = split_folder if len(tables) > 1 else split_file
    bare = [rows for rows in (given.get(UNLABELED), unlabeled) if rows is not None]
    return _prepare(Source(name, tables, split_rows, warnings=notes, unlabelled=tuple(bare)), reading)


def from_rows_unsplit(
    rows: Any,
    *,
    name: str = "rows",
    text_column: str | None = None,
    label_column: str | None = None,
    target_column: str | None = None,
    drop_empty: bool = False,
    trains: bool = True,
) -> Corpus:
    """Return a corpus of rows in memory (see ``from_rows``) in which all rows are training rows.

    ``trains``: the rows must have at least two classes. Raises UsageError and InputError.
    """
    reading = Reading(text_column=text_column, label_column=label_column, target_column=target_column)
    splits, notes = splits_of(rows, name)
    found = Source(name, {"train": table_of(splits["train"], name)}, split_file, warnings=notes)
    return _unsplit(found, reading, drop_empty, trains=trains)


def load_unsplit(source: str, *, progress: Progress | None = None, **options: Any) -> Corpus:
    """Return a corpus of a source (see ``load``) in which all rows are training rows.

    Of a source with splits, only the training rows are used. ``options``: those of ``from_rows_unsplit``. Raises as
    ``load`` does.
    """
    drop_empty, trains = options.pop("drop_empty", False), options.pop("trains", True)
    reading = Reading(**options)
    return _unsplit(open_source(source, progress, reading), reading, drop_empty, trains=trains)


def _unsplit(found: Source, reading: Reading, drop_empty: bool, *, trains: bool) -> Corpus:
    found = with_chats(found, reading)
    columns = _columns(found, reading)
    name, table = found.name, found.tables["train"]
    usable = checks.usable_rows(table.source, select_rows(table, columns), columns, drop=drop_empty)
    notes = [*found.warnings, *table.notes, *usable.warnings]
    if trains and columns.task == "classification":
        checks.require_classes(name, (row.label for row in usable.rows))
    return _corpus(found, columns, {"train": usable.rows, "validation": [], "test": []}, notes)


def _prepare(found: Source, reading: Reading) -> Corpus:
    found = with_chats(found, reading)
    columns = _columns(found, reading)
    found = by_split_column(found, columns)
    rows = {name: select_rows(table, columns) for name, table in found.tables.items()}
    tables = _unlabelled_tables(found, columns, reading)
    read = sum(map(len, rows.values())) + sum(len(table.rows) for table in tables)
    bare = [row for table in tables for row in bare_rows(table, columns)]
    if found.may_hide_test_labels and checks.is_unlabelled(rows.get("test", []), columns):
        bare += rows.pop("test")  # competitions on the Hub do not publish their test labels
    usable = _usable(found, rows, columns, reading)
    rows = {name: part.rows for name, part in usable.items()}
    bare += [row for part in usable.values() for row in part.unlabelled]
    warnings = [*found.warnings, *(note for table in (*found.tables.values(), *tables) for note in table.notes)]
    warnings += [note for part in usable.values() for note in part.warnings]
    dropped = dict(sum((Counter(part.dropped) for part in usable.values()), Counter()))
    population = [row for split in rows.values() for row in split]
    sampling = _sampling(reading, columns)
    splits, notes = found.split(rows, sampling, _merge_of(columns, reading))
    warnings += notes
    splits, notes = checks.separate_splits(splits, drop=reading.drop_duplicates)
    warnings += notes
    checks.require_rows(found.name, splits)
    if columns.task == "classification":
        population, lone = _of_known_labels(population, splits)
        dropped |= {LONE_LABEL: lone} if lone else {}
        checks.check_classes(found.name, splits)
        uneven = checks.imbalance_warning("all rows", population) or checks.imbalance_warning("train", splits["train"])
        warnings += [uneven] if uneven else []
        warnings += checks.test_share_warnings(splits, population)
        if reading.text_column:
            warnings += leakage_warnings(next(iter(found.tables.values())), columns)
    left = draw_unlabelled([*bare, *population], splits, reading.unlabeled_rows, reading.seed)
    tested = checks.texts_of_test(bare, splits)
    if tested:
        warnings.append(f"{tested} rows without labels were dropped: their texts are test rows.")
        dropped[TESTED] = tested
    splits |= {UNLABELED: left}
    summary = _summary(found, columns, splits, read, dropped, population)
    return _corpus(found, columns, splits, warnings, summary)


def _sampling(reading: Reading, columns: Columns) -> Sampling:
    shots = reading.shots * (2 if columns.task == "generation" else 1)
    return Sampling(shots, reading.test_rows, reading.seed, reading.validation_rows)


def _unlabelled_tables(found: Source, columns: Columns, reading: Reading) -> tuple[Table, ...]:
    """The tables of rows without labels: those of the source, and the file that the options name."""
    name = f"{found.name} ({UNLABELED})"
    tables: list[Table | None] = []
    for rows in found.unlabelled:
        if isinstance(rows, Mapping):  # columns: a single row would have no lists
            rows = table_of(rows, name)
        tables.append(rows if isinstance(rows, Table) else input_table(rows, columns.fields, name))
    if reading.unlabeled is not None:
        tables.append(read_inputs(Path(reading.unlabeled), columns.fields, reading.file_options))
    return tuple(table for table in tables if table is not None)


def _usable(found: Source, rows: Splits, columns: Columns, reading: Reading) -> dict[str, checks.Usable]:
    """Return the usable rows of each split."""
    marks: Mapping[str, int] = {"": 0}
    if columns.task == "classification":
        rows, marks = normalise_labels(found.name, rows, columns)
    usable = {
        name: checks.usable_rows(found.tables[name].source, members, columns, drop=reading.drop_empty, marks=marks)
        for name, members in rows.items()
    }
    if columns.task == "classification":
        checks.require_classes(found.name, (row.label for row in usable["train"].rows))
    return usable


def _of_known_labels(population: Sequence[Row], splits: Splits) -> tuple[list[Row], int]:
    """Return the rows whose label was kept, and the number of the others: labels that occur only once were dropped."""
    known = {row.label for rows in splits.values() for row in rows}
    kept = [row for row in population if row.label in known]
    return kept, len(population) - len(kept)


def _merge_of(columns: Columns, reading: Reading) -> Merge:
    """Return the function that merges rows with equal texts; for classes, it also drops labels that occur only once."""
    if columns.task == "generation":
        return merge_equal_inputs

    def merge(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
        merged, warnings = merge_equal_texts(rows, drop=reading.drop_duplicates)
        kept, notes = drop_lone_labels(merged)
        return kept, warnings + notes

    return merge


def _summary(
    found: Source, columns: Columns, splits: Splits, read: int, dropped: Mapping[str, int], population: Sequence[Row]
) -> DataSummary:
    sizes = {name: class_sizes(rows) for name, rows in splits.items()}
    labels = class_sizes(population) if columns.task == "classification" else Counter[str]()
    used = sum(map(len, splits.values()))
    return DataSummary(
        source=found.name,
        rows=read,
        fields=columns.fields,
        answer=columns.answer,
        answer_column=columns.label,
        splits={name: len(splits[name]) for name in (*SPLITS, UNLABELED)},
        classes={
            label: {"all": count} | {name: sizes[name][label] for name in SPLITS}
            for label, count in labels.most_common()
        },
        unused=read - used - sum(dropped.values()),
        dropped=dropped,
        left_out=columns.left_out,
        sources=columns.sources,
    )


def _columns(found: Source, reading: Reading) -> Columns:
    named = (reading.text_column, reading.label_column, reading.target_column)
    if found.card is None:
        return choose_columns(found.tables["train"], *named)
    if any(named):
        raise UsageError(
            f"The card of {found.name} says which columns to use; leave {parameter('text_column')}, "
            f"{parameter('label_column')} and {parameter('target_column')} out."
        )
    return Columns(found.card.fields, found.card.target_column or found.card.label_column, found.card.task)


# --- the finished corpus ---------------------------------------------------------------------------------


def _corpus(
    found: Source, columns: Columns, splits: Splits, warnings: Iterable[str], summary: DataSummary | None = None
) -> Corpus:
    labels = _labels(found, columns, splits["train"]) if columns.task == "classification" else ()
    seen: dict[str, int] = {}
    train, validation, test = (
        make_examples(((row.fields, row.label) for row in splits[name]), seen) for name in SPLITS
    )
    unlabeled = make_examples(((row.fields, "") for row in splits.get(UNLABELED, [])), seen)
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
        summary=summary,
        unlabeled=unlabeled,
    )


def _labels(found: Source, columns: Columns, train: Sequence[Row]) -> tuple[str, ...]:
    """The labels in the card's order, otherwise the ClassLabel's, otherwise sorted (numbers by value)."""
    present = {row.label for row in train}
    if found.card is not None:
        if set(found.card.labels) != present:
            raise InputError(f"The rows of {found.name} do not have the labels of its card; pull the corpus again.")
        return found.card.labels
    names = found.tables["train"].class_names.get(columns.label)
    if names:
        return tuple(name for name in names if name in present)
    if all(map(is_plain_number, present)):
        return tuple(sorted(present, key=lambda label: (float(label), label)))
    return tuple(sorted(present))
