"""Bad input through the command line: one sentence, the right exit code, and nothing made or harmed."""

import json
import shutil

import commands
import pytest

ROWS = [(f"text {n} of {label}", label) for n in range(12) for label in ("pos", "neg")]


@pytest.fixture
def search(capsys, tmp_path, model_folders):
    """Search some rows with a tiny model; whatever is refused leaves no leaderboard."""
    board = tmp_path / "lb.sqlite"

    def run(corpus, *options, model=None, code=3, parts=()):
        arguments = ("search", corpus, "--model", model or model_folders["llama"], "--max-evaluations", 1,
                     "--workers", 1, "--leaderboard", board, *options)  # fmt: skip
        commands.refused(commands.call(capsys, *arguments), code, *parts)
        assert not board.exists()

    return run


@pytest.fixture
def table(tmp_path):
    def write(rows=ROWS, name="rows.csv", header="text,label"):
        path = tmp_path / name
        path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n", encoding="utf-8")
        return path

    return write


def test_fault_01_missing_empty_or_header_only(search, table, tmp_path):
    search(tmp_path / "none.csv", parts=["none.csv"])
    (tmp_path / "empty.csv").touch()
    search(tmp_path / "empty.csv", parts=["empty.csv", "empty"])
    search(table([]), parts=["rows.csv"])


def test_fault_02_bytes_that_are_no_text(search, table, tmp_path):
    path = table()
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"text 1 of pos", b"text \xff of pos"))
    search(path, parts=["rows.csv:4", "0xff"])
    path.write_bytes(whole.replace(b"text 1 of pos", b"text \x00 of pos"))
    search(path, parts=["rows.csv:4", "NUL"])
    lines = [json.dumps({"text": text, "label": label}) for text, label in ROWS]
    lines[4] = '{"text": "half \\ud800 pair", "label": "pos"}'
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    search(tmp_path / "rows.jsonl", parts=["rows.jsonl:5", "surrogate"])


def test_fault_03_malformed_rows(search, table, tmp_path):
    search(table([*ROWS, ("one", "cell", "more")]), parts=["rows.csv:26"])
    (tmp_path / "rows.jsonl").write_text('{"text": "a", "label": "b"}\n{"text": \n', encoding="utf-8")
    search(tmp_path / "rows.jsonl", parts=["rows.jsonl:2"])


def test_fault_04_blank_text(search, table):
    search(table([*ROWS, (" ", "pos")]), parts=["1 of 25", "--drop-empty"])


def test_fault_05_unknown_or_no_labels(search, table, tmp_path):
    search(table([(text, "-1") for text, _ in ROWS]), parts=["label"])
    folder = tmp_path / "splits"
    folder.mkdir()
    shutil.move(table(), folder / "train.csv")
    shutil.move(table([("another", "maybe"), ("one", "pos"), ("two", "neg")]), folder / "validation.csv")
    search(folder, parts=["maybe"])


def test_fault_06_one_class(search, table):
    search(table([row for row in ROWS if row[1] == "pos"]), parts=["one class"])


def test_fault_07_a_text_in_two_splits(search, table, tmp_path):
    folder = tmp_path / "splits"
    folder.mkdir()
    shutil.move(table(), folder / "train.csv")
    shutil.move(table([("new", "pos"), ("TEXT 3 of  neg", "neg")]), folder / "validation.csv")
    search(folder, parts=["TEXT 3", "--drop-duplicates"])


@pytest.mark.parametrize(
    "slot", ["{text.__class__}", "{0}", "{text!r}", "{text:>50000000}", "{text[0]}", "{}", "{{text}"]
)
def test_fault_12_slots_that_are_more_than_a_name(search, table, slot):
    search(table(), "--template", slot + " {label}", parts=["column"])


@pytest.mark.parametrize(
    ("template", "part"),
    [
        ("{text {label}", "column 1"), ("{text} } {label}", "column 8"), ("{text} {words} {label}", "column 8"),
        ("{text}", "{label}"), ("{text} {label} {label}", "keep one"), ("{label}", "{text}"), ("", "{label}"),
    ],
)  # fmt: skip
def test_fault_13_templates_that_do_not_fit(search, table, template, part):
    search(table(), "--template", template, parts=[part])


