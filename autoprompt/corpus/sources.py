"""Sources of rows: embedded corpora, files, folders and Hub datasets; and how the rows of each are split."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from autoprompt import artifacts
from autoprompt.artifacts import Progress
from autoprompt.corpus import chat, roles
from autoprompt.corpus.cards import Card, card, card_files, has_card
from autoprompt.corpus.columns import Columns, Row
from autoprompt.corpus.folders import read_folder
from autoprompt.corpus.hub import read_hub
from autoprompt.corpus.options import Reading
from autoprompt.corpus.readers import Table, is_data_file, join_tables, read_table
from autoprompt.corpus.readers.content import stem
from autoprompt.corpus.split_names import UNLABELED
from autoprompt.corpus.splits import (
    Sampling,
    Splits,
    carve_validation,
    draw_test,
    published_split,
    split_pool,
    take_shots,
)
from autoprompt.corpus.types import SPLITS
from autoprompt.errors import InputError

Merge = Callable[[Sequence[Row]], tuple[list[Row], list[str]]]


@dataclass(frozen=True)
class Source:
    """The tables of a source, its card if it has one, and the function that splits its rows.

    ``may_hide_test_labels``: if no test row has a label, these rows count as unlabelled and are no fault.
    ``unlabelled``: rows without labels, or whose labels are not looked at: tables, and rows in memory as ``inputs``
    accepts them.
    """

    name: str
    tables: dict[str, Table]
    split: Callable[[Splits, Sampling, Merge], tuple[Splits, list[str]]]
    card: Card | None = None
    revision: str = ""
    warnings: tuple[str, ...] = ()
    may_hide_test_labels: bool = False
    unlabelled: tuple[Any, ...] = ()


def open_source(source: str, progress: Progress | None, reading: Reading) -> Source:
    """Open a source by its name. Raises as ``load`` does."""
    if source.startswith("hub:"):
        reading.check_no_file(source)
        data = read_hub(source.removeprefix("hub:"))
        return Source(
            source,
            data.tables,
            _split_hub,
            revision=data.revision,
            warnings=data.warnings,
            may_hide_test_labels=True,
            unlabelled=data.unlabelled,
        )
    if has_card(source):
        reading.check_no_file(source)
        return _open_card(card(source), progress)
    path = Path(source)
    # os.path accepts any string; the tests of Path raise for names that the system does not allow.
    if os.path.isdir(source):
        folder = read_folder(path, reading.file_options)
        split_rows = split_folder if folder.whole else split_file
        return Source(
            path.resolve().name, folder.tables, split_rows, warnings=folder.notes, unlabelled=folder.unlabelled
        )
    if os.path.exists(source):
        return Source(stem(path), {"train": read_table(path, reading.file_options)}, split_file)
    if is_data_file(path) or len(path.parts) > 1:
        raise InputError(f"There is no file or folder {source}; check the path.")
    card(source)  # raises NotFoundError with the names that exist
    raise AssertionError(source)


def _open_card(known: Card, progress: Progress | None) -> Source:
    if os.path.exists(known.name):
        kind = "folder" if os.path.isdir(known.name) else "file"
        raise InputError(
            f"{known.name!r} is an embedded corpus and a {kind} here too; write ./{known.name} for the {kind}, "
            "or rename it to have the corpus."
        )
    if known.files:
        with card_files(known) as paths:
            table = join_tables([read_table(path) for path in paths])
        return Source(known.name, {"train": table}, partial(_split_published, known.split), known)
    path = artifacts.ensure(known.artifact, progress=progress) / "rows.jsonl"
    return Source(known.name, {"train": read_table(path)}, split_file, known)


def with_chats(found: Source, reading: Reading) -> Source:
    """Return the source with chats as texts and responses, unless ``reading`` names their column. Raises InputError."""
    if found.card is not None:
        return found
    named = [reading.label_column, reading.target_column, *(reading.text_column or "").split(",")]
    given = [name.strip() for name in named if name]
    return replace(found, tables={split: chat.flatten_chats(table, given) for split, table in found.tables.items()})


def by_split_column(found: Source, columns: Columns) -> Source:
    """Return the source, split by the split column of its only table if there is one."""
    if found.card is not None or set(found.tables) != {"train"}:
        return found
    table = found.tables["train"]
    name = roles.split_column(table, (columns.label, *map(columns.source, columns.fields)))
    if name is None:
        return found
    tables = roles.split_table(table, name)
    note = f"The column {name!r} of {table.source} says which split a row is in."
    unlabelled = (*found.unlabelled, *([tables.pop(UNLABELED)] if UNLABELED in tables else []))
    split = split_folder if len(tables) > 1 else found.split
    return replace(found, tables=tables, split=split, warnings=(*found.warnings, note), unlabelled=unlabelled)


# --- the splits of each kind of source -----------------------------------------------------------------


def _split_published(
    split: Mapping[str, int], rows: Splits, _sampling: Sampling, _merge: Merge
) -> tuple[Splits, list[str]]:
    return published_split(rows["train"], split), []


def split_file(rows: Splits, sampling: Sampling, merge: Merge) -> tuple[Splits, list[str]]:
    merged, warnings = merge(rows["train"])
    return split_pool(merged, sampling), warnings


def split_folder(rows: Splits, sampling: Sampling, merge: Merge) -> tuple[Splits, list[str]]:
    """Use files named for a split whole; without validation rows, take some of the training rows."""
    if "validation" in rows:
        return {name: rows.get(name, []) for name in SPLITS}, []
    merged, warnings = merge(rows["train"])
    return carve_validation(merged, sampling) | {"test": rows.get("test", [])}, warnings


def _split_hub(rows: Splits, sampling: Sampling, merge: Merge) -> tuple[Splits, list[str]]:
    """Draw K rows per group for train and validation; without a labelled test split, the validation split is test."""
    train, warnings = merge(rows["train"])
    if "validation" in rows and "test" in rows:
        validation, notes = merge(rows["validation"])
        warnings += notes
        splits = {"train": take_shots(train, sampling), "validation": take_shots(validation, sampling, wide=True)}
    else:
        splits = split_pool(train, sampling)
    held_out = rows.get("test") or rows.get("validation")
    if held_out:
        splits["test"] = draw_test(held_out, sampling)
    return splits, warnings
