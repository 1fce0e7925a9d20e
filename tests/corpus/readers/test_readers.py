"""Data files of every kind, as strangers write them: read whole, with a note, or refused with advice."""

import bz2
import gzip
import json
import lzma
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from autoprompt.corpus import Corpus, chat, inputs, load
from autoprompt.corpus.readers import FileOptions, format_names, read_inputs, read_table
from autoprompt.errors import InputError, UsageError

WORDS = (("good", "pos"), ("poor", "neg"))
PAIRS = [(f"the film was {word} and long, take {n}", label) for n in range(8) for word, label in WORDS]
TEXTS = sorted(text for text, _label in PAIRS)


def _lines(pairs: Sequence[Sequence[str]] = PAIRS, delimiter: str = ";", header: str = "text;label") -> str:
    rows = [delimiter.join(pair) for pair in pairs]
    return "\n".join([header.replace(";", delimiter), *rows]) + "\n"


def _write(path: Path, content: str | bytes, encoding: str = "utf-8") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return str(path)


def _all(corpus: Corpus) -> list[str]:
    return sorted(row.fields["text"] for row in corpus.train + corpus.validation + corpus.test)


def _loaded(source: str, *notes: str, **options: Any) -> Corpus:
    """The corpus, which has all rows and these notes and no others."""
    corpus = load(source, **options)
    assert _all(corpus) == TEXTS
    assert len(corpus.warnings) == len(notes)
    for warning, note in zip(corpus.warnings, notes, strict=True):
        assert note in warning
    return corpus


def _refused(source: str, *parts: str, kind: type[Exception] = InputError, **options: Any) -> None:
    with pytest.raises(kind) as caught:
        load(source, **options)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


# --- quotes ---------------------------------------------------------------------------------------------------


def test_stray_quotes_of_a_tsv_file_lose_no_row(tmp_path: Path) -> None:
    lines = _lines(delimiter="\t").splitlines()
    one = [*lines[:4], f'"{lines[4]}', *lines[5:]]
    two = [*one[:9], lines[9].replace("\t", '"\t'), *one[10:]]
    for name, changed in (("one.tsv", one), ("two.tsv", two), ("two.csv", two)):
        corpus = load(_write(tmp_path / name, "\n".join(changed)))
        rows = corpus.train + corpus.validation + corpus.test
        assert len(rows) == len(PAIRS)
        assert {f"{row.fields['text']}\t{row.label}" for row in rows} == set(changed[1:])


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('text\tlabel\n"a ""b"""\t0\nc\t1\n', 'a "b"'),  # quotes where a cell needs them
        ('text\tlabel\n"a, b"\t0\nc\t1\n', "a, b"),  # and Excel's
        ('text\tlabel\n"a"\t0\n"c"\t1\n', "a"),  # every cell that is no number
        ('text\tlabel\n"a\nb"\t0\nc\t1\n', "a\nb"),
        ('text\tlabel\n"a"\t0\nc\t1\n', '"a"'),  # some: they are text
        ('text\tlabel\n"a, b"\t0\nc, d\t1\n', '"a, b"'),
        ('text\tlabel\n"a" b\t0\n"c"\t1\n', '"a" b'),
        ('text\tlabel\n"a ""b"""\t0\nc "d"\t1\n', '"a ""b"""'),
    ],
)
def test_a_tsv_file_is_quoted_throughout_or_not_at_all(tmp_path: Path, text: str, read: str) -> None:
    assert read_table(Path(_write(tmp_path / "t.tsv", text))).rows[0]["text"] == read


