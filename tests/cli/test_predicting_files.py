"""What predict leaves behind: files while it works, when it is stopped and when it fails; where it finds a model."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import commands
import numpy as np
import pytest
from prompt_files import a_prompt

from autoprompt import PromptClassifier, load
from autoprompt.cli import partial, predictions, rows, threads
from autoprompt.errors import NotFoundError, StorageError
from autoprompt.export import save


@pytest.fixture(scope="module")
def best(model_folders, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("best") / "best.json"
    save(a_prompt(model_folders["llama"]), path)
    return path


def written(path: Path, table: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in table), encoding="utf-8")
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# Stopped and failed


def until_rows(path: Path, count: int) -> None:
    while not path.exists() or len(path.read_text(encoding="utf-8").splitlines()) <= count:
        time.sleep(0.01)


@pytest.fixture
def endless(best, tmp_path):
    """The command beside a pipe that stays open, with 20 rows answered."""
    (tmp_path / "out.csv").write_text("old", encoding="utf-8")
    with subprocess.Popen(
        [*commands.COMMAND, "predict", str(best), "--out", str(tmp_path / "out.csv")], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        process.stdin.write("".join(f"text {number}\n" for number in range(20)))
        process.stdin.flush()
        until_rows(tmp_path / "out.partial.csv", 20)
        yield process
        process.kill()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_it_says_how_many_rows_are_where(endless, tmp_path, number, code):
    endless.send_signal(number)
    _, err = endless.communicate(timeout=60)
    assert endless.returncode == code, err
    assert "Traceback" not in err
    expected = f"Stopped after 20 rows; they are in {tmp_path / 'out.partial.csv'}, and {tmp_path / 'out.csv'} is not"
    assert err.strip().splitlines()[-1].startswith(expected)
    assert [row["text"] for row in read(tmp_path / "out.partial.csv")] == [f"text {n}" for n in range(20)]
    assert (tmp_path / "out.csv").read_text(encoding="utf-8") == "old"


@pytest.mark.slow
def test_killed_it_leaves_nothing_that_looks_whole(endless, tmp_path):
    endless.kill()
    endless.wait(60)
    assert {path.name for path in tmp_path.iterdir()} == {"out.csv", "out.partial.csv"}
    assert (tmp_path / "out.csv").read_text(encoding="utf-8") == "old"
    assert len(read(tmp_path / "out.partial.csv")) == 20


def test_an_error_leaves_the_rows_before_it(best, capsys, monkeypatch, tmp_path):
    lines = [b'{"text": "a"}\n'] * rows.MOST_AT_ONCE + [b'{"review": "b"}\n']
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"".join(lines))))
    done = commands.call(capsys, "predict", best, "--lines", "json", "--out", tmp_path / "out.jsonl")
    commands.refused(done, 3, "line 51 has no column 'text'; its columns are 'review'")
    assert f"The first 50 rows are in {tmp_path / 'out.partial.jsonl'}." in done.err
    assert len((tmp_path / "out.partial.jsonl").read_text(encoding="utf-8").splitlines()) == 50
    assert not (tmp_path / "out.jsonl").exists()


def test_the_partial_file_of_an_earlier_run_stays(best, capsys, tmp_path):
    (tmp_path / "out.partial.csv").write_text("earlier", encoding="utf-8")
    done = commands.call(capsys, "predict", best, "a", "--out", tmp_path / "out.csv")
    assert done.code == 0, done.err
    assert {path.name for path in tmp_path.iterdir()} == {"out.csv", "out.partial.csv"}
    assert (tmp_path / "out.partial.csv").read_text(encoding="utf-8") == "earlier"
    assert len(read(tmp_path / "out.csv")) == 1


def test_a_block_is_added_whole_or_not_at_all(tmp_path, monkeypatch):
    """As on a full disk: the system takes a part of the block, then refuses."""
    write, full = os.write, []

    def half(handle: int, data: bytes) -> int:
        if full:
            raise OSError(28, "No space left on device")
        full.append(1)
        return write(handle, data[: len(data) // 2])

    def work() -> None:
        with partial.partial_file(tmp_path / "out.csv") as file:
            file.add("one\n")
            monkeypatch.setattr(os, "write", half)
            file.add("two\n")

    with pytest.raises(StorageError, match="No space"):
        work()
    assert [path.name for path in tmp_path.iterdir()] == ["out.partial.csv"]
    assert (tmp_path / "out.partial.csv").read_text(encoding="utf-8") == "one\n"


def test_a_folder_that_cannot_be_written_to_is_named_before_the_model_is_loaded(best, capsys, tmp_path):
    done = commands.call(capsys, "predict", best, "a", "--out", tmp_path / "missing" / "out.csv")
    commands.refused(done, 4, "missing", "cannot be written")


@pytest.mark.parametrize("count", [1, rows.BLOCK, rows.BLOCK + 1, 3 * rows.BLOCK])
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_as_many_rows_come_back_as_there_are(best, capsys, tmp_path, count, ending):
    """Row for row, also where texts are empty."""
    table = [{"id": str(number), "text": "" if number % 3 == 0 else f"text {number}"} for number in range(count)]
    source = written(tmp_path / "rows.jsonl", table)
    done = commands.call(capsys, "predict", best, "--input", source, "--out", tmp_path / f"out.{ending}")
    assert done.code == 0, done.err
    found = read(tmp_path / "out.csv") if ending == "csv" else [
        json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    ]  # fmt: skip
    assert [{name: row[name] for name in ("id", "text")} for row in found] == table


# Columns


def test_a_column_that_is_not_there_is_named_before_the_model_is_loaded(best, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("autoprompt.predicting.session.load_model", lambda *_, **__: pytest.fail("loaded"))
    (tmp_path / "rows.csv").write_text("review,stars\nfine,3\n", encoding="utf-8")
    done = commands.call(capsys, "predict", best, "--input", tmp_path / "rows.csv")
    commands.refused(done, 3, "no column 'text'; its columns are 'review', 'stars', the prompt needs 'text'")
    written(tmp_path / "rows.jsonl", [{"text": "a"}] * 100 + [{"review": "b"}])
    done = commands.call(capsys, "predict", best, "--input", tmp_path / "rows.jsonl")
    commands.refused(done, 3, "line 101", "'text'")
    written(tmp_path / "rows.jsonl", [{"text": "a"}, {"text": None}])
    done = commands.call(capsys, "predict", best, "--input", tmp_path / "rows.jsonl")
    commands.refused(done, 3, "line 2 has no 'text'")


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_the_rows_own_columns_are_kept(best, capsys, tmp_path, ending):
    table = [
        {"predicted": "mine", "predicted 2": "mine too", "text": "a", "probabilities": "p", "probability neg": "q"}
    ]
    source = written(tmp_path / "rows.jsonl", table)
    done = commands.call(capsys, "predict", best, "--input", source, "--format", ending)
    assert done.code == 0, done.err
    assert "'predicted 3'" in done.err
    found = list(csv.DictReader(io.StringIO(done.out))) if ending == "csv" else [json.loads(done.out)]
    assert {name: found[0][name] for name in table[0]} == table[0]
    assert found[0]["predicted 3"] in ("neg", "pos")
    assert ("probability neg 2" if ending == "csv" else "probabilities 2") in found[0]
    quiet = commands.call(capsys, "predict", best, "--input", source, "--format", ending, "--quiet")
    assert (quiet.out, quiet.err) == (done.out, "")


def test_a_piped_row_that_has_a_name_of_the_answers_later(best, capsys, monkeypatch):
    lines = b'{"text": "a"}\n' * rows.MOST_AT_ONCE + b'{"text": "a", "predicted": "mine"}\n'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    done = commands.call(capsys, "predict", best, "--lines", "json", "--format", "jsonl")
    assert done.code == 3
    assert "later row has the column 'predicted'" in done.err


def test_a_column_that_only_later_rows_of_a_file_have(best, capsys, tmp_path):
    written(tmp_path / "rows.jsonl", [{"text": "a"}] * rows.BLOCK + [{"text": "b", "more": "c"}])
    done = commands.call(capsys, "predict", best, "--input", tmp_path / "rows.jsonl", "--format", "csv")
    assert done.code == 0, done.err
    found = list(csv.DictReader(io.StringIO(done.out)))
    assert [row["more"] for row in found] == [""] * rows.BLOCK + ["c"]


# Texts


def test_a_file_is_read_as_a_corpus_is(best, capsys, tmp_path):
    path = tmp_path / "export.csv"
    path.write_bytes("text;stars\nqué día;5\n\nsolo, malo;1\n".encode("cp1252"))
    refused = commands.call(capsys, "predict", best, "--input", path)
    commands.refused(refused, 3, "export.csv:2", "--encoding cp1252")
    shown = commands.call(capsys, "predict", best, "--input", path, "--encoding", "cp1252", "--format", "csv")
    assert shown.code == 0, shown.err
    assert [row["text"] for row in csv.DictReader(io.StringIO(shown.out))] == ["qué día", "solo, malo"]
    assert "semicolon" in shown.err
    assert "1 blank line was skipped" in shown.err
    lines = tmp_path / "lines.txt"
    lines.write_bytes("qué día\n".encode("cp1252"))
    shown = commands.call(capsys, "predict", best, "--input", lines, "--encoding", "cp1252", "--format", "csv")
    assert [row["text"] for row in csv.DictReader(io.StringIO(shown.out))] == ["qué día"]
    commands.refused(commands.call(capsys, "predict", best, "a text", "--delimiter", ";"), 2, "--input")


@pytest.mark.parametrize("text", ["-5 degrees", "-quite bad", "--model of clarity", "-", "--", "-h"])
def test_a_text_that_begins_with_a_dash(best, capsys, text):
    expected = load(best).predict([text])
    done = commands.call(capsys, "predict", best, "--format", "jsonl", "--", text)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["text"], [found["predicted"]]) == (text, expected)


@pytest.mark.parametrize("text", ["-5 degrees", "-quite bad", "--model of clarity"])
def test_without_the_dashes_before_it_the_error_says_so(best, capsys, text):
    done = commands.call(capsys, "predict", best, text)
    assert (done.code, done.out) == (2, "")
    said = " ".join(done.err.split())
    assert "If it is a text, write -- before the texts: " in said
    assert said.endswith("predict best.json -- TEXT")


@pytest.mark.parametrize("cell", [
    "=1+1", "\n=1+1", "\r\n=1", " =1", "\u00a0=1", "\u3000=1", "\ufeff=1", "\u200b=1", "\x00=1", "\u202e=1",
    "＝1+1", "＋1+1", "－1+1", "＠SUM(A1)", "\n＝1", "﹦1", "﹢1", "﹣1+1", "﹫SUM(A1)",
    "\t=1", "\r=1", " -2+3", "\n@SUM(A1)", "-", "=",
])  # fmt: skip
def test_a_cell_that_a_spreadsheet_may_take_for_a_formula(cell):
    assert predictions.formula_safe(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", " ", "\n", "a=1", "1", "-1.5", "+3", "-1e5", "a\n=1", "'=1", "１", "x＝1"])
def test_a_cell_that_acts_as_nothing_stays(cell):
    assert predictions.formula_safe(cell) == cell


# The model's folder


@pytest.fixture
def relative(tmp_path) -> Path:
    """A prompt file that names a folder beside it."""
    (tmp_path / "desk").mkdir()
    save(replace(a_prompt(tmp_path), model="./model"), tmp_path / "desk" / "best.json")
    return tmp_path / "desk" / "best.json"


def test_a_model_folder_is_found_beside_the_prompt_file(relative, model_folders, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = commands.call(capsys, "predict", relative, "a text")
    commands.refused(done, 3, str(tmp_path / "desk" / "model"), str(tmp_path / "model"), "--model")
    shutil.copytree(model_folders["llama"], tmp_path / "model")
    elsewhere = commands.call(capsys, "predict", relative, "a text")
    assert elsewhere.code == 0, "the current folder comes second"
    shutil.copytree(model_folders["llama-closed"], tmp_path / "desk" / "model")
    beside = commands.call(capsys, "predict", relative, "a text")
    assert beside.code == 0
    expected = load(relative, model=str(model_folders["llama-closed"])).predict_proba(["a text"])
    assert np.array_equal(load(relative).predict_proba(["a text"]), expected), "the prompt file's folder comes first"
    other = load(relative, model="./model").predict_proba(["a text"])
    assert not np.array_equal(other, expected), "what the caller names is as it says"
    found = load(os.path.relpath(relative))
    monkeypatch.chdir(tmp_path / "desk" / "model")
    assert np.array_equal(found.predict_proba(["a text"]), expected), "the current folder may change after loading"
    fitted = PromptClassifier(relative).fit(["good", "bad"], ["pos", "neg"])
    assert fitted.predict(["a"]).shape == (1,)


def test_both_places_are_the_same(relative, monkeypatch):
    monkeypatch.chdir(relative.parent)
    with pytest.raises(NotFoundError) as caught:
        load("best.json").predict(["a"])
    assert str(caught.value).count(str(relative.parent / "model")) == 1


# Threads and progress


def test_threads_wait_asleep_and_are_as_many_as_cores():
    """In a process that has not loaded torch; what the user says counts."""
    script = (
        "from autoprompt.cli import threads; threads.share_cores(); import os, torch; print(torch.get_num_threads(),"
    )
    script += " os.environ['OMP_WAIT_POLICY'], os.environ['GOMP_SPINCOUNT'], threads.cores())"

    def run(**env: str) -> list[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP", "MKL", "GOMP", "KMP"))}
        out = subprocess.run([sys.executable, "-c", script], env=kept | env, capture_output=True, text=True, check=True)
        return out.stdout.split()

    count, *policy, cores = run()
    assert (count, policy) == (cores, ["PASSIVE", "0"])
    assert 1 <= int(cores) <= threads.MOST
    assert run(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="ACTIVE")[:2] == ["1", "ACTIVE"]


def test_progress_goes_to_standard_error(best, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("autoprompt.cli.counting.SECONDS", 0.0)
    source = written(tmp_path / "rows.jsonl", [{"text": f"text {number}"} for number in range(80)])
    done = commands.call(capsys, "predict", best, "--input", source, "--out", tmp_path / "out.csv")
    first, second, last = done.err.splitlines()
    assert first.startswith("32 of 80 rows, ")
    assert " rows/s, about " in first
    assert second.startswith("64 of 80 rows, ")
    assert last.startswith(f"Wrote {tmp_path / 'out.csv'}: 80 rows in ")
    assert commands.call(capsys, "predict", best, "--input", source, "--out", tmp_path / "out.csv", "-q").err == ""
