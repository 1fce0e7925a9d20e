"""Targets of ``fuzz.py`` that know how many rows a file has: none may be lost without a word.

``read_written``: rows of all kinds of cells, written in all formats, dialects, encodings and compressions, some with
damage as people and programs do it; what is read must have as many rows, or be refused. ``check_lines``: each line of a
delimited file that was read is a row, a part of a cell, or blank.
"""

from __future__ import annotations

import bz2
import csv
import datetime
import decimal
import enum
import gzip
import io
import json
import lzma
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from autoprompt.corpus import inputs
from autoprompt.corpus.readers import FileOptions, Table, read_table

_LINE_ENDS = re.compile(r"\r\n|\r|\n")
_PIECES = ["good", "poor film", "a, b", "1;2", "x|y", 'say "no"', '"', '""', "'", "é", "日本", "NA", "null", " ", "#",
           "=1+1", "line\nbreak", "tab\there", "0", "-1", "3.5", "the soup was cold, and late.",
           "<b>", "{text}"]  # fmt: skip
_LABELS = ["neg", "pos", "0", "1", "2"]
_COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lambda data: lzma.compress(data, preset=0),
    ".zst": lambda data: pyarrow.Codec("zstd").compress(data, asbytes=True),
}  # fmt: skip


class _Colour(enum.Enum):
    RED = 1


_CELLS: list[Any] = [b"bytes", b"\xff", bytearray(b"a"), float("nan"), float("inf"), None, True, 3, 2.0, ["a", 1], [],
                     {"a": [b"b"]}, {1, 2}, _Colour.RED, object(), decimal.Decimal("1.5"), datetime.date(2024, 1, 1),
                     1j, "\ud800", "a\0", 10**5000, [[["a"]]], ("a", "b")]  # fmt: skip


def read_written(folder: Path, data: bytes) -> None:
    """``data`` is the seed of one file or list of rows. Raises AssertionError for a row that was lost."""
    rng = random.Random(data)  # noqa: S311
    kind = rng.choice((_delimited, _delimited, _stray, _json, _columnar, _in_memory))
    kind(folder, rng)


def check_lines(path: Path) -> Table:
    """The table, in which each line of the file is accounted for."""
    table = read_table(path)
    raw = path.read_bytes()
    if raw.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
        return table
    lines = _LINE_ENDS.split(raw.decode("utf-8-sig"))
    starts = [int(place.removeprefix("line ")) for place in table.places]
    for row, start, following in zip(table.rows, starts, [*starts[1:], len(lines) + 1], strict=True):
        own = 1 + sum(len(_LINE_ENDS.findall(cell)) for cell in row.values())
        between = lines[start - 1 + own : following - 1]
        assert not any(line.strip('" \t') for line in between), (
            f"lines between {start} and {following} are lost: {between}"
        )
    return table


def _text(rng: random.Random, avoid: str = "") -> str:
    text = " ".join(rng.choice(_PIECES) for _ in range(rng.randint(1, 4)))
    return "".join(" " if character in avoid else character for character in text)


def _packed(rng: random.Random, path: Path, data: bytes) -> Path:
    ending = rng.choice(list(_COMPRESSIONS)) if rng.random() < 0.3 else ""
    packed = path.with_name(path.name + ending)
    packed.write_bytes(_COMPRESSIONS[ending](data))
    return packed


def _delimited(folder: Path, rng: random.Random) -> None:
    """What a csv writer writes, with blank lines, titles, an index or empty columns around it."""
    delimiter = rng.choice(",,;\t|")
    # A tab and a line break within a cell of a tsv file look as two stray quotes do.
    rows = [[_text(rng, "\n" if delimiter == "\t" else ""), rng.choice(_LABELS)] for _ in range(rng.randint(1, 25))]
    header = ["text", "label"]
    ornament = rng.choice(("", "", "index", "empty", "trailing", "sep", "title", "blank", "none"))
    if ornament == "index":
        header, rows = ["", *header], [[str(number), *row] for number, row in enumerate(rows)]
    elif ornament == "empty":
        header, rows = [*header, "", ""], [[*row, "", ""] for row in rows]
    elif ornament == "trailing":
        rows = [[*row, ""] for row in rows]
    stream = io.StringIO(newline="")
    quoting = rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC))
    writer = csv.writer(stream, delimiter=delimiter, quoting=quoting, lineterminator=rng.choice(("\n", "\r\n")))
    writer.writerows(rows if ornament == "none" else [header, *rows])
    before = {"sep": f"sep={delimiter}\n", "title": "Reviews of the year\n", "blank": "\n\n"}.get(ornament, "")
    encoding = rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le"))
    name = "rows.tsv" if delimiter == "\t" and rng.random() < 0.5 else "rows.csv"
    path = _packed(rng, folder / name, (before + stream.getvalue()).encode(encoding))
    table = read_table(path, FileOptions(
        encoding="utf-16-le" if encoding == "utf-16-le" else None, no_header=ornament == "none",
        delimiter=delimiter if rng.random() < 0.3 or ornament in ("none", "title") else None,
    ))  # fmt: skip
    assert len(table.rows) == len(rows), (len(table.rows), len(rows))
    found = [tuple(row.values())[-2:] for row in table.rows]
    wanted = [tuple(row[1:3] if ornament == "index" else row[:2]) for row in rows]
    assert found == wanted, next(pair for pair in zip(found, wanted, strict=True) if pair[0] != pair[1])