def test_a_stray_quote_of_a_csv_file_that_swallows_rows_is_refused_with_its_lines(tmp_path: Path) -> None:
    rows = [f"soup number {n},{n % 2}" for n in range(20)]
    rows[4], rows[11] = f'"{rows[4]}', rows[11].replace(",", '",')
    text = "\n".join(["text,label", *rows])
    _refused(_write(tmp_path / "t.csv", text), "t.csv:6 opens a quote that closes in line 13", "stray")
    _refused(_write(tmp_path / "s.csv", text.replace(",", ";")), "s.csv:6 opens a quote that closes in line 13")
    turned = [",".join(reversed(row.split(","))) for row in ["text,label", *(r.replace('"', "") for r in rows)]]
    turned[5], turned[9] = turned[5].replace(",", ',"'), f'{turned[9]}"'
    _refused(_write(tmp_path / "turned.csv", "\n".join(turned)), "turned.csv:6 opens a quote", "line 10")


@pytest.mark.parametrize("delimiter", [",", ";", "|"])
def test_quotes_around_all_rows_of_a_csv_file_are_stray(tmp_path: Path, delimiter: str) -> None:
    """The delimiter is found although every row lies between two quotes."""
    rows = "\n".join(f"film {n}{delimiter}{'neg' if n % 2 else 'pos'}" for n in range(14))
    _refused(_write(tmp_path / "t.csv", f'text{delimiter}label\n"{rows}"'), "t.csv:2", "closes in line 15", "stray")


def test_cells_of_several_lines_are_no_stray_quotes(tmp_path: Path) -> None:
    log = "\n".join(f"12:0{n}, error {n}, retried" for n in range(9))
    rows = [*PAIRS, (f"Dear all,\n\nit broke, {log}\nThanks, Ann", "pos"), ("Hi,\nfine", "neg")]
    quoted = [(f'"{text}"', label) for text, label in rows]
    corpus = load(_write(tmp_path / "t.csv", _lines(quoted, ",")))
    assert _all(corpus) == sorted(text for text, _label in rows)


# --- delimiters and headers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("delimiter", "name"), [(";", "semicolon"), ("\t", "tab"), ("|", "vertical bar")])
def test_another_delimiter_is_found_and_said(tmp_path: Path, delimiter: str, name: str) -> None:
    _loaded(_write(tmp_path / "t.csv", _lines(delimiter=delimiter)), f"t.csv was read with a {name} between cells")


@pytest.mark.parametrize("header", ["text,label", "a;b,label", "text|raw,label", "text,a;b;c"])
def test_a_comma_file_is_never_read_with_another_delimiter(tmp_path: Path, header: str) -> None:
    lines = [f"the {n} soup; fine; and | hot,{'pn'[n % 2]}" for n in range(12)]
    table = read_table(Path(_write(tmp_path / "t.csv", "\n".join([header, *lines]))))
    assert (table.columns, len(table.rows), table.notes) == (tuple(header.split(",")), 12, ())
    single = _write(tmp_path / "single.csv", "text\nsoup; fine\nlamp; dull\n")
    assert [row["text"] for row in read_table(Path(single)).rows] == ["soup; fine", "lamp; dull"]


def test_a_row_of_another_length_is_named_whatever_the_delimiter(tmp_path: Path) -> None:
    lines = [*_lines().splitlines(), "one; two; three;pos"]
    _refused(_write(tmp_path / "t.csv", "\n".join(lines)), "t.csv:18 has 4 cells where the header has 2")


def test_commas_of_prose_are_no_delimiters(tmp_path: Path) -> None:
    rows = [f"{label};{text}" for text, label in PAIRS]
    table = read_table(Path(_write(tmp_path / "t.csv", "\n".join(rows))), FileOptions(no_header=True))
    assert [row["column1"] for row in table.rows] == [label for _text, label in PAIRS]


def test_the_delimiter_can_be_said(tmp_path: Path) -> None:
    plain = [(text.replace(",", ""), label) for text, label in PAIRS]
    for delimiter in ("~", ":"):
        source = _write(tmp_path / "t.csv", _lines(plain, delimiter))
        assert len(_all(load(source, delimiter=delimiter))) == len(PAIRS)
    assert load(_write(tmp_path / "t.txt", _lines(delimiter="\t")), delimiter="tab").fields == ("text",)
    both = _write(tmp_path / "both.csv", "a;b|c\n1;2|3\n")
    _refused(both, "a semicolon or a vertical bar", "--delimiter")
    for wrong in ("", "ab", '"', "\n"):
        with pytest.raises(UsageError, match="--delimiter"):
            load(source, delimiter=wrong)


