"""The predict command: texts, files and pipes in; lines, CSV and JSON out."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import commands
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_files import a_prompt

from autoprompt.candidate import Settings
from autoprompt.cli import predictions
from autoprompt.corpus.readers import Table
from autoprompt.export import load, save
from autoprompt.predicting import Answer

TEXTS = ["The film was lovely.", "The soup was cold,\nand bad.", ""]


@pytest.fixture(scope="module")
def best(model_folders, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("best") / "best.json"
    save(a_prompt(model_folders["llama"]), path)
    return path


@pytest.fixture(scope="module")
def expected(best) -> list[tuple[str, dict[str, float]]]:
    """The label and the probabilities of each text."""
    prompt = load(best)
    rows = prompt.predict_proba(TEXTS)
    return [(label, dict(zip(prompt.labels, row, strict=True)))
            for label, row in zip(prompt.predict(TEXTS), rows, strict=True)]  # fmt: skip


def test_texts_are_answered_in_lines(capsys, best, expected):
    done = commands.call(capsys, "predict", best, *TEXTS)
    assert done.code == 0, done.err
    assert done.out.splitlines() == [f"{label}\t{max(row.values()):.4f}" for label, row in expected]


def test_json_is_one_object(capsys, best, expected):
    done = commands.call(capsys, "predict", best, *TEXTS, "--json")
    assert done.code == 0, done.err
    (line,) = done.out.splitlines()
    found = json.loads(line)["predictions"]
    assert [one["label"] for one in found] == [label for label, _ in expected]
    for one, (_, row) in zip(found, expected, strict=True):
        assert one["probabilities"] == pytest.approx(row, abs=1e-5)


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_files_come_back_with_answers(capsys, best, expected, tmp_path, ending):
    import pandas

    frame = pandas.DataFrame({"number": ["1", "2", "3"], "text": TEXTS, "predicted": ["old"] * 3})
    original = ["number", "text", "predicted"]
    source = tmp_path / f"rows.{ending}"
    if ending == "parquet":
        frame.to_parquet(source)
    elif ending == "jsonl":
        frame.to_json(source, orient="records", lines=True)
    else:
        frame.to_csv(source, sep="\t" if ending == "tsv" else ",", index=False)
    for name in ("out.csv", "out.jsonl"):
        done = commands.call(capsys, "predict", best, "--input", source, "--out", tmp_path / name)
        assert done.code == 0, done.err
        assert done.out == ""
        assert "3 rows" in done.err
        assert "Note: the rows have a column 'predicted' of their own; the answers' is called 'predicted 2'" in done.err
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert list(rows[0]) == [*original, "predicted 2", "probability neg", "probability pos"]
    for row, line, text, (label, probabilities) in zip(rows, lines, TEXTS, expected, strict=True):
        assert row["predicted"] == line["predicted"] == "old"
        assert (row["text"], row["predicted 2"]) == (line["text"], line["predicted 2"]) == (text, label)
        assert float(row["probability pos"]) == pytest.approx(probabilities["pos"], abs=1e-5)
        assert line["probabilities"] == pytest.approx(probabilities, abs=1e-5)
    assert [row["number"] for row in rows] == ["1", "2", "3"]


def test_lines_of_a_text_file(capsys, best, tmp_path):
    (tmp_path / "reviews.txt").write_text("One.\r\nTwo.\n\nFour.", encoding="utf-8")
    done = commands.call(capsys, "predict", best, "--input", tmp_path / "reviews.txt", "--format", "jsonl")
    assert done.code == 0, done.err
    assert [json.loads(line)["text"] for line in done.out.splitlines()] == ["One.", "Two.", "", "Four."]


@pytest.mark.slow
def test_a_pipe_is_answered_as_it_comes(best):
    """The first line's answer is there before the second line is."""
    with subprocess.Popen(
        [*commands.COMMAND, "predict", str(best)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        encoding="utf-8", start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        found = []
        for text in ("A joy.", "A bore."):
            process.stdin.write(text + "\n")
            process.stdin.flush()
            found.append(process.stdout.readline())
        process.stdin.close()
        assert process.stdout.read() == ""
        assert process.wait(60) == 0
    assert all(line.split("\t")[0] in ("neg", "pos") for line in found)


@pytest.fixture
def piped(capsys, monkeypatch):
    """The command with this standard input."""

    def run(best: Path, content: bytes, *options: object) -> commands.Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        return commands.call(capsys, "predict", best, *options)

    return run


def test_a_pipe_of_objects_for_several_fields(piped, model_folders, tmp_path):
    save(a_prompt(model_folders["llama"], template="{title}: {text}\nMood: {label}"), tmp_path / "two.json")
    rows = [{"title": "Soup", "text": "It was cold.", "more": [1]}, {"title": "Film", "text": "Lovely."}]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    done = piped(tmp_path / "two.json", content, "--format", "jsonl")
    assert done.code == 0, done.err
    found = [json.loads(line) for line in done.out.splitlines()]
    assert [{k: v for k, v in row.items() if k not in ("predicted", "probabilities")} for row in found] == rows
    commands.refused(piped(tmp_path / "two.json", b'{"title": "a"}\n'), 3, "standard input: line 1", "'text'")
    commands.refused(piped(tmp_path / "two.json", b"a text\n"), 3, "line 1", "not valid JSON")


def test_a_pipe_that_is_no_text(piped, best):
    commands.refused(piped(best, b"caf\xe9\n"), 3, "standard input", "not UTF-8")
    commands.refused(piped(best, b"a\0b\n"), 3, "line 1", "NUL")


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (("a", "--input", "rows.csv"), 2, "one of the two"),
        (("a", "--json", "--format", "csv"), 2, "--json"),
        (("a", "--out", "rows.txt"), 2, ".csv"),
        (("a", "--out", "rows.csv", "--format", "jsonl"), 2, "contradicts"),
        (("a", "--lines", "text"), 2, "--lines"),
        (("--input", "missing.csv"), 3, "missing.csv"),
        (("--input", "missing.txt"), 3, "missing.txt"),
    ],
)
def test_what_contradicts_itself(capsys, best, arguments, code, part):
    commands.refused(commands.call(capsys, "predict", best, *arguments), code, part)


