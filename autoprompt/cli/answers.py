"""Rows that wait for answers, as they come, and answers as text, CSV, JSON lines or one JSON object."""

from __future__ import annotations

import csv
import json
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from autoprompt.corpus.readers import Table, check_characters, json_row, read_lines, read_table
from autoprompt.errors import InputError
from autoprompt.report.escaping import visible

if TYPE_CHECKING:
    from autoprompt.predicting import Answer

STDIN = "standard input"
PREDICTED = "predicted"
"""The added column; one of this name in the rows gives way."""
_ACTS = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a cell for a formula (OWASP, "CSV Injection")."""

Write = Callable[[Sequence[Mapping[str, Any]], Sequence["Answer"]], None]


# --- rows ---------------------------------------------------------------------------------------------


def rows_of(path: Path, fields: Sequence[str], most: int) -> Iterator[Table]:
    """A file's rows, read and checked whole, at most ``most`` at a time. Raises InputError."""
    if path.suffix.lower() == ".txt":
        if len(fields) > 1:
            raise InputError(f"{path} has one text a line, and the prompt has the fields {', '.join(fields)}; use csv.")
        table = read_lines(path, fields[0])
    else:
        table = read_table(path)
    for start in range(0, len(table.rows), most):
        part = slice(start, start + most)
        yield Table(table.source, table.columns, table.rows[part], table.places[part])


def rows_of_texts(texts: Sequence[str], field: str) -> Iterator[Table]:
    """The texts of a command. Raises InputError for characters that no text has."""
    rows = tuple({field: text} for text in texts)
    places = tuple(f"text {number}" for number in range(1, len(rows) + 1))
    for row, place in zip(rows, places, strict=True):
        check_characters(row, place)
    yield Table("the command", (field,), rows, places)


def rows_of_stream(lines: Iterable[str], field: str | None, most: int) -> Iterator[Table]:
    """Rows as they come: as many as are there already, at most ``most``.

    A line is the text of ``field``, or without one a JSON object. Raises InputError.
    """
    numbers = count(1)
    for block in _arriving(lines, most):
        rows, places = [], []
        for line, number in zip(block, numbers, strict=False):
            place = f"{STDIN}: line {number}"
            rows.append(json_row(place, line) if field is None else {field: line.rstrip("\r\n")})
            check_characters(rows[-1], place)
            places.append(f"line {number}")
        yield Table(STDIN, tuple(dict.fromkeys(name for row in rows for name in row)), tuple(rows), tuple(places))


def _arriving(lines: Iterable[str], most: int) -> Iterator[list[str]]:
    """A thread reads ahead, so that nobody waits for a block to fill."""
    waiting: queue.Queue[str | Exception | None] = queue.Queue(2 * most)

    def read() -> None:
        try:
            for line in lines:
                waiting.put(line)
            waiting.put(None)
        except Exception as error:  # raised again where lines are used
            waiting.put(error)

    threading.Thread(target=read, daemon=True).start()
    ended = False
    while not ended:
        block: list[str] = []
        while len(block) < most and not (block and waiting.empty()):
            line = waiting.get()
            if isinstance(line, UnicodeDecodeError):
                raise InputError(f"{STDIN} holds bytes that are not UTF-8 ({line.reason}); send UTF-8.") from line
            if isinstance(line, Exception):
                raise line
            if line is None:
                ended = True
                break
            block.append(line)
        if block:
            yield block


# --- answers ------------------------------------------------------------------------------------------


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