@pytest.mark.parametrize("sep", ["sep=,", '"sep=,"', "SEP=,", "sep=,,"])
def test_excels_own_first_line(tmp_path: Path, sep: str) -> None:
    quoted = [(f'"{text}"', label) for text, label in PAIRS]
    _loaded(_write(tmp_path / "t.csv", f"{sep}\r\n" + _lines(quoted, ",")))
    _loaded(_write(tmp_path / "s.csv", "sep=;\n" + _lines()))
    _refused(_write(tmp_path / "bad.csv", "sep=;\ntext;label\na;b\nc\n"), "bad.csv:4")


def test_a_title_above_the_header(tmp_path: Path) -> None:
    quoted = [(f'"{text}"', label) for text, label in PAIRS]
    table = _lines(quoted, ",")
    _loaded(_write(tmp_path / "a.csv", "Reviews of 2024\n\n" + table), "1 blank line", "line 3 was taken as the header")
    _loaded(_write(tmp_path / "b.csv", "# made by export\n# on Monday\n" + table), "line 3 was taken")
    _refused(_write(tmp_path / "c.csv", "Reviews\n" + table), "c.csv:1 has one cell", "title", "--no-header")
    _refused(_write(tmp_path / "d.csv", "Reviews of 2024,\n" + table), "d.csv:1 names one of 2 columns", "title")


def test_cells_and_columns_without_content(tmp_path: Path) -> None:
    quoted = [(f'"{text}"', label) for text, label in PAIRS]
    lines = _lines(quoted, ",").splitlines()
    trailing = "\n".join([lines[0], *(f"{line}," for line in lines[1:])])
    _loaded(_write(tmp_path / "a.csv", trailing), "ends in an empty cell that the header lacks")
    wide = "\n".join([f"{lines[0]},,,", *(f"{line},,," for line in lines[1:])])
    _loaded(_write(tmp_path / "b.csv", wide), "3 empty columns without a name were left out")
    blank = "\n".join([*lines[:5], "", "  ", *lines[5:], "", ""])
    _loaded(_write(tmp_path / "c.csv", blank), "2 blank lines were skipped (the first is line 6)")
    numbered = "\n".join([lines[0], *(f'"{n}",{line}' for n, line in enumerate(lines[1:], start=1))])
    _loaded(_write(tmp_path / "d.csv", numbered), "each row begins with its number")
    some = "\n".join([lines[0], f"{lines[1]},", *lines[2:]])
    _refused(_write(tmp_path / "e.csv", some), "e.csv:2 has 3 cells where the header has 2")
    full = read_table(Path(_write(tmp_path / "f.csv", "text,label,\na,b,c\nd,e,\n")))
    assert full.columns == ("text", "label", "Unnamed: 2")
    assert "column 3 has no name" in full.notes[0]
    assert read_table(Path(_write(tmp_path / "g.csv", ",text,label\n0,a,b\n"))).columns == ("", "text", "label")
    _refused(_write(tmp_path / "h.csv", ",,\n1,2,3\n"), "h.csv:1 is a header without names")