def test_a_failed_prediction_leaves_the_old_file(capsys, best, tmp_path):
    (tmp_path / "out.csv").write_text("old", encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n{"review": "b"}\n', encoding="utf-8")
    done = commands.call(capsys, "predict", best, "--input", tmp_path / "rows.jsonl", "--out", tmp_path / "out.csv")
    commands.refused(done, 3, "line 2", "'text'")
    assert (tmp_path / "out.csv").read_text(encoding="utf-8") == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"out.csv", "rows.jsonl"}


def test_a_fine_tuned_prompt_without_weights(capsys, model_folders, tmp_path):
    save(a_prompt(model_folders["llama"], settings=Settings.default("tail", 24).to_dict()), tmp_path / "best.json")
    commands.refused(commands.call(capsys, "predict", tmp_path / "best.json", "a"), 3, "--with-weights", "--frozen")
    done = commands.call(capsys, "predict", tmp_path / "best.json", "a", "--frozen")
    assert done.code == 0, done.err


def test_fault_45_no_cell_of_a_csv_acts(capsys, model_folders, tmp_path):
    payloads = ['=HYPERLINK("http://a")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "=1\n=2"]
    save(a_prompt(model_folders["llama"], label_words={"=neg": "bad", "@pos": "good"}, labels=("=neg", "@pos")),
         tmp_path / "best.json")  # fmt: skip
    rows = [{"=column": text, "text": text, "number": -1.5, "written": "-1.5"} for text in payloads]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = commands.call(
        capsys, "predict", tmp_path / "best.json", "--input", tmp_path / "rows.jsonl", "--out", tmp_path / "out.csv"
    )
    assert done.code == 0, done.err
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        header, *found = list(csv.reader(file))
    assert header[:5] == ["'=column", "text", "number", "written", "predicted"]
    for cells, text in zip(found, payloads, strict=True):
        assert cells[:4] == [f"'{text}", f"'{text}", "-1.5", "-1.5"], "numbers stay numbers"
        assert cells[4] in ("'=neg", "'@pos")
        assert not any(cell.startswith(("=", "+", "@", "\t")) for cell in cells)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=20), min_size=1, max_size=4))
def test_any_text_comes_back_from_a_csv(texts: list[str]) -> None:
    stream = io.StringIO()
    write = predictions.as_csv(stream, predictions.AnswerColumns("predicted", ("probability a",)))
    rows = tuple({"text": text} for text in texts)
    write(Table("rows", ("text",), rows, ("",) * len(rows)), [Answer("a", (1.0,))] * len(texts))
    _, *rows = list(csv.reader(io.StringIO(stream.getvalue(), newline="")))
    for row, text in zip(rows, texts, strict=True):
        assert row[0] in (text, f"'{text}")
        if row[0].startswith(("=", "+", "-", "@", "\t")):
            float(row[0])
