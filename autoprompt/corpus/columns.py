"""Which columns hold the text and the label, and what their cells mean."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autoprompt.corpus import roles
from autoprompt.corpus.readers import Table
from autoprompt.corpus.types import Task
from autoprompt.errors import InputError

_LABEL_NAMES = ("label", "labels", "gold_label")
_LIKELY_LABEL_NAMES = ("sentiment", "category", "class", "target", "intent", "topic", "emotion", "polarity", "rating")
_TEXT_PAIRS = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("question", "passage"),
)
# What a template can name as a slot.
_SLOT_NAME = re.compile(r"[^\W\d]\w*(?:[ -]\w+)*")
_MOST_FIELDS = 20
"""Text columns that a template takes without being told their names."""
_MOST_CLASSES = 50
"""Distinct values of a column that is taken for the label without a name that says so."""


@dataclass(frozen=True)
class Columns:
    """The fields in order, and the column of the label, or of the target text.

    ``sources``: field → its column, where a template cannot name the column as it is (``review.text``: the field
    ``review_text``). ``left_out``: column → why it is no field.
    """

    fields: tuple[str, ...]
    label: str
    task: Task = "classification"
    sources: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def answer(self) -> str:
        """What messages call the predicted column's values."""
        return "label" if self.task == "classification" else "target"

    @property
    def option(self) -> str:
        """The option that names the predicted column."""
        return f"--{self.answer}-column"

    def source(self, name: str) -> str:
        """The column of a field."""
        return self.sources.get(name, name)


@dataclass(frozen=True)
class Row:
    """One row of the chosen columns; what is missing is an empty string.

    Splits are drawn within a ``group``: the class, and one for all rows of a generation corpus.
    """

    fields: Mapping[str, Any]
    label: str
    place: str
    group: str


def choose_columns(
    table: Table, text_column: str | None, label_column: str | None, target_column: str | None = None
) -> Columns:
    """The named columns, or the plain choice of them. Raises InputError, listing the columns, without one.

    Without ``text_column``, a column called ``text`` is the text, else a pair such as premise and hypothesis, else all
    columns that hold text; of these, columns that say nothing of their row (identifiers, dates, constants) or that
    give the label away are left out (see ``roles``). A target's column is never guessed: without its name the data is
    for classification.
    """
    texts = _named_texts(table, text_column) if text_column else ()
    task: Task = "classification" if target_column is None else "generation"
    named = label_column if target_column is None else target_column
    label = _find_label(table, texts) if named is None else _require(table, named, Columns((), named, task).option)
    if label in texts:
        raise InputError(
            f"{table.source}: the column {label!r} cannot be both text and {Columns((), label, task).answer}; name "
            f"others with --text-column and {Columns((), label, task).option}, of {_listed(table)}."
        )
    left_out: dict[str, str] = {}
    if not texts:
        texts, left_out = _find_texts(table, label)
    fields = _slot_names(texts)
    sources = {name: column for name, column in zip(fields, texts, strict=True) if name != column}
    return Columns(fields, label, task, sources, left_out)


def select_rows(table: Table, columns: Columns) -> list[Row]:
    """The table's rows with the chosen columns only. Raises InputError for a missing column or bad cell."""
    sources = {name: _column_of(table, columns.source(name)) for name in columns.fields}
    for name in (*sources.values(), columns.label):
        if name not in table.columns:
            raise InputError(
                f"{table.source} has no column {name!r}, which the training rows have; "
                f"its columns are {_listed(table)}."
            )
    names = table.class_names.get(columns.label)
    rows = []
    for cells, where in zip(table.rows, table.places, strict=True):
        place = f"{table.source}: {where}"
        fields = {name: _field(cells.get(source), place) for name, source in sources.items()}
        label = _label(cells.get(columns.label), names, place, columns.answer)
        rows.append(Row(fields, label, place, label if columns.task == "classification" else ""))
    return rows