@pytest.mark.parametrize(
    "rows",
    [
        [f"{n % 2},The soup was number {n}" for n in range(12)],
        [f'"{n % 4 + 1}","Title {n}","The soup was number {n}"' for n in range(12)],
        [f"{'pn'[n % 2]},The soup was number {n}" for n in range(12)],
        [f"{n % 2},Nice" for n in range(12)],
        [f"What is the sum of {n}?,It is {n} and no more." for n in range(12)],
        [f"{n};The soup was number {n}" for n in range(17, 30)],
    ],
)
def test_a_file_without_a_header(tmp_path: Path, rows: list[str]) -> None:
    source = _write(tmp_path / "t.csv", "\n".join(rows))
    _refused(source, "t.csv:1 looks like a row of data", "is there a header?", "--no-header")
    table = read_table(Path(source), FileOptions(no_header=True))
    assert len(table.rows) == len(rows)
    assert table.columns[:2] == ("column1", "column2")
    names = ",".join("abc"[: len(table.columns)])
    assert read_table(Path(source), FileOptions(column_names=names)).columns == tuple(names.split(","))
    with pytest.raises(InputError, match="--column-names names 5"):
        read_table(Path(source), FileOptions(column_names="a,b,c,d,e"))


@pytest.mark.parametrize("header", ["text,label", "0,1", ",0,1", "spam,text", "id,#1 String", "Review Text?,label",
                                    "2019,label", "Q1. How was it,label"])  # fmt: skip
def test_headers_that_are_some(tmp_path: Path, header: str) -> None:
    rows = [",".join([("spam", "ham")[n % 2], f"text {n}", "x"][: header.count(",") + 1]) for n in range(10)]
    assert len(read_table(Path(_write(tmp_path / "t.csv", "\n".join([header, *rows])))).rows) == 10


def test_labels_and_no_header_through_load(tmp_path: Path) -> None:
    rows = [f"{n % 2},The soup was number {n}" for n in range(40)]
    source = _write(tmp_path / "t.csv", "\n".join(rows))
    corpus = load(source, no_header=True, label_column="column1")
    assert (corpus.fields, corpus.labels) == (("column2",), ("0", "1"))
    corpus = load(source, column_names="label, text")
    assert (corpus.fields, len(_all(corpus))) == (("text",), 40)
    for names in ("a,a", "a,", ""):
        with pytest.raises(UsageError, match="--column-names"):
            load(source, column_names=names)


# --- encodings and compression ----------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.txt"])
def test_a_byte_order_mark_says_the_encoding(tmp_path: Path, encoding: str, name: str) -> None:
    source = _write(tmp_path / name, _lines(delimiter="\t"), encoding)
    _loaded(source, *(["a tab"] if name == "t.csv" else []))
    rows = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in PAIRS)
    _loaded(_write(tmp_path / "t.jsonl", rows, encoding))


def test_other_encodings_are_named(tmp_path: Path) -> None:
    text = _lines([(f"café {text}", label) for text, label in PAIRS])
    source = _write(tmp_path / "t.csv", text, "cp1252")
    _refused(source, "t.csv:2", "0xe9", "not UTF-8", "--encoding cp1252")
    assert all(found.startswith("café ") for found in _all(load(source, encoding="cp1252")))
    _refused(source, "t.csv:2", "0xe9", "not ascii", "another --encoding", encoding="ascii")
    wide = _write(tmp_path / "w.csv", text, "utf-16-le")
    _refused(wide, "--encoding utf-16-le")
    assert len(_all(load(wide, encoding="utf-16-le"))) == len(PAIRS)
    for wrong in ("cp9999", "base64", "undefined", "rot13", "a\0b"):
        with pytest.raises(UsageError, match="--encoding"):
            load(source, encoding=wrong)
    _refused(_write(tmp_path / "seven.csv", b"text,label\n+2AA-,b\n"), "lone surrogate", encoding="utf-7")


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress,
    "zst": lambda data: pyarrow.Codec("zstd").compress(data, asbytes=True),
}  # fmt: skip


@pytest.mark.parametrize("ending", PACKERS)
def test_compressed_files(tmp_path: Path, ending: str) -> None:
    pack = PACKERS[ending]
    packed = pack(_lines(delimiter="\t").encode())
    assert _loaded(_write(tmp_path / f"rows.tsv.{ending.upper()}", packed)).name == "rows"
    _refused(_write(tmp_path / f"cut.tsv.{ending}", packed[:-9]), f"cut.tsv.{ending}", "copy it again")
    _refused(_write(tmp_path / f"none.tsv.{ending}", b"text\tlabel\n"), f"none.tsv.{ending}", "copy it again")
    _refused(_write(tmp_path / f"rows.parquet.{ending}", packed), "decompress it")
    _refused(_write(tmp_path / "unnamed.csv", packed), "unnamed.csv")


