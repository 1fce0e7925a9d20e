"""Answers as text, CSV or JSON lines, block by block."""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from autoprompt.errors import InputError
from autoprompt.terminal import visible

if TYPE_CHECKING:
    from autoprompt.corpus.readers import Table
    from autoprompt.predicting import Answer

_ACTS = frozenset("=+-@")
"""What makes a spreadsheet take a cell for a formula (OWASP, "CSV Injection"), in any width."""

Write = Callable[["Table", Sequence["Answer"]], None]


class Added(NamedTuple):
    """What the added columns are called: ``predicted``, and ``probabilities`` of the labels in their order."""

    predicted: str
    probabilities: tuple[str, ...]

    @classmethod
    def beside(cls, columns: Collection[str], wanted: Sequence[str]) -> Added:
        """Names that none of the rows' own ``columns`` has: the wanted ones, with a number where they are taken."""
        found: list[str] = []
        for name in wanted:
            number, free = 1, name
            while free in columns or free in found:
                number += 1
                free = f"{name} {number}"
            found.append(free)
        return cls(found[0], tuple(found[1:]))

    def moved(self, wanted: Sequence[str]) -> list[tuple[str, str]]:
        """The wanted names that were taken, each with the one in its place."""
        own = (self.predicted, *self.probabilities)
        return [(name, instead) for name, instead in zip(wanted, own, strict=True) if name != instead]


def wanted_names(kind: str, labels: Sequence[str]) -> list[str]:
    """What the added columns are called where the rows have none of these names."""
    if kind == "csv":
        return ["predicted", *(f"probability {label}" for label in labels)]
    return ["predicted", "probabilities"] if labels else ["predicted"]


def as_text(stream: TextIO) -> Write:
    """A line each: the label and its probability, or the written text."""

    def write(_table: Table, answers: Sequence[Answer]) -> None:
        for text, probabilities in answers:
            print(visible(text) + (f"\t{max(probabilities):.4f}" if probabilities else ""), file=stream)
        stream.flush()

    return write


def as_csv(stream: TextIO, added: Added) -> Write:
    """The rows with the label, its probability and that of each label; no cell acts as a formula."""
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
    """A JSON object a line: the row, ``predicted``, and ``probabilities`` by label."""

    def write(table: Table, answers: Sequence[Answer]) -> None:
        for row, (text, probabilities) in zip(table.rows, answers, strict=True):
            _check_later(row, (added.predicted, *added.probabilities))
            values = {**row, added.predicted: text}
            if probabilities:
                values[added.probabilities[0]] = dict(zip(labels, probabilities, strict=True))
            print(json.dumps(values, ensure_ascii=False, default=str), file=stream)
        stream.flush()

    return write


def _check_later(row: Mapping[str, Any], own: Sequence[str]) -> None:
    """That no row which came later has a column of the answers' name. Raises InputError."""
    taken = next((name for name in own if name in row), None)
    if taken is not None:
        raise InputError(f"A later row has the column {taken!r}, to which the answers go; rename it.")


def inert(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula, also where it skips blanks and line breaks first or reads
    full-width signs; numbers stay numbers."""
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
