"""Input rows of ``predict``: arguments, the rows of a file, or lines of standard input as they arrive."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count
from pathlib import Path
from typing import NamedTuple

from autoprompt.cli.verbosity import say
from autoprompt.corpus import FileOptions, Table, check_characters, inputs, json_row, read_inputs, require_columns
from autoprompt.errors import InputError

STDIN = "standard input"
BLOCK = 32
"""Rows of a file that are answered and written at a time. With SmolLM2, blocks of 16 took 10 to 25 % more time than
blocks of 50, and blocks of 32 at most 5 % more."""
MOST_AT_ONCE = 50
"""Most rows of a pipe that are answered at a time."""


class Waiting(NamedTuple):
    """Rows to answer, in blocks; their columns, and the number of rows (None: unknown)."""

    blocks: Iterator[Table]
    columns: tuple[str, ...]
    total: int | None


def of_file(path: Path, fields: Sequence[str], options: FileOptions = FileOptions()) -> Waiting:  # noqa: B008 - frozen
    """Read and check all rows of a file, and print what its reader assumed. Raises InputError, UsageError."""
    table = read_inputs(path, fields, options)
    for note in table.notes:
        say(f"Note: {note}")
    return _of_table(table, fields)


def of_texts(texts: Sequence[str], field: str) -> Waiting:
    """Return the texts of a command as rows. Raises InputError for NUL and lone surrogates."""
    rows = tuple({field: text} for text in texts)
    places = tuple(f"text {number}" for number in range(1, len(rows) + 1))
    for row, place in zip(rows, places, strict=True):
        check_characters(row, place)
    return _of_table(Table("the command", (field,), rows, places), (field,))


def _of_table(table: Table, fields: Sequence[str]) -> Waiting:
    inputs(table, fields)  # refuse bad rows before the model is loaded
    parts = (slice(start, start + BLOCK) for start in range(0, len(table.rows), BLOCK))
    blocks = (Table(table.source, table.columns, table.rows[part], table.places[part]) for part in parts)
    return Waiting(blocks, table.columns, len(table.rows))


def of_stream(lines: Iterable[str], fields: Sequence[str], *, objects: bool) -> Waiting:
    """Return rows as they arrive: a block holds the lines that are there, at most ``MOST_AT_ONCE``.

    Waits for the first line. A line is the text of the only field, or with ``objects`` a JSON object. Raises
    InputError.
    """
    blocks = _of_lines(lines, fields, objects=objects)
    first = next(blocks, None)
    if first is None:
        return Waiting(iter([]), tuple(fields), 0)
    inputs(first, fields)
    return Waiting(chain([first], blocks), first.columns, None)


def _of_lines(lines: Iterable[str], fields: Sequence[str], *, objects: bool) -> Iterator[Table]:
    numbers = count(1)
    for block in _arriving(lines, MOST_AT_ONCE):
        rows, places = [], []
        for line, number in zip(block, numbers, strict=False):
            place = f"{STDIN}: line {number}"
            row = json_row(place, line) if objects else {fields[0]: line.rstrip("\r\n")}
            check_characters(row, place)
            require_columns(Table(place, tuple(row), (row,), (place,)), fields)
            rows.append(row)
            places.append(f"line {number}")
        yield Table(STDIN, tuple(dict.fromkeys(name for row in rows for name in row)), tuple(rows), tuple(places))


def _arriving(lines: Iterable[str], most: int) -> Iterator[list[str]]:
    """Yield blocks of the lines that are there; a thread reads ahead, so that no block waits until it is full."""
    waiting: queue.Queue[str | Exception | None] = queue.Queue(2 * most)

    def read() -> None:
        try:
            for line in lines:
                waiting.put(line)
            waiting.put(None)
        except Exception as error:  # raised again by the reader of the queue
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