def test_a_decompression_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    pack = lzma.LZMACompressor(preset=0)
    bomb = b"".join(pack.compress(b"a" * (1 << 20)) for _ in range(80)) + pack.flush()
    source = _write(tmp_path / "bomb.csv.xz", bomb)
    tracemalloc.start()
    _refused(source, "bomb.csv.xz expands to more than 64 MiB")
    assert tracemalloc.get_traced_memory()[1] < 200 << 20
    tracemalloc.stop()


def test_a_parquet_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    texts = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 2000, pyarrow.int32()), ["a" * 100_000])
    parquet.write_table(pyarrow.table({"text": texts, "label": ["b"] * 2000}), tmp_path / "bomb.parquet")
    _refused(str(tmp_path / "bomb.parquet"), "expands to more than 64 MiB")
    parquet.write_table(pyarrow.table({"text": pyarrow.nulls(20_000_000)}), tmp_path / "rows.parquet")
    _refused(str(tmp_path / "rows.parquet"), "20000000 rows, which is too many for its size")


def test_too_many_columns(tmp_path: Path) -> None:
    header = ",".join(f"c{n}" for n in range(100_000))
    _refused(_write(tmp_path / "t.csv", f"{header}\n{header}\n"), "100000 columns", "at most 10000")


# --- json, parquet, arrow, Excel ----------------------------------------------------------------------------------


def test_json_files(tmp_path: Path) -> None:
    rows = [{"text": text, "label": label} for text, label in PAIRS]
    _loaded(_write(tmp_path / "array.json", json.dumps(rows, indent=2)))
    _loaded(_write(tmp_path / "data.json", json.dumps({"version": 1, "data": rows})), "those of 'data'")
    _loaded(_write(tmp_path / "lines.json", "\n".join(map(json.dumps, rows))))
    _loaded(_write(tmp_path / "rows.ndjson", "\n\n".join(map(json.dumps, rows))), "15 blank lines were skipped")
    splits = {"train": rows, "test": rows}
    _refused(_write(tmp_path / "splits.json", json.dumps(splits)), "several arrays of rows ('train', 'test')")
    _refused(_write(tmp_path / "list.json", "[[1, 2]]"), "row 1 is no JSON object")
    _refused(_write(tmp_path / "number.json", "17"), "no array of objects")
    _refused(_write(tmp_path / "odd.json", '{"a": {"b": 1}, "c": {"d": 2}}'), "neither side is numbered")
    _refused(_write(tmp_path / "twice.jsonl", '{"text": "a", "text": "b"}\n'), "twice.jsonl:1", "'text' stands twice")
    _refused(_write(tmp_path / "broken.json", '[{"text": "a"},\n'), "broken.json:1")
    _refused(_write(tmp_path / "u.json", '[{"text": "\\ud800"}]'), "u.json: row 1", "surrogate")


