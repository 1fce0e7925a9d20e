"""The numbered faults of the data: what is wrong is said in one sentence with its place, and exit code 3."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import commands
import hub
import pyarrow
import pytest
from pyarrow import parquet

from autoprompt.corpus import from_rows, load
from autoprompt.errors import InputError, NotFoundError

WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")


def _pairs(each: int = 5, labels: Sequence[str] = ("good", "bad"), mark: str = "") -> list[tuple[str, str]]:
    return [(f"{label} {WORDS[n % 6]} film {n}{mark}", label) for label in labels for n in range(each)]


def _csv(path: Path, pairs: Sequence[tuple[str, str]], extra: str = "") -> str:
    rows = "".join(f"{text},{label}\n" for text, label in pairs)
    path.write_text(f"text,label\n{rows}{extra}", encoding="utf-8")
    return str(path)


def _jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def _refused(source: str, *parts: str, **options: Any) -> str:
    """The message of the refusal, which is one line and holds the parts."""
    with pytest.raises(InputError) as caught:
        load(source, **options)
    message = str(caught.value)
    assert caught.value.exit_code == 3
    assert "\n" not in message
    for part in parts:
        assert part in message
    return message


def test_fault_01_missing_empty_or_header_only_file(tmp_path: Path) -> None:
    _refused(str(tmp_path / "absent.csv"), "no file", "absent.csv")
    for suffix in ("csv", "tsv", "jsonl", "parquet"):
        (tmp_path / f"empty.{suffix}").touch()
        _refused(str(tmp_path / f"empty.{suffix}"), f"empty.{suffix} is empty")
    (tmp_path / "header.csv").write_text("text,label\n", encoding="utf-8")
    _refused(str(tmp_path / "header.csv"), "header.csv", "no rows")
    (tmp_path / "blank.jsonl").write_text("\n\n", encoding="utf-8")
    _refused(str(tmp_path / "blank.jsonl"), "blank.jsonl", "no rows")
    (tmp_path / "nothing").mkdir()
    _refused(str(tmp_path / "nothing"), "nothing", "train")
    (tmp_path / "reviews.docx").write_text("x", encoding="utf-8")
    _refused(str(tmp_path / "reviews.docx"), "no csv, tsv, txt, jsonl, json, parquet, arrow or xlsx file")
    with pytest.raises(NotFoundError, match="did you mean 'rotten-tomatoes'"):
        load("rotten-tomatos")


def test_fault_02_bad_bytes_and_characters(tmp_path: Path) -> None:
    head = b"text,label\ngood one,a\n"
    (tmp_path / "latin.csv").write_bytes(head + b"caf\xe9,b\n")
    _refused(str(tmp_path / "latin.csv"), "latin.csv:3", "0xe9", "UTF-8")
    (tmp_path / "nul.csv").write_bytes(head + b"an\0other,b\n")
    _refused(str(tmp_path / "nul.csv"), "nul.csv:3", "NUL")
    (tmp_path / "raw.jsonl").write_bytes(b'{"text": "\xed\xa0\x80", "label": "a"}\n')
    _refused(str(tmp_path / "raw.jsonl"), "raw.jsonl:1", "UTF-8")
    good = '{"text": "fine \\ud83d\\ude00", "label": "a"}\n'
    for escape, said in (("\\ud800", "surrogate \\ud800"), ("\\u0000", "NUL")):
        nested = f'{{"text": {{"part": ["{escape}"]}}, "label": "a"}}\n'
        (tmp_path / "escape.jsonl").write_text(good + nested, encoding="utf-8")
        _refused(str(tmp_path / "escape.jsonl"), "escape.jsonl:2", said)
    _csv(tmp_path / "plain.csv", _pairs())
    content = (tmp_path / "plain.csv").read_bytes()
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbf" + content)
    assert load(str(tmp_path / "bom.csv")).fields == ("text",)
    assert load(str(tmp_path / "bom.csv")).fingerprint == load(str(tmp_path / "plain.csv")).fingerprint


SWALLOWED = 'text,label\na,0\nb,1\n"c,0\nd,1\ne,0\nf",1\ng,0\nh,1\n'


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("few.csv", 'text,label\n"two\nlines",a\nonly one cell\nthird,b\n', "few.csv:4"),
        ("many.csv", "text,label\none,two,a\n", "many.csv:2"),
        ("open.csv", 'text,label\none,a\n"never closed,b\nmore,c\n', "open.csv:3"),
        ("quote.csv", 'text,label\n"closed" early,b\n', "quote.csv:2"),
        ("twice.csv", "text,label,text\na,b,c\n", "twice.csv:1"),
        ("swallowed.csv", SWALLOWED, "swallowed.csv:4 opens a quote that closes in line 7"),
        ("few.tsv", "text\tlabel\none, two\n", "few.tsv:2"),
        ("broken.jsonl", '{"text": "a", "label": "b"}\n{"text": "a", \n', "broken.jsonl:2"),
        ("list.jsonl", '{"text": "a", "label": "b"}\n["a", "b"]\n', "list.jsonl:2"),
        ("nan.jsonl", '{"text": NaN, "label": "b"}\n', "nan.jsonl:1"),
        ("deep.jsonl", "[" * 100_000 + "\n", "deep.jsonl:1"),
        ("no.parquet", "not a parquet file at all", "no.parquet"),
    ],
)
def test_fault_03_malformed_row(tmp_path: Path, name: str, content: str, place: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    _refused(str(tmp_path / name), place)


def test_fault_02_and_03_parquet_files_that_say_what_python_cannot(tmp_path: Path) -> None:
    columns = {"text": ["one", "two"], "label": ["a", "b"]}
    parquet.write_table(pyarrow.table(columns | {"xxxx": ["c", "d"]}), tmp_path / "name.parquet")
    content = (tmp_path / "name.parquet").read_bytes()
    (tmp_path / "name.parquet").write_bytes(content.replace(b"xxxx", b"\x94xxx"))
    _refused(str(tmp_path / "name.parquet"), "name.parquet", "column whose name is not UTF-8")
    late = pyarrow.array([0, 2**60], pyarrow.timestamp("us"))
    parquet.write_table(pyarrow.table(columns | {"when": late}), tmp_path / "late.parquet")
    _refused(str(tmp_path / "late.parquet"), "late.parquet: row 2", "'when'", "out of range")
    columns = {"text": ["one", "two", "three", "four"], "label": ["a", "b"] * 2}
    deep = pyarrow.table(columns).replace_schema_metadata({b"huggingface": b"[" * 100_000})
    parquet.write_table(deep, tmp_path / "deep.parquet")
    assert load(str(tmp_path / "deep.parquet"), shots=1).labels == ("a", "b")


def test_fault_04_missing_field_or_blank_text(tmp_path: Path) -> None:
    source = _csv(tmp_path / "blank.csv", _pairs(), extra="  ,good\nno label,\n")
    message = _refused(source, "1 of 12 rows", "line 12", "drop_empty=True")
    assert "line 13" not in message  # a row without a label is no fault
    kept = load(source, drop_empty=True)
    assert len(kept.train + kept.validation + kept.test) == 10
    assert kept.warnings == (
        f"1 of 12 rows of {source} have no label (blank).",
        f"1 of 12 rows of {source} were dropped: blank or missing text.",
    )

    rows: list[dict[str, Any]] = [{"text": text, "label": label} for text, label in _pairs()]
    rows += [{"label": "good"}, {"text": None, "label": "bad"}, {"text": {}, "label": "bad"}]
    _refused(_jsonl(tmp_path / "missing.jsonl", rows), "3 of 13 rows", "line 11", "drop_empty=True")

    only_blank = _csv(tmp_path / "all.csv", [(" ", "a"), (" ", "b")])
    _refused(only_blank, "all 2 rows", drop_empty=True)

    kept = from_rows(rows, drop_empty=True)
    assert kept.warnings == ("3 of 13 rows of rows (train) were dropped: blank or missing text.",)


def test_fault_04_an_empty_list_beside_other_fields_is_a_value(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"report": text, "history": ["seen before"] * (number % 3), "label": label}
        for number, (text, label) in enumerate(_pairs())
    ]
    corpus = load(_jsonl(tmp_path / "records.jsonl", rows))
    assert corpus.fields == ("report", "history")
    assert len(corpus.train + corpus.validation + corpus.test) == 10
    rows.append({"report": "no history", "history": None, "label": "good"})
    corpus = load(_jsonl(tmp_path / "records.jsonl", rows))
    assert len(corpus.train + corpus.validation + corpus.test) == 11
    assert any("1 of 11 rows have an empty 'history'" in warning for warning in corpus.warnings)
    rows.append({"report": " ", "history": [], "label": "good"})
    _refused(_jsonl(tmp_path / "records.jsonl", rows), "1 of 12 rows", "line 12")


def test_fault_04_blank_or_missing_target(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"text": f"talk {n}", "gist": f"gist {n}"} for n in range(20)]
    blank: list[dict[str, Any]] = [{"text": "a", "gist": " "}, {"text": "b"}, {"text": "", "gist": "c"}]
    source = _jsonl(tmp_path / "talks.jsonl", rows + blank)
    message = _refused(source, "1 of 23 rows", "missing text", "line 23", "drop_empty=True", target_column="gist")
    assert "label" not in message
    kept = load(source, target_column="gist", drop_empty=True)
    assert len(kept.train + kept.validation + kept.test) == 20
    assert len(kept.unlabeled) == 2  # a row without a target is no fault
    assert kept.warnings == (
        f"2 of 23 rows of {source} have no target (blank).",
        f"1 of 23 rows of {source} were dropped: blank or missing text.",
    )
    none = _jsonl(tmp_path / "none.jsonl", [row | {"gist": ""} for row in rows])
    _refused(none, "has no targets: all are blank", "target_column", target_column="gist")
    negative = [row | {"gist": "-1"} for row in rows]
    assert from_rows(negative, target_column="gist").train[0].label == "-1"


def test_fault_05_unknown_label_or_none(tmp_path: Path) -> None:
    _refused(_csv(tmp_path / "none.csv", [(text, "-1") for text, _ in _pairs()]), "all are -1")
    _csv(tmp_path / "train.csv", _pairs())
    _csv(tmp_path / "test.csv", [*_pairs(mark=" test"), ("so so", "mixed")])
    _refused(str(tmp_path), "test.csv", "line 12", "unknown label 'mixed'", "'bad', 'good'")
    _csv(tmp_path / "test.csv", [(text, "-1") for text, _ in _pairs(mark=" test")])
    _refused(str(tmp_path), "test.csv", "all are -1")


def test_fault_05_class_numbers_of_a_dataset() -> None:
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})

    def table(labels: Sequence[int]) -> Any:
        return datasets.Dataset.from_dict(
            {"text": [f"film {n}" for n in range(len(labels))], "label": labels}, features
        )

    with pytest.raises(InputError, match=r"rows \(train\) has no labels: all are -1 or blank"):
        from_rows(table([-1] * 10))
    some = from_rows(table([0, 1] * 5 + [-1]))
    assert some.labels == ("neg", "pos")
    assert some.warnings == ("1 of 11 rows of rows (train) have no label (blank).",)
    mixed = [{"text": "so so", "label": "mixed"}, {"text": "fine", "label": "good"}, {"text": "poor", "label": "bad"}]
    rows = [{"text": text, "label": label} for text, label in _pairs()]
    with pytest.raises(InputError, match=r"rows \(validation\): row 1 \(validation\) has the unknown label 'mixed'"):
        from_rows(rows, mixed)


def test_fault_06_one_class_or_a_class_absent_from_validation(tmp_path: Path) -> None:
    _refused(_csv(tmp_path / "one.csv", _pairs(labels=["good"])), "one class only", "'good'")
    lone = load(_csv(tmp_path / "lone.csv", [*_pairs(), ("odd", "godo")]))
    assert lone.labels == ("bad", "good")
    assert any("whose label no other row has: 'godo'" in w and "did you mean 'good'" in w for w in lone.warnings)
    _refused(_csv(tmp_path / "lone2.csv", [("odd", "rare"), *_pairs(labels=["good"])]), "'rare'", "one row only")
    folder = tmp_path / "folder"
    folder.mkdir()
    _csv(folder / "train.csv", _pairs())
    _csv(folder / "validation.csv", _pairs(labels=["good"], mark=" validation"))
    _refused(str(folder), "validation", "no row of the class 'bad'")

    uneven = load(_csv(tmp_path / "uneven.csv", _pairs(90, ["good"]) + _pairs(10, ["bad"])))
    assert len([warning for warning in uneven.warnings if "macro-F1" in warning and "0.90" in warning]) == 1
    sampled = load(_csv(tmp_path / "many.csv", _pairs(200, ["good"]) + _pairs(40, ["bad"])))
    assert any("macro-F1" in warning and "0.83" in warning for warning in sampled.warnings)
    assert load(_csv(tmp_path / "even.csv", _pairs(30, ["good"]) + _pairs(10, ["bad"]))).warnings == ()


def test_fault_07_the_same_text_in_two_splits(tmp_path: Path) -> None:
    _csv(tmp_path / "train.csv", [*_pairs(), ("Caf\u00e9  SOCIETY", "good")])
    _csv(tmp_path / "validation.csv", [*_pairs(mark=" v"), ("cafe\u0301 society", "bad")])
    _csv(tmp_path / "test.csv", [*_pairs(mark=" t"), ("bad beta film 1 v", "bad"), (" CAF\u00c9 society", "good")])
    message = _refused(str(tmp_path), "3 rows", "drop_duplicates=True", "in train and validation")
    assert "in validation and test" in message
    kept = load(str(tmp_path), drop_duplicates=True)
    assert (len(kept.train), len(kept.validation), len(kept.test)) == (11, 10, 10)
    assert sum("dropped" in warning for warning in kept.warnings) == 3

    disputed = _csv(tmp_path / "disputed.csv", [*_pairs(), ("GOOD alpha film 0", "bad")])
    _refused(disputed, "1 texts (2 rows)", "'bad' and 'good'", "drop_duplicates=True")
    rest = load(disputed, drop_duplicates=True)
    assert len(rest.train + rest.validation + rest.test) == 9
    assert any("different labels" in warning for warning in rest.warnings)


def test_fault_10_a_row_longer_than_the_csv_modules_limit_is_read_whole(tmp_path: Path) -> None:
    long = "word " * 50_000
    corpus = load(_csv(tmp_path / "long.csv", [*_pairs(), (long, "good")]))
    rows = corpus.train + corpus.validation + corpus.test
    assert max(len(row.fields["text"]) for row in rows) == len(long)


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_fault_11_words_for_missing_are_text(tmp_path: Path, suffix: str) -> None:
    words = ("NA", "null", "None", "nan", "N/A")
    pairs = [*_pairs(), *((word, "bad") for word in words[:3]), *((word, "None") for word in words[3:])]
    path = tmp_path / f"words.{suffix}"
    source = (
        _csv(path, pairs)
        if suffix == "csv"
        else _jsonl(path, [{"text": text, "label": label} for text, label in pairs])
    )
    corpus = load(source)
    rows = {row.fields["text"]: row.label for row in corpus.train + corpus.validation + corpus.test}
    assert {word: rows[word] for word in words} == {
        "NA": "bad",
        "null": "bad",
        "None": "bad",
        "nan": "None",
        "N/A": "None",
    }
    assert corpus.labels == ("None", "bad", "good")


@pytest.mark.parametrize(
    "environment",
    [{"HF_ENDPOINT": "http://127.0.0.1:9"}, pytest.param({"HF_HUB_OFFLINE": "1"}, marks=pytest.mark.slow)],
    ids=str,
)
def test_fault_19_an_unreachable_hub_is_refused_in_seconds(tmp_path: Path, environment: dict[str, str]) -> None:
    """Gated datasets, loading scripts and unknown names and revisions: tests/corpus/test_corpus.py."""
    calls: list[tuple[str, dict[str, Any]]] = [(f"hub:{name}", {}) for name in ("nobody/nothing", "imdb", "a/b:c@v1")]
    for (source, _), answer in zip(calls, hub.load(tmp_path, *calls, **environment), strict=True):
        assert answer["code"] == 3
        assert answer["error"].startswith(f"{source} cannot be loaded: the Hugging Face Hub is not reachable")
        assert "\n" not in answer["error"]
        assert answer["seconds"] < 10
    started = time.monotonic()
    result = commands.spawn("search", "hub:nobody/nothing", env=environment | {"HF_HOME": str(tmp_path / "hf")})
    commands.refused(result, 3, "hub:nobody/nothing", "not reachable")
    assert time.monotonic() - started < 20


def test_fault_19_a_search_of_the_hub_leaves_its_libraries_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    before = huggingface_hub.constants.HF_HUB_OFFLINE
    _refused("hub:nobody/nothing", "hub:nobody/nothing", "not reachable")
    assert before == huggingface_hub.constants.HF_HUB_OFFLINE


def test_fault_20_a_folder_or_file_that_shadows_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tickets").mkdir()
    _csv(tmp_path / "tickets" / "train.csv", _pairs())
    _refused("tickets", "'tickets' is an embedded corpus and a folder here too", "./tickets")
    mine = load("./tickets", shots=2)
    assert (mine.name, mine.labels) == ("tickets", ("bad", "good"))
    (tmp_path / "pairs").touch()
    _refused("pairs", "a file here too", "./pairs")
    assert load("headlines").name == "headlines"
