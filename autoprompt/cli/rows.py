"""Rows that wait for answers: of a command, of a file, or of a pipe as they come."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path

from autoprompt.corpus.readers import Table, check_characters, json_row, read_lines, read_table
from autoprompt.errors import InputError

STDIN = "standard input"


def of_file(path: Path, fields: Sequence[str], most: int) -> Iterator[Table]:
    """A file's rows, read and checked whole, at most ``most`` at a time. Raises InputError."""
    if path.suffix.lower() == ".txt":
        if len(fields) > 1:
            raise InputError(f"{path} has one text a line, and the prompt has the fields {', '.join(fields)}; use csv.")
        table = read_lines(path, fields[0])
    else:
        table = read_table(path)
    parts = (slice(start, start + most) for start in range(0, len(table.rows), most))
    return (Table(table.source, table.columns, table.rows[part], table.places[part]) for part in parts)


def of_texts(texts: Sequence[str], field: str) -> Iterator[Table]:
    """The texts of a command. Raises InputError for characters that no text has."""
    rows = tuple({field: text} for text in texts)
    places = tuple(f"text {number}" for number in range(1, len(rows) + 1))
    for row, place in zip(rows, places, strict=True):
        check_characters(row, place)
    return iter([Table("the command", (field,), rows, places)])


def of_stream(lines: Iterable[str], field: str | None, most: int) -> Iterator[Table]:
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