def test_parquet_and_arrow_cells_of_all_types(tmp_path: Path) -> None:
    size = max(len(text.encode()) for text in TEXTS)
    labels = [label for _text, label in PAIRS]
    texts = [text for text, _label in PAIRS]
    types: list[Any] = [pyarrow.binary(), pyarrow.large_binary(), pyarrow.large_string(), pyarrow.string()]
    arrays = [pyarrow.array(texts, pyarrow.string()).cast(kind) for kind in types]
    arrays.append(pyarrow.array([text.encode().ljust(size, b"\0") for text in texts], pyarrow.binary(size)))
    arrays.append(pyarrow.array(texts).dictionary_encode())
    for number, array in enumerate(arrays):
        table = pyarrow.table({"text": array, "label": pyarrow.array([label.encode() for label in labels])})
        parquet.write_table(table, tmp_path / f"{number}.parquet")
        assert _loaded(str(tmp_path / f"{number}.parquet")).labels == ("neg", "pos")
        for opened, name in ((pyarrow.ipc.new_stream, "s.arrow"), (pyarrow.ipc.new_file, "f.feather")):
            with opened(str(tmp_path / name), table.schema) as writer:
                writer.write_table(table)
            _loaded(str(tmp_path / name))
    bad = pyarrow.table({"text": texts, "label": [b"\xff"] * len(texts), "picture": [b"\xff\xd8"] * len(texts)})
    parquet.write_table(bad, tmp_path / "bad.parquet")
    _refused(str(tmp_path / "bad.parquet"), "bad.parquet: row 1 has bytes that are not UTF-8", "'label'")
    good = bad.set_column(1, "label", pyarrow.array(labels))
    parquet.write_table(good, tmp_path / "good.parquet")
    assert _loaded(str(tmp_path / "good.parquet")).fields == ("text",)
    with pyarrow.ipc.new_stream(str(tmp_path / "s.arrow"), pyarrow.schema([("text", pyarrow.string())])) as writer:
        writer.write_table(pyarrow.table({"text": ["a" * 7, "b" * 9]}))
    broken = (tmp_path / "s.arrow").read_bytes().replace(b"\x07\0\0\0\x10\0\0\0", b"\xff\xff\xff\x7f\x10\0\0\0")
    _refused(_write(tmp_path / "broken.arrow", broken), "broken.arrow is not a readable arrow file", "offset")
    _refused(_write(tmp_path / "no.arrow", b"ARROW1 nothing"), "no.arrow is not a readable arrow file")
    _refused(_write(tmp_path / "none.arrow", b"nothing at all"), "none.arrow is not a readable arrow file")


def test_dates_and_decimals_are_text(tmp_path: Path) -> None:
    from datetime import UTC, datetime
    from decimal import Decimal

    table = pyarrow.table({
        "text": ["a", "b"], "when": [datetime(2024, 5, 1, 12, tzinfo=UTC), None], "price": [Decimal("1.50"), None],
    })  # fmt: skip
    parquet.write_table(table, tmp_path / "t.parquet")
    rows = read_table(tmp_path / "t.parquet").rows
    assert rows[0] == {"text": "a", "when": "2024-05-01T12:00:00+00:00", "price": "1.50"}
    assert rows[1] == {"text": "b", "when": None, "price": None}


