"""Rows that other programs write are read as they were, with all quotes, delimiters, encodings and line breaks."""

import bz2
import csv
import gzip
import io
import json
import lzma
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas
import pyarrow
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from autoprompt.corpus.readers import FileOptions, Table, read_table
from autoprompt.errors import InputError

QUICK = settings(max_examples=120, deadline=None)
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\ufeff")
CELLS = st.text(st.one_of(st.sampled_from("\",;\t|\n'#= ab01"), CHARACTERS), max_size=12)
LABELS = st.sampled_from(["neg", "pos", "0", "1", "NA", ""])
ROWS = st.lists(st.tuples(CELLS, LABELS, CELLS), min_size=1, max_size=12)
HEADER = ("text", "label", "note")
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress,
    ".zst": lambda data: pyarrow.Codec("zstd").compress(data, asbytes=True),
}  # fmt: skip


def _read(name: str, data: bytes, options: FileOptions | None = None) -> Table:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        return read_table(path, options)


def _tried(path: Path) -> tuple[Table | None, str]:
    """The table, or the refusal."""
    try:
        return read_table(path), ""
    except InputError as error:
        return None, str(error)


def _read_or_refused(name: str, data: bytes) -> tuple[Table | None, str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        return _tried(path)


def _cells(table: Table) -> list[tuple[Any, ...]]:
    return [tuple(row.get(name) for name in HEADER) for row in table.rows]


def _written(rows: Sequence[Sequence[str]], **dialect: Any) -> str:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, **dialect)
    writer.writerow(HEADER)
    writer.writerows(rows)
    return stream.getvalue()


@QUICK
@given(
    rows=ROWS,
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    packed=st.sampled_from(sorted(COMPRESS)),
)
@example([('a "quoted" word, and\na line', "0", "")], ",", csv.QUOTE_MINIMAL, "\n", "utf-8", "")
@example([("tab\there", "neg", 'two ""')], "\t", csv.QUOTE_MINIMAL, "\r\n", "utf-16", ".xz")
def test_what_pythons_csv_module_writes(
    rows: list[tuple[str, str, str]], delimiter: str, quoting: int, end: str, encoding: str, packed: str
) -> None:
    # Between two stray quotes of a tsv file lie a tab and a line break too: there, lines are rows.
    assume(delimiter != "\t" or not any("\t" in cell and "\n" in cell for row in rows for cell in row))
    text = _written(rows, delimiter=delimiter, quoting=quoting, lineterminator=end)
    name = f"rows.{'tsv' if delimiter == chr(9) else 'csv'}{packed}"
    table, refusal = _read_or_refused(name, COMPRESS[packed](text.encode(encoding)))
    if table is None:
        assert "opens a quote" in refusal  # said, and with its lines
    else:
        assert _cells(table) == rows
        assert table.columns == HEADER


@QUICK
@given(rows=st.lists(st.tuples(st.text("ab\"' ,;", max_size=10), LABELS), min_size=1, max_size=20))
def test_quotes_of_an_unquoted_tsv_file_are_text(rows: list[tuple[str, str]]) -> None:
    rows = [('a 5" disk', "neg"), *rows]
    table = _read("rows.tsv", "".join("\t".join(row) + "\n" for row in [("text", "label"), *rows]).encode())
    assert [(row["text"], row["label"]) for row in table.rows] == rows


STRAY = st.tuples(st.integers(0, 39), st.sampled_from([0, 1, 2, 3]))


@settings(max_examples=300, deadline=None)
@given(strays=st.lists(STRAY, min_size=1, max_size=5), first=st.booleans(), unique=st.booleans())
@example([(5, 0), (6, 1)], False, False)
@example([(5, 0), (25, 1)], False, True)
@example([(0, 0), (1, 1)], False, False)
@example([(38, 2), (38, 2), (38, 2), (39, 3)], False, False)
def test_stray_quotes_of_a_csv_file_never_lose_a_row(strays: list[tuple[int, int]], first: bool, unique: bool) -> None:
    """At the beginning and end of cells, with the label first or last, or a text of its own in every row."""
    lines = [[f"The film was number {n} of all", f"answer {n}" if unique else str(n % 2)] for n in range(40)]
    for line, place in strays:
        cell = lines[line][place // 2]
        lines[line][place // 2] = f'"{cell}' if place % 2 == 0 else f'{cell}"'
    order = slice(None, None, -1) if first else slice(None)
    text = "".join(",".join(row[order]) + "\n" for row in [["text", "label"], *lines])
    table, refusal = _read_or_refused("rows.csv", text.encode())
    if table is None:
        assert "rows.csv:" in refusal
    else:
        # Where no column repeats, a text of two lines looks as two rows with a stray quote each do: it is a note.
        assert len(table.rows) == 40 or (unique and "are one row" in " ".join(table.notes))


VALUES = st.one_of(st.text(CHARACTERS, max_size=8), st.integers(-5, 5), st.booleans(), st.none())


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.fixed_dictionaries({"text": CELLS, "label": VALUES}), min_size=1, max_size=10))
def test_json_in_every_shape(rows: list[dict[str, Any]]) -> None:
    columns = {name: [row[name] for row in rows] for name in ("text", "label")}
    indexed = {str(number): row for number, row in enumerate(rows)}
    nested = {name: {str(n): cell for n, cell in enumerate(cells)} for name, cells in columns.items()}
    split = {
        "columns": list(columns),
        "index": list(range(len(rows))),
        "data": list(zip(*columns.values(), strict=True)),
    }
    shapes: list[Any] = [rows, {"data": rows}, {"version": "1", "rows": rows}, columns, indexed, nested, split]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    for name in ("rows.json", "rows.jsonl", "rows.ndjson"):
        assert list(_read(name, lines.encode()).rows) == rows
    for shape in shapes:
        assert list(_read("rows.json", json.dumps(shape, indent=1).encode("utf-16")).rows) == rows
    assert list(_read("rows.jsonl", json.dumps(rows, indent=1).encode()).rows) == rows


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.tuples(CELLS, LABELS, CELLS), min_size=1, max_size=10))
def test_what_pandas_writes(rows: list[tuple[str, str, str]]) -> None:
    frame = pandas.DataFrame(rows, columns=list(HEADER))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in ("a.csv", "a.csv.gz", "a.csv.xz", "a.csv.bz2"):
            frame.to_csv(folder / file, index=False)
        frame.to_csv(folder / "semicolon.csv", index=False, sep=";")
        frame.to_csv(folder / "indexed.csv")
        for orient in ("records", "columns", "index", "split", "table"):
            frame.to_json(folder / f"{orient}.json", orient=orient)
        frame.to_json(folder / "a.jsonl.gz", orient="records", lines=True)
        frame.to_parquet(folder / "a.parquet")
        frame.to_feather(folder / "a.feather")
        for path in sorted(folder.iterdir()):
            table, refusal = _tried(path)
            assert "opens a quote" in refusal if table is None else _cells(table) == rows, path.name
