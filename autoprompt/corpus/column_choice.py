"""Choice of the text and label columns that the user did not name, and checks of those that the user named."""

from collections import Counter
from collections.abc import Sequence

from autoprompt.corpus import roles
from autoprompt.corpus.columns import Columns, column_list, column_of, slot_names
from autoprompt.corpus.labels import missing_label_marks
from autoprompt.corpus.readers import Table
from autoprompt.corpus.types import Task
from autoprompt.errors import InputError, parameter

_LABEL_NAMES = ("label", "labels", "gold_label")
_LIKELY_LABEL_NAMES = ("sentiment", "category", "class", "target", "intent", "topic", "emotion", "polarity", "rating")
_TEXT_PAIRS = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("question", "passage"),
)
_MOST_FIELDS = 20
"""The most text columns that become fields without ``--text-column``."""
_MOST_CLASSES = 50
"""The most distinct values of a column that is chosen as the label although its name does not say so."""


def choose_columns(
    table: Table, text_column: str | None, label_column: str | None, target_column: str | None = None
) -> Columns:
    """Return the named columns, or the obvious ones where none are named.

    Without ``text_column``, a column called ``text`` is the text, else a pair such as premise and hypothesis, else all
    columns that hold text. Of these last, columns that say nothing about their row (identifiers, dates, constants) or
    that give the label away are left out (see ``roles``). A target column is never guessed: without ``target_column``
    the task is classification. Raises InputError, which lists the columns, where no choice is obvious.
    """
    texts = _named_texts(table, text_column) if text_column else ()
    task: Task = "classification" if target_column is None else "generation"
    named = label_column if target_column is None else target_column
    label = _find_label(table, texts) if named is None else _require(table, named, Columns((), named, task).parameter)
    if label in texts:
        raise InputError(
            f"{table.source}: the column {label!r} cannot be both text and {Columns((), label, task).answer}; name "
            f"others with {parameter('text_column')} and {Columns((), label, task).parameter}, of {column_list(table)}."
        )
    left_out: dict[str, str] = {}
    if not texts:
        texts, left_out = _find_texts(table, label, task)
    fields = slot_names(texts)
    sources = {name: column for name, column in zip(fields, texts, strict=True) if name != column}
    return Columns(fields, label, task, sources, left_out)


def leakage_warnings(table: Table, columns: Columns) -> list[str]:
    """Return warnings for fields that give the label away, if there are several fields."""
    if len(columns.fields) < 2:
        return []
    fields = {columns.source(name): name for name in columns.fields}
    return [
        f"The field {fields[column]!r} of {table.source} may give the label away ({why}): results on such data say "
        "nothing of rows without it; leave it out of the text columns."
        for column, why in _leaking_columns(table, columns.label, list(fields)).items()
    ]


# --- texts --------------------------------------------------------------------------------------------


def _named_texts(table: Table, text_column: str) -> tuple[str, ...]:
    if text_column in table.columns:  # the name itself may contain a comma
        return (text_column,)
    names = dict.fromkeys(name.strip() for name in text_column.split(","))
    return tuple(dict.fromkeys(_require(table, name, parameter("text_column")) for name in names))


def _find_texts(table: Table, label: str, task: Task) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the columns that hold the text, and for each other column why it is left out."""
    found = _known_texts(table, label)
    if found:
        others = [name for name in table.columns if name != label and name not in found]
        return found, {name: _why_no_field(table, name) or "not needed beside the text" for name in others}
    found, reasons = _likely_texts(table, label, task)
    if not found:
        raise InputError(
            f"{table.source}: no column holds text; name one with {parameter('text_column')}, of {column_list(table)}."
        )
    return found, reasons


def _known_texts(table: Table, label: str) -> tuple[str, ...]:
    """The text columns that their names identify: ``text`` or a known pair; empty if there are none."""
    text = _find_column(table, "text")
    if text is not None and text != label:
        return (text,)
    for pair in _TEXT_PAIRS:
        columns = [_find_column(table, name) for name in pair]
        if None not in columns and label not in columns:
            return tuple(name for name in columns if name is not None)
    return ()


def _likely_texts(table: Table, label: str, task: Task) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the columns that hold text, and for each other column why it is left out.

    Columns that say nothing about their row or give the label away are left out if others remain. A column that
    determines a target text is not left out: it is the source that the target is written from.
    """
    reasons: dict[str, str] = {}
    texts = []
    for name in table.columns:
        if name == label:
            continue
        if not _holds_text(table, name):
            reasons[name] = _why_no_field(table, name) or "numbers"
        else:
            texts.append(name)
    empty = {name: why for name in texts if (why := _why_no_field(table, name))}
    kept = [name for name in texts if name not in empty] or texts
    reasons |= {name: why for name, why in empty.items() if name not in kept}
    if len(kept) > _MOST_FIELDS:
        raise InputError(
            f"{table.source} has {len(kept)} columns of text; name those that the prompt shows with "
            f"{parameter('text_column')}, "
            f"of {column_list(table)}."
        )
    leaking = _leaking_columns(table, label, kept) if task == "classification" and len(kept) > 1 else {}
    left = [name for name in kept if name not in leaking]
    if any(roles.is_varied(table, name) for name in left):
        kept = left
        reasons |= leaking
    return tuple(kept), {name: reasons[name] for name in table.columns if name in reasons}