@pytest.mark.parametrize(
    "words",
    [
        {"pos": "good", "neg": "good"}, {"pos": "good", "neg": " "}, {"pos": "good"},
        {"pos": "good", "neg": "bad", "so-so": "middling"},
    ],
    ids=["collide", "empty", "missing", "more"],
)  # fmt: skip
def test_fault_15_label_words_that_do_not_fit(search, table, words):
    search(table(), "--label-words", json.dumps(words))


def test_fault_15_label_words_unknown_to_the_tokenizer(capsys, table, model_folders, tmp_path):
    result = commands.call(
        capsys, "search", table(), "--model", model_folders["words"], "--max-evaluations", 1, "--workers", 1,
        "--label-words", '{"pos": "good", "neg": "zzzzz"}', "--leaderboard", tmp_path / "lb.sqlite",
    )  # fmt: skip
    commands.refused(result, 3, "zzzzz", "tokenizer")


def test_fault_19_a_hub_out_of_reach(table, tmp_path):
    board = tmp_path / "lb.sqlite"
    result = commands.spawn(
        "search", table(), "--model", "someone/no-such-model", "--max-evaluations", 1, "--leaderboard", board,
        env={"HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    commands.refused(result, 3, "someone/no-such-model", "Hub")
    assert not board.exists()


def test_fault_19_no_model_of_that_kind_of_name(search, table):
    search(table(), model="no such / model / name", parts=["no such / model / name"])


@pytest.fixture
def foreign(capsys, tmp_path, model_folders, table):
    """A file that is no leaderboard is refused by every command and stays byte for byte."""

    def run(content, *parts):
        path = tmp_path / "lb.sqlite"
        path.write_bytes(content)
        where = ("--leaderboard", path)
        for arguments in (
            ("search", table(), "--model", model_folders["llama"], "--max-evaluations", 1, "--workers", 1),
            ("leaderboard", "list"),
            ("leaderboard", "runs"),
            ("export", "f" * 12, "--out", tmp_path / "best.py"),
        ):
            before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
            commands.refused(commands.call(capsys, *arguments, *where), 4, str(path), *parts)
            assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before

    return run


def test_fault_36_an_empty_leaderboard_file(foreign):
    foreign(b"", "empty")


def test_fault_40_a_foreign_text_file(foreign):
    foreign(b"my diary\n" * 200)


def test_fault_40_a_foreign_database(foreign, tmp_path):
    import sqlite3

    with sqlite3.connect(tmp_path / "other.db") as database:
        database.execute("CREATE TABLE runs (id TEXT, name TEXT)")
        database.execute("INSERT INTO runs VALUES ('1', 'marathon')")
    database.close()
    foreign((tmp_path / "other.db").read_bytes())


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--workers", "0"), "--workers"), (("--workers", "-2"), "--workers"), (("--budget", "-5m"), "--budget"),
        (("--budget", "0"), "--budget"), (("--budget", "soon"), "--budget"), (("--budget", "nan"), "--budget"),
        (("--max-evaluations", "-1"), "--max-evaluations"), (("--workers", "1000000000"), "--workers is 1000000000"),
        (("--workers-per-gpu", "1000000000"), "--workers-per-gpu is 1000000000"),
        (("--workers", "100000", "--executor", "ray"), "--workers is 100000"),
    ],
    ids=str,
)  # fmt: skip
def test_fault_49_impossible_limits(capsys, table, tmp_path, options, part):
    board = tmp_path / "lb.sqlite"
    result = commands.call(capsys, "search", table(), *options, "--leaderboard", board)
    assert result.code == 2
    assert part in result.err
    assert "Traceback" not in result.err
    assert not board.exists()


@pytest.mark.parametrize("device", ["cuda:99", "mps:99", "quantum"])
def test_fault_49_an_absent_device(search, table, device):
    search(table(), "--device", device, code=2, parts=[device])


def test_fault_49_a_budget_that_never_ends(capsys, table, tmp_path):
    result = commands.call(capsys, "search", table(), "--budget", "9" * 400 + "h", "--leaderboard", tmp_path / "lb")
    assert result.code == 2
    assert "Traceback" not in result.err
