"""Writers of predictions as text, CSV or JSON lines, block by block."""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from autoprompt.errors import InputError
from autoprompt.terminal import visible

if TYPE_CHECKING:
    from autoprompt.corpus import Table
    from autoprompt.predicting import Answer

_ACTS = frozenset("=+-@")
"""First characters, also in full width, that make a spreadsheet read a cell as a formula (OWASP, "CSV Injection")."""

Write = Callable[["Table", Sequence["Answer"]], None]


class Added(NamedTuple):
    """Names of the added columns; ``probabilities``: in csv one per label, in their order, in jsonl one for all."""

    predicted: str
    probabilities: tuple[str, ...]

    @classmethod
    def beside(cls, columns: Collection[str], wanted: Sequence[str]) -> Added:
        """Return the wanted names, with a number where the rows' own ``columns`` have them already."""
        found: list[str] = []
        for name in wanted:
            number, free = 1, name
            while free in columns or free in found:
                number += 1
                free = f"{name} {number}"
            found.append(free)
        return cls(found[0], tuple(found[1:]))

    def moved(self, wanted: Sequence[str]) -> list[tuple[str, str]]:
        """Return each wanted name that was taken, with its replacement."""
        own = (self.predicted, *self.probabilities)
        return [(name, instead) for name, instead in zip(wanted, own, strict=True) if name != instead]


def wanted_names(kind: str, labels: Sequence[str]) -> list[str]:
    """Return the names of the added columns, unless the rows have columns of these names."""
    if kind == "csv":
        return ["predicted", *(f"probability {label}" for label in labels)]
    return ["predicted", "probabilities"] if labels else ["predicted"]


def as_text(stream: TextIO) -> Write:
    """Return a writer of one line per row: the label and its probability, or the generated text."""

    def write(_table: Table, answers: Sequence[Answer]) -> None:
        for text, probabilities in answers:
            print(visible(text) + (f"\t{max(probabilities):.4f}" if probabilities else ""), file=stream)
        stream.flush()

    return write


def as_csv(stream: TextIO, added: Added) -> Write:
    """Return a writer of the rows with the predicted label and each label's probability; no cell is a formula."""
    writer = csv.writer(stream, lineterminator="\n")
    columns: list[str] = []
    own = (added.predicted, *added.probabilities)

    def write(table: Table, answers: Sequence[Answer]) -> None:
        if not columns:
            columns.extend(table.columns)
            writer.writerow([inert(name) for name in (*columns, *own)])
        for row, (text, probabilities) in zip(table.rows, answers, strict=True):
            _check_later(row, own)
            others = sorted(set(row) - set(columns))
            if others:
                raise InputError(f"A later row has the column {others[0]!r}, which the first ones have not; use jsonl.")
            cells = [_cell(row.get(name, "")) for name in columns]
            writer.writerow([inert(cell) for cell in (*cells, text)] + [f"{p:.6f}" for p in probabilities])
        stream.flush()

    return write


def as_json_lines(stream: TextIO, labels: Sequence[str], added: Added) -> Write:
    """Return a writer of one JSON object per row: its columns, ``predicted``, and ``probabilities`` by label."""

    def write(table: Table, answers: Sequence[Answer]) -> None:
        for row, (text, probabilities) in zip(table.rows, answers, strict=True):
            _check_later(row, (added.predicted, *added.probabilities))
            values = {**row, added.predicted: text}
            if probabilities:
                values[added.probabilities[0]] = dict(zip(labels, probabilities, strict=True))
            print(json.dumps(values, ensure_ascii=False, default=str), file=stream)
        stream.flush()

    return write


def _check_later(row: Mapping[str, object], own: Sequence[str]) -> None:
    """Raise InputError if a later row has a column with the name of an added one."""
    taken = next((name for name in own if name in row), None)
    if taken is not None:
        raise InputError(f"A later row has the column {taken!r}, to which the answers go; rename it.")


def inert(cell: str) -> str:
    """Return a cell that no spreadsheet reads as a formula: with an apostrophe in front where needed.

    Spreadsheets may skip blanks and line breaks, and read full-width signs. Numbers stay numbers.
    """
    return f"'{cell}" if _acts(cell) and not _is_number(cell) else cell


def _acts(cell: str) -> bool:
    if cell.startswith(("\t", "\r")):
        return True
    first = next((c for c in cell if not (c.isspace() or unicodedata.category(c) in ("Cc", "Cf"))), "")
    return unicodedata.normalize("NFKC", first)[:1] in _ACTS if first else False


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return cell.strip() == cell


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, default=str)