def test_an_excel_workbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    sheet = book.active
    for row in (["text", "label", None], *PAIRS[:5], [None, None], *PAIRS[5:]):
        sheet.append(list(row))
    book.create_sheet("empty")
    book.save(tmp_path / "t.xlsx")
    _loaded(str(tmp_path / "t.xlsx"), "1 blank row was skipped (the first is row 7)")
    other = book.create_sheet("other")
    other.append(["a"])
    book.save(tmp_path / "two.xlsx")
    _refused(str(tmp_path / "two.xlsx"), "several sheets ('Sheet', 'other')")
    _refused(_write(tmp_path / "no.xlsx", b"PK\x03\x04nothing"), "no.xlsx is not a readable workbook")
    with zipfile.ZipFile(tmp_path / "bomb.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b" " * (70 << 20))
    _refused(str(tmp_path / "bomb.xlsx"), "bomb.xlsx expands to more than 64 MiB")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    _refused(str(tmp_path / "t.xlsx"), "pip install 'autoprompt-engine[excel]'", kind=UsageError)


@pytest.mark.parametrize(
    ("name", "advice"),
    [("t.zip", "unzip t.zip"), ("t.tar.gz", "tar xf t.tar.gz"), ("t.xls", "save it as .xlsx"),
     ("t.pkl", "runs the code in it"), ("t.dta", "pandas.read_stata('t.dta')"), ("t.docx", format_names())],
)  # fmt: skip
def test_other_formats_say_how_they_are_converted(tmp_path: Path, name: str, advice: str) -> None:
    _refused(_write(tmp_path / name, b"x"), name, advice)


def test_options_that_a_source_does_not_take(tmp_path: Path) -> None:
    source = _write(tmp_path / "t.jsonl", '{"text": "a", "label": "b"}\n')
    _refused(source, "takes no --delimiter", delimiter=";")
    _refused(source, "takes no --no-header", no_header=True)
    _refused("tickets", "tickets is no data file", kind=UsageError, encoding="cp1252")
    _refused("hub:a/b", "hub:a/b is no data file", kind=UsageError, no_header=True)


def test_a_text_file_is_lines_to_answer_and_a_table_to_learn_from(tmp_path: Path) -> None:
    lines = Path(_write(tmp_path / "t.txt.gz", gzip.compress("caf\xe9\nsoup, hot\n".encode("cp1252"))))
    table = read_inputs(lines, ("text",), FileOptions(encoding="cp1252"))
    assert [row["text"] for row in table.rows] == ["caf\xe9", "soup, hot"]
    _refused(_write(tmp_path / "plain.txt", "soup\nlamp\n"), "a text a line and no columns")
    with pytest.raises(InputError, match="fields a, b"):
        read_inputs(lines, ("a", "b"))
    assert len(read_inputs(Path(_write(tmp_path / "t.csv", _lines())), ("text",)).rows) == len(PAIRS)


# --- chats ----------------------------------------------------------------------------------------------------------


def _chat(text: str, label: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": "Judge."}, {"role": "user", "content": text},
            {"role": "assistant", "content": label}]  # fmt: skip


def test_chats_are_the_text_before_the_last_answer_and_that_answer(tmp_path: Path) -> None:
    chats = "".join(json.dumps({"messages": _chat(*pair)}) + "\n" for pair in PAIRS)
    corpus = load(_write(tmp_path / "chat.jsonl", chats))
    assert (corpus.fields, corpus.label_column, corpus.labels) == (("text",), "response", ("neg", "pos"))
    assert _all(corpus) == [f"Judge.\n{text}" for text in TEXTS]
    assert "'messages' was read as 'text'" in corpus.warnings[0]
    assert load(str(tmp_path / "chat.jsonl"), target_column="response", shots=2).task == "generation"
    turns = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}, {"from": "human", "value": "Bye"}]
    rows = [{"conversations": [*turns, {"from": "gpt", "value": "bye"}], "n": n} for n in range(2)]
    table = chat.flattened(read_table(Path(_write(tmp_path / "share.json", json.dumps(rows)))))
    assert table.rows[0] == {"text": "user: Hi\nassistant: Hello\nuser: Bye", "response": "bye", "n": 0}
    own = [{"messages": _chat("good", "pos"), "text2": "t", "response": "mine", "id": n} for n in range(2)]
    path = Path(_write(tmp_path / "own.jsonl", "".join(json.dumps(row) + "\n" for row in own)))
    table = chat.flattened(read_table(path))
    assert table.rows[0]["response"] == "pos", "the note says that it is the last answer"
    table = chat.flattened(read_table(path), answered=False)
    assert (table.rows[0]["response"], "response" in table.columns) == ("mine", True)
    waiting = read_table(Path(_write(tmp_path / "ask.jsonl", json.dumps({"messages": _chat("a", "b")[:2]}))))
    assert [row.fields for row in inputs(waiting, ["text"])] == [{"text": "Judge.\na"}]
    for wrong, said in [
        (turns[:3], "whose last message is of the user"), ([{"role": "assistant", "content": "a"}], "an answer alone"),
        ([*turns, {"from": "gpt", "value": None}], "a message that is no text"), ([], "no chat"),
    ]:  # fmt: skip
        bad = json.dumps([*rows, {"conversations": wrong}])
        _refused(_write(tmp_path / "bad.json", bad), "bad.json: row 3", said)
