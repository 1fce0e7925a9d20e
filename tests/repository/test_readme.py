"""What README and guide promise is what the code does: tables, and every command and example in them, run."""

import csv
import itertools
import json
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import commands
import pytest
import tiny
from paths import ROOT

import autoprompt
from autoprompt.models.families import registry
from autoprompt.optimizer import SearchConfig

pytestmark = pytest.mark.alone

README = (ROOT / "README.md").read_text(encoding="utf-8")
FIGURES = (ROOT / "results" / "benchmarks" / "search.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_table_of_families_is_the_code_s():
    table = registry.table()
    hint = 'print it again with: python -c "from autoprompt.models.families.registry import table; print(table())"'
    assert table in GUIDE, hint


def test_the_python_example_of_a_prompt_model_is_short():
    (example,) = [block for block in blocks(GUIDE, "python") if "PromptModel" in block]
    assert len(example.strip().splitlines()) <= 10


# What the README says of itself


def table(text: str, first: str) -> list[list[str]]:
    """The rows of the table whose header begins with a cell; cells without links and marks of code."""
    lines = re.search(rf"^\| *{re.escape(first)} *\|.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert lines is not None, first
    plain = re.sub(r"\[([^\]]+)\](\[\d\]|\([^)]+\))", r"\1", lines[1]).replace("`", "")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in plain.splitlines()[1:]]


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 120
    assert len(commands_of(README)) == 5
    (example,) = blocks(README, "python")
    assert len([line for line in example.splitlines() if line]) == 5
    assert (ROOT / "docs" / "report.png").stat().st_size < 300_000


OTHERS = {  # of the README's table: the column of the benchmark's
    "plain prompt, fine-tuned": "manual_tuned",
    "its own --strategy random": "random",
    "itself, before it used texts without labels": "before",
}
EARLIER = ("SetFit", "SetFit, all rows", "manual, full tuning")
"""What the earlier version was compared with."""


def in_points(interval: str) -> list[str]:
    """Mean, low and high of an interval of accuracies."""
    return [f"{float(number) * 100:+.1f}" for number in re.findall(r"[+-][\d.]+", interval)]


def test_the_comparison_has_the_benchmark_s_figures():
    shown = {row[0]: row[2:] for row in table(README, "alternative")}
    assert shown.keys() == OTHERS.keys()
    header = re.search(r"^\| task \|(.*)\|$", FIGURES, re.MULTILINE)
    assert header is not None
    columns = [name.strip() for name in header[1].split("|")]
    accuracies = [dict(zip(columns, row[1:], strict=True)) for row in table(FIGURES, "task")]
    differences = {row[0]: row[1:] for row in table(FIGURES, "difference in accuracy")}
    for name, (mean, lost) in shown.items():
        column = OTHERS[name]
        (found, tasks) = differences[f"hybrid - {column}"]
        assert mean == "{} ({} to {})".format(*in_points(found))
        pairs = [(float(row["hybrid"]), float(row[column])) for row in accuracies if row[column]]
        assert lost.removesuffix(" runs") == f"{sum(ours < other for ours, other in pairs)} of {tasks}"
        assert len(pairs) == int(tasks)
    text = " ".join(README.split())
    earlier = {row[0]: in_points(row[1]) for row in table(FIGURES, "difference at ten minutes")}
    for name in EARLIER:
        mean, low, high = earlier[f"hybrid - {name}"]
        assert re.search(rf"{re.escape(mean)}(?: points)?(?: \(|, ){re.escape(f'{low} to {high}')}", text), name
    headline = "{} points of accuracy (95 % interval {} to {}, n = 400".format(
        *re.findall(r"[+-][\d.]+", shown["plain prompt, fine-tuned"][0])
    )
    assert headline in text


# Every command and every example


def commands_of(text: str) -> list[list[str]]:
    """The words of each command that a reader may type, without what a shell makes of the end of the line."""
    lines = [line for block in blocks(text, "sh") for line in block.splitlines() if line.startswith("autoprompt ")]
    return [shlex.split(line.split(" >> ")[0], comments=True)[1:] for line in lines]


@pytest.fixture
def desk(tmp_path, monkeypatch, model_folders):
    """A folder with the files that the texts name. A tiny model takes the default one's place."""
    reviews = [
        {"text": row["text"], "stars": "5" if row["label"] == "positive" else "1"}
        for n in range(3)
        for row in tiny.rows(n)
    ]

    def write(name: str, rows: list[dict]) -> None:
        if name.endswith(".csv"):
            import pandas

            pandas.DataFrame(rows).to_csv(tmp_path / name, index=False)
        else:
            (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    write(
        "reviews.csv",
        [
            {"text": row["text"], "body": row["text"][:-1], "stars": row["stars"], "label": row["stars"]}
            for row in reviews
        ],
    )
    write(
        "pairs.jsonl",
        [{"premise": row["text"], "hypothesis": row["text"][4:], "label": row["stars"]} for row in reviews],
    )
    write("new.csv", [{"text": row["text"]} for row in tiny.rows(0)[:5]])
    write("more.csv", [{"text": f"once {row['text']}"} for row in tiny.rows(1)])
    write("films.csv", [{"text": row["text"], "label": row["label"]} for row in reviews_of_films()])
    for day in ("monday", "tuesday"):
        write(f"{day}.csv", [{"text": f"on {day} {n}", "label": ("rotten", "fresh")[n % 2]} for n in range(4)])
    write("talks.jsonl", [{"talk": row["text"], "gist": row["text"][4:14]} for row in reviews])
    toml, wide = blocks(GUIDE, "toml")
    SearchConfig.model_validate(tomllib.loads(wide))
    (tmp_path / "search.toml").write_text(toml, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOPROMPT_MODEL", str(model_folders["llama"]))
    monkeypatch.setenv("AUTOPROMPT_WORKERS", "1")
    return tmp_path


def reviews_of_films() -> list[dict]:
    return [
        {"text": row["text"], "label": {"positive": "good", "negative": "bad"}[row["label"]]}
        for n in range(3)
        for row in tiny.rows(n)
    ]


FEWER = {"--test-rows": "40", "--unlabeled-rows": "12"}
"""Of the rows that a search takes unless told otherwise."""


def shortened(words: list[str], entries: list[str]) -> list[str]:
    """The same command on less: a few fine-tunes in place of minutes, entries and runs that there are."""
    second = entries[0] if words[0] == "refine" else entries[1]  # a refinement of random weights may not be kept
    there = {"1f2e3d4c": entries[0], "5a6b7c8d": second, "wide": "first"}
    words = [there.get(word, word) if words[0] != "search" else word for word in words]
    if "--ensemble" in words:
        words[words.index("--ensemble") + 1] = "2"
    if words[0] == "search":
        for limit in ("--budget", "--max-evaluations"):
            if limit in words:
                place = words.index(limit)
                del words[place : place + 2]
        fewer = [part for name, count in FEWER.items() if name not in words for part in (name, count)]
        return [*words, "--max-evaluations", "3", *fewer]
    return words


def entries_of(desk: Path) -> list[str]:
    from autoprompt.leaderboard import Leaderboard

    place = desk / "autoprompt.sqlite"
    if not place.exists():
        return ["none", "none"]
    with Leaderboard.open(place, read_only=True) as board:
        run = next((run for run in board.runs() if run.name == "first"), None)
        if run is None:
            return ["none", "none"]
        rest = [row.entry for row in board.entries(run.id) if row.entry != run.winner and row.rung == 2]
        return [str(run.winner), *(rest or [str(run.winner)])]


@pytest.mark.slow
@pytest.mark.timeout(1500)  # some forty commands
@pytest.mark.parametrize("text", [README, GUIDE], ids=["readme", "guide"])
def test_every_command_runs(capsys, desk, corpus_folder, text):
    """In order, in one folder; a second leaderboard is the other machine's."""
    asked = commands_of(text)
    for words in asked:
        others = [name for before, name in itertools.pairwise(words) if before in ("merge", "--warm-start")]
        for name in others:
            board = Path(name).with_suffix(".sqlite")
            made = [commands.call(capsys, "search", corpus_folder, "--max-evaluations", 2, "--leaderboard", board)]
            if name.endswith(".json"):
                made += [commands.call(capsys, "export", "--bundle", "--out", name, "--leaderboard", board)]
            assert [(one.code, one.err) for one in made if one.code] == []
        done = commands.call(capsys, *shortened(list(words), entries_of(desk)))
        assert done.code == 0, (words, done.err)
    written = {path.relative_to(desk).as_posix() for path in desk.rglob("*")}
    if text is GUIDE:
        assert {"report/report.html", "best.json", "best.weights", "best.py", "labelled.csv", "copy.sqlite"} <= written
        return
    promised = {name.strip() for row in table(README, "file") for name in row[0].split(",")}
    assert len(promised) >= 7
    assert promised - written == set()
    with (desk / "labelled.csv").open(encoding="utf-8", newline="") as file:
        answers = list(csv.DictReader(file))
    assert len(answers) == 5
    assert {row["predicted"] for row in answers} <= {"1", "5"}
    assert all(0.99 < float(row["probability 1"]) + float(row["probability 5"]) < 1.01 for row in answers)
    assert "first" in (desk / "report" / "report.md").read_text(encoding="utf-8")
    winner = runpy.run_path(str(desk / "best.py"))
    assert "a fine text" in winner["render"](text="a fine text")
    assert autoprompt.load(desk / "best.json").labels == ("1", "5")


@pytest.mark.slow
def test_every_python_example_runs(capsys, desk, model_folders, monkeypatch):
    """In files of their own; names that a reader has to bring are given."""
    (desk / "imdb").mkdir()
    for split, number in (("train", 0), ("test", 2)):
        rows = [{"text": row["text"], "label": int(row["label"] == "positive")} for row in tiny.rows(number)] * 9
        lines = "".join(json.dumps(row | {"text": f"{n} {row['text']}"}) + "\n" for n, row in enumerate(rows))
        (desk / "imdb" / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    assert commands.call(capsys, "search", "rotten-tomatoes", "--max-evaluations", 2, "--name", "first").code == 0
    for name in ("best.json", "best.py"):
        weights = ["--with-weights"] if name.endswith("json") else []
        assert commands.call(capsys, "export", "--run", "first", "--out", name, *weights).code == 0
    monkeypatch.syspath_prepend(str(desk))
    named = {"positive": "fresh", "negative": "rotten"}
    given = {"texts": [row["text"] for row in tiny.rows(0)], "labels": [named[row["label"]] for row in tiny.rows(0)]}
    for number, example in enumerate([*blocks(README, "python"), *blocks(GUIDE, "python")]):
        tiny_model = f'"{model_folders["llama"]}"'
        example = re.sub(r'budget=(300|"5m")', f"max_evaluations=2, model={tiny_model}", example)
        example = example.replace('"smollm2-135m"', tiny_model)
        place = desk / f"example{number}.py"
        place.write_text(example, encoding="utf-8")
        if "autoprompt.search(" in example:  # it starts workers
            done = subprocess.run([sys.executable, str(place)], check=True, timeout=200, capture_output=True, text=True)
            assert "manual_tuned" in done.stdout
        else:
            runpy.run_path(str(place), init_globals=given)
    assert (desk / "winner.json").is_file()
    assert (desk / "winner.weights").is_dir()