def _leaking_columns(table: Table, label: str, names: Sequence[str]) -> dict[str, str]:
    """Column -> how it gives the label away, for those of ``names`` that do."""
    labels = _label_texts(table, label)
    return {name: why for name in names if (why := roles.determines_label(table, name, labels))}


def _why_no_field(table: Table, name: str) -> str | None:
    """Why a column is no field, whatever the other columns are; None if it may be one."""
    return "the splits" if roles.split_column(table, ()) == name else roles.why_meaningless(table, name)


def _label_texts(table: Table, label: str) -> list[str]:
    """The label's name for each row [rows]; blank for rows without a gold label."""
    names = table.class_names.get(label, ())
    cells = [row.get(label) for row in table.rows]
    texts = [
        names[cell] if isinstance(cell, int) and 0 <= cell < len(names) else "" if cell is None else str(cell).strip()
        for cell in cells
    ]
    marks = missing_label_marks(Counter(texts))
    return ["" if text in marks else text for text in texts]


# --- the label ----------------------------------------------------------------------------------------


def _find_label(table: Table, texts: Sequence[str]) -> str:
    """Return the label column if names or cells leave only one choice. Raises InputError otherwise."""
    for name in _LABEL_NAMES:
        found = _find_column(table, name)
        if found is not None:
            return found
    if len(table.class_names) == 1:
        return next(iter(table.class_names))
    known = texts or _known_texts(table, "")
    left = [
        name
        for name in table.columns
        if name not in known and not roles.why_meaningless(table, name) and roles.split_column(table, known) != name
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
    raise InputError(f"{table.source}: {_label_advice(table, classes)}")


def _label_advice(table: Table, classes: Sequence[str]) -> str:
    """The message that says why no column is taken as the label, and what to do."""
    binary = [name for name in classes if {roles.text_of(row.get(name)) for row in table.rows} <= {"0", "1"}]
    if len(binary) > 1:
        return (
            f"the columns {', '.join(map(repr, binary))} look like several labels a row, and a prompt predicts one; "
            f"choose one with {parameter('label_column')}, and the text with {parameter('text_column')}."
        )
    split = roles.split_column(table, ())
    if split is not None and len(table.columns) == 2:
        return (
            f"no column is left for the label, since {split!r} says which split a row is in; add the labels, or name "
            f"their column with {parameter('label_column')}."
        )
    return (
        f"it is not clear which column is the label; name it with {parameter('label_column')} (and the text with "
        f"{parameter('text_column')}), of {column_list(table)}."
    )


def _holds_classes(table: Table, name: str) -> bool:
    """Whether the column has a few values that repeat, on average in at least four rows each."""
    values = Counter(text for row in table.rows if (text := roles.text_of(row.get(name))))
    return 2 <= len(values) <= min(_MOST_CLASSES, values.total() // 4)


def _require(table: Table, name: str, option: str) -> str:
    found = column_of(table, name)
    if found not in table.columns:
        raise InputError(
            f"{table.source} has no column {name!r}; choose {option} of its columns: {column_list(table)}."
        )
    return found


def _find_column(table: Table, name: str) -> str | None:
    if name in table.columns:
        return name
    return next((column for column in table.columns if column.casefold() == name), None)


def _holds_text(table: Table, name: str) -> bool:
    """Whether some cell is text that is no number (in csv, all cells are strings)."""
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