def select_fields(table: Table, fields: Sequence[str]) -> list[Mapping[str, Any]]:
    """The rows' fields, where there are no labels. Raises InputError for a row without one of them, or a bad cell."""
    sources = {name: _column_of(table, name) for name in fields}
    for cells, place in zip(table.rows, table.places, strict=True):
        missing = [name for name, source in sources.items() if source not in cells]
        if missing:
            raise InputError(
                f"{table.source}: {place} lacks the field {missing[0]!r}; give all of {', '.join(fields)}."
            )
    return [
        {name: _field(cells[source], f"{table.source}: {place}") for name, source in sources.items()}
        for cells, place in zip(table.rows, table.places, strict=True)
    ]


# --- texts --------------------------------------------------------------------------------------------


def _named_texts(table: Table, text_column: str) -> tuple[str, ...]:
    if text_column in table.columns:  # a name that holds a comma itself
        return (text_column,)
    names = dict.fromkeys(name.strip() for name in text_column.split(","))
    return tuple(dict.fromkeys(_require(table, name, "--text-column") for name in names))


def _find_texts(table: Table, label: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """The columns that hold the text, and why the others do not serve."""
    found = _known_texts(table, label)
    if found:
        others = [name for name in table.columns if name != label and name not in found]
        return found, {name: _reason(table, name) or "not needed beside the text" for name in others}
    found, reasons = _likely_texts(table, label)
    if not found:
        raise InputError(f"{table.source}: no column holds text; name one with --text-column, of {_listed(table)}.")
    if len(found) > _MOST_FIELDS:
        raise InputError(
            f"{table.source} has {len(found)} columns of text; name those that the prompt shows with --text-column, "
            f"of {_listed(table)}."
        )
    return found, reasons


def _known_texts(table: Table, label: str) -> tuple[str, ...]:
    """The columns whose names say that they are the text."""
    text = _column(table, "text")
    if text is not None and text != label:
        return (text,)
    for pair in _TEXT_PAIRS:
        columns = [_column(table, name) for name in pair]
        if None not in columns and label not in columns:
            return tuple(name for name in columns if name is not None)
    return ()


def _likely_texts(table: Table, label: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """All columns that hold text, but for those that say nothing or give the label away while others are left."""
    reasons: dict[str, str] = {}
    texts = []
    for name in table.columns:
        if name == label:
            continue
        if not _holds_text(table, name):
            reasons[name] = _reason(table, name) or "numbers"
        else:
            texts.append(name)
    empty = {name: why for name in texts if (why := _reason(table, name))}
    kept = [name for name in texts if name not in empty] or texts
    reasons |= {name: why for name, why in empty.items() if name not in kept}
    labels = _label_texts(table, label)
    telling = {name: why for name in kept if (why := roles.determines_label(table, name, labels))} if kept[1:] else {}
    left = [name for name in kept if name not in telling]
    if any(roles.is_varied(table, name) for name in left):
        kept = left
        reasons |= telling
    return tuple(kept), {name: reasons[name] for name in table.columns if name in reasons}


def _reason(table: Table, name: str) -> str | None:
    """Why a column is no field whatever the others are."""
    return "the splits" if roles.split_column(table, ()) == name else roles.meaningless(table, name)


def _label_texts(table: Table, label: str) -> list[str]:
    """The labels' names [rows] as the table has them."""
    names = table.class_names.get(label, ())
    cells = [row.get(label) for row in table.rows]
    return [names[cell] if isinstance(cell, int) and 0 <= cell < len(names) else roles.text_of(cell) for cell in cells]


def _slot_names(columns: Sequence[str]) -> tuple[str, ...]:
    """The fields' names: those of the columns, where a template can say them."""
    names: dict[str, str] = {}
    for column in columns:
        name = slot_name(column)
        number = 2
        while name in names or (name != column and name in columns):
            name = f"{slot_name(column)}_{number}"
            number += 1
        names[name] = column
    return tuple(names)


def slot_name(column: str) -> str:
    """What a template calls a column: its name, with an underscore for what a slot's name cannot hold."""
    if _SLOT_NAME.fullmatch(column) and column != "label":
        return column
    name = re.sub(r"[^\w]+", "_", column).strip("_")
    return name if _SLOT_NAME.fullmatch(name) and name != "label" else f"column_{name}".rstrip("_")


# --- the label ----------------------------------------------------------------------------------------


def _find_label(table: Table, texts: Sequence[str]) -> str:
    """The column that is the label, where names or cells leave one choice only. Raises InputError otherwise."""
    for name in _LABEL_NAMES:
        found = _column(table, name)
        if found is not None:
            return found
    if len(table.class_names) == 1:
        return next(iter(table.class_names))
    known = texts or _known_texts(table, "")
    left = [
        name
        for name in table.columns
        if name not in known and not roles.meaningless(table, name) and roles.split_column(table, known) != name
    ]
    if known and len(left) == 1:
        return left[0]
    likely = [name for name in left if name.casefold() in _LIKELY_LABEL_NAMES]
    if len(likely) == 1:
        return likely[0]
    classes = [name for name in left if _holds_classes(table, name)]
    numbers = [name for name in left if not _holds_text(table, name)]
    if len(classes) == 1 and numbers in ([], classes):
        return classes[0]
    raise InputError(f"{table.source}: {_unclear(table, classes)}")


def _unclear(table: Table, classes: Sequence[str]) -> str:
    """Why no column is taken for the label, and what to do."""
    binary = [name for name in classes if {roles.text_of(row.get(name)) for row in table.rows} <= {"0", "1"}]
    if len(binary) > 1:
        return (
            f"the columns {', '.join(map(repr, binary))} look like several labels a row, and a prompt predicts one; "
            "choose one with --label-column, and the text with --text-column."
        )
    split = roles.split_column(table, ())
    if split is not None and len(table.columns) == 2:
        return (
            f"no column is left for the label, since {split!r} says which split a row is in; add the labels, or name "
            "their column with --label-column."
        )
    return (
        f"it is not clear which column is the label; name it with --label-column (and the text with --text-column), "
        f"of {_listed(table)}."
    )


def _holds_classes(table: Table, name: str) -> bool:
    """Whether a few values come again and again."""
    values = Counter(text for row in table.rows if (text := roles.text_of(row.get(name))))
    return 2 <= len(values) <= min(_MOST_CLASSES, values.total() // 4)


def _require(table: Table, name: str, option: str) -> str:
    found = _column_of(table, name)
    if found not in table.columns:
        raise InputError(f"{table.source} has no column {name!r}; choose {option} of its columns: {_listed(table)}.")
    return found


def _column_of(table: Table, name: str) -> str:
    """The column of this name, or the only one whose field is called so; otherwise the name."""
    if name in table.columns:
        return name
    found = [column for column, known in zip(table.columns, _slot_names(table.columns), strict=True) if known == name]
    return found[0] if len(found) == 1 else name


def _column(table: Table, name: str) -> str | None:
    if name in table.columns:
        return name
    return next((column for column in table.columns if column.casefold() == name), None)


# --- cells --------------------------------------------------------------------------------------------


def _holds_text(table: Table, name: str) -> bool:
    """Whether some cell is more than a number: csv cells are all strings."""
    return any(_is_text(row.get(name)) for row in table.rows)


def _is_text(cell: object) -> bool:
    if isinstance(cell, dict | list):
        return True
    if not isinstance(cell, str) or not cell.strip():
        return False
    try:
        float(cell)
    except ValueError:
        return True
    # float() also reads words such as "nan" and "Infinity".
    return not any(character.isdigit() for character in cell)


def _listed(table: Table) -> str:
    return ", ".join(repr(name) for name in table.columns)


def _field(cell: object, place: str) -> Any:
    if isinstance(cell, str):
        return cell
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, dict | list):
        try:
            return json.loads(json.dumps(cell, allow_nan=False, default=str))
        except ValueError as error:
            raise InputError(f"{place} holds a NaN or infinite number; correct the row.") from error
    return _scalar(cell)


def _label(cell: object, names: tuple[str, ...] | None, place: str, answer: str) -> str:
    if names is not None and isinstance(cell, int):
        if cell == -1:  # the sign for "not labelled" of datasets
            return ""
        if not 0 <= cell < len(names):
            raise InputError(f"{place} has the label {cell}, but there are {len(names)} classes; correct it.")
        return names[cell]
    if isinstance(cell, dict | list):
        raise InputError(
            f"{place} has a list or record as its {answer}, and a prompt predicts one {answer} a row; keep one, as a "
            "text or number."
        )
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return _scalar(cell).strip()


def _scalar(cell: object) -> str:
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():  # integers beside missing cells are stored as floats
        return str(int(cell))
    return str(cell)
