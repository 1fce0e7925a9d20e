"""Answers as text, CSV or JSON lines, block by block."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from autoprompt.errors import InputError
from autoprompt.terminal import visible

if TYPE_CHECKING:
    from autoprompt.predicting import Answer

PREDICTED = "predicted"
"""The added column; one of this name in the rows gives way."""
_ACTS = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a cell for a formula (OWASP, "CSV Injection")."""

Write = Callable[[Sequence[Mapping[str, Any]], Sequence["Answer"]], None]


def as_text(stream: TextIO) -> Write:
    """A line each: the label and its probability, or the written text."""

    def write(_rows: Sequence[Mapping[str, Any]], answers: Sequence[Answer]) -> None:
        for text, probabilities in answers:
            print(visible(text) + (f"\t{max(probabilities):.4f}" if probabilities else ""), file=stream)
        stream.flush()

    return write


def as_csv(stream: TextIO, labels: Sequence[str]) -> Write:
    """The rows with the label, its probability and that of each label; no cell acts as a formula."""
    writer = csv.writer(stream, lineterminator="\n")
    columns: list[str] = []

    def write(rows: Sequence[Mapping[str, Any]], answers: Sequence[Answer]) -> None:
        added = [PREDICTED, *(f"probability {label}" for label in labels)]
        if not columns:
            columns.extend(dict.fromkeys(name for row in rows for name in row if name not in added))
            writer.writerow([inert(name) for name in (*columns, *added)])
        for row, (text, probabilities) in zip(rows, answers, strict=True):
            others = sorted(set(row) - set(columns) - set(added))
            if others:
                raise InputError(f"A later row has the column {others[0]!r}, which the first ones have not; use jsonl.")
            cells = [_cell(row.get(name, "")) for name in columns]
            writer.writerow([inert(cell) for cell in (*cells, text)] + [f"{p:.6f}" for p in probabilities])
        stream.flush()

    return write


def as_json_lines(stream: TextIO, labels: Sequence[str]) -> Write:
    """A JSON object a line: the row, ``predicted``, and ``probabilities`` by label."""

    def write(rows: Sequence[Mapping[str, Any]], answers: Sequence[Answer]) -> None:
        for row, (text, probabilities) in zip(rows, answers, strict=True):
            added = {"probabilities": dict(zip(labels, probabilities, strict=True))} if probabilities else {}
            values = {**row, PREDICTED: text, **added}
            print(json.dumps(values, ensure_ascii=False, default=str), file=stream)
        stream.flush()

    return write


def inert(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula; numbers stay numbers."""
    return f"'{cell}" if cell.startswith(_ACTS) and not _is_number(cell) else cell


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
