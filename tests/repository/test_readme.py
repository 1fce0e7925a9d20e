"""What README and guide promise is what the code does: tables, and every command and example in them, run."""

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

from autoprompt.models.families import registry
from autoprompt.optimizer import SearchConfig

README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_table_of_families_is_the_code_s():
    table = registry.table()
    hint = 'print it again with: python -c "from autoprompt.models.families.registry import table; print(table())"'
    assert table in GUIDE, hint


def test_the_python_example_of_a_prompt_model_is_short():
    (example,) = [block for block in blocks(README, "python") if "PromptModel" in block]
    assert len(example.strip().splitlines()) <= 10


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
    write("monday.csv", [{"text": f"on monday {n}", "label": ("rotten", "fresh")[n % 2]} for n in range(4)])
    write("talks.jsonl", [{"talk": row["text"], "gist": row["text"][4:14]} for row in reviews])
    toml, wide = blocks(GUIDE, "toml")
    SearchConfig.model_validate(tomllib.loads(wide))
    (tmp_path / "search.toml").write_text(toml, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOPROMPT_MODEL", str(model_folders["llama"]))
    monkeypatch.setenv("AUTOPROMPT_WORKERS", "1")
    return tmp_path


def shortened(words: list[str], entries: list[str]) -> list[str]:
    """The same command on less: a few fine-tunes in place of minutes, entries that there are."""
    words = [entries[0] if word == "1f2e3d4c" else entries[1] if word == "5a6b7c8d" else word for word in words]
    if words[0] == "search":
        for limit in ("--budget", "--max-evaluations"):
            if limit in words:
                place = words.index(limit)
                del words[place : place + 2]
        return [*words, "--max-evaluations", "3"]
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
@pytest.mark.parametrize("text", [README, GUIDE], ids=["readme", "guide"])
def test_every_command_runs(capsys, desk, corpus_folder, text):
    """In order, in one folder; a second leaderboard is the other machine's."""
    asked = commands_of(text)
    if text is GUIDE:  # its commands need no run
        asked = [words for words in asked if words[0] == "search"]
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
    assert len(asked) >= 6
    if text is README:
        assert {"report", "best.json", "best.weights", "best.py", "labelled.csv", "copy.sqlite"} <= {
            path.name for path in desk.iterdir()
        }


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
        example = example.replace("budget=300", "max_evaluations=2").replace(
            '"smollm2-135m"', f'"{model_folders["llama"]}"'
        )
        place = desk / f"example{number}.py"
        place.write_text(example, encoding="utf-8")
        if "autoprompt.search(" in example:  # it starts workers
            subprocess.run([sys.executable, str(place)], check=True, timeout=200, capture_output=True)
        else:
            runpy.run_path(str(place), init_globals=given)