def _stray(folder: Path, rng: random.Random) -> None:
    """Lines of which each is a row, with quotes wherever people type them."""
    delimiter = rng.choice(",\t;")
    count = rng.randint(2, 40)
    lines = [[_text(rng, f"\n\r{delimiter}\"'"), rng.choice(_LABELS)] for _ in range(count)]
    for _ in range(rng.randint(1, 5)):
        row, place = rng.choice(lines), rng.randrange(2)
        at = rng.choice((0, len(row[place]), rng.randint(0, len(row[place]))))
        row[place] = f'{row[place][:at]}"{row[place][at:]}'
    text = "\n".join(delimiter.join(row) for row in [["text", "label"], *lines])
    path = folder / ("rows.tsv" if delimiter == "\t" else "rows.csv")
    path.write_text(text, encoding="utf-8")
    table = check_lines(path)
    said = any("are one row" in note for note in table.notes)
    assert len(table.rows) == count or said or _quoted_alike(text, count, len(table.rows)), (len(table.rows), count)


def _quoted_alike(text: str, count: int, found: int) -> bool:
    """Whether two or three lines make one row by their quotes alone, with nothing repeated in the file to tell it."""
    return count - found <= 2 and count < 10 and text.count('"') > 1


def _json(folder: Path, rng: random.Random) -> None:
    rows = [{"text": _text(rng), "label": rng.choice([*_LABELS, None, 1, 2.5, True, ["a"]])}
            for _ in range(rng.randint(1, 20))]  # fmt: skip
    columns = {name: [row[name] for row in rows] for name in ("text", "label")}
    shapes: list[tuple[str, Any]] = [
        ("rows.json", rows), ("rows.json", {"data": rows}), ("rows.json", columns), ("rows.jsonl", rows),
        ("rows.json", {str(number): row for number, row in enumerate(rows)}),
        ("rows.json", {name: {str(n): cell for n, cell in enumerate(cells)} for name, cells in columns.items()}),
    ]  # fmt: skip
    name, shape = rng.choice(shapes)
    text = json.dumps(shape, ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.5:
        name, text = rng.choice(("rows.jsonl", "rows.json", "rows.ndjson")), "\n".join(map(json.dumps, rows))
    table = read_table(_packed(rng, folder / name, text.encode(rng.choice(("utf-8", "utf-8-sig", "utf-16")))))
    assert list(table.rows) == rows


def _columnar(folder: Path, rng: random.Random) -> None:
    texts = [_text(rng) for _ in range(rng.randint(1, 20))]
    array = rng.choice((
        lambda: pyarrow.array(texts), lambda: pyarrow.array(texts, pyarrow.large_string()),
        lambda: pyarrow.array([text.encode() for text in texts]), lambda: pyarrow.array(texts).dictionary_encode(),
        lambda: pyarrow.array([text.encode().ljust(200, b"\0") for text in texts], pyarrow.binary(200)),
    ))()  # fmt: skip
    table = pyarrow.table({"text": array, "label": [rng.choice(_LABELS) for _ in texts]})
    if rng.random() < 0.5:
        path = folder / "rows.parquet"
        parquet.write_table(table, path)
    else:
        path = folder / "rows.arrow"
        opened = rng.choice((pyarrow.ipc.new_stream, pyarrow.ipc.new_file))
        with opened(str(path), table.schema) as writer:
            writer.write_table(table)
    assert [row["text"] for row in read_table(path).rows] == texts


def _in_memory(_folder: Path, rng: random.Random) -> None:
    """Cells of all types: read, or refused in a sentence."""
    cells = [rng.choice([*_CELLS, *_PIECES]) for _ in range(rng.randint(1, 4))]
    rows: Sequence[Any] = [{"text": cell, "other": rng.choice(_CELLS)} for cell in cells]
    shapes: list[Any] = [rows, {"text": cells}, tuple(rows), rows[:1]]
    found = inputs(rng.choice(shapes), ["text"])
    assert len(found) in (1, len(cells))
