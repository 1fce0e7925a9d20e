"""The public Python surface."""

import json
import subprocess
import sys
from pathlib import Path

import commands
import datasets
import pandas
import pytest
import tiny

import autoprompt
from autoprompt.errors import InputError, UsageError
from autoprompt.leaderboard import Leaderboard
from autoprompt.results import RunResult


def test_every_public_name_is_there():
    assert set(autoprompt.__all__) <= set(dir(autoprompt))
    for name in autoprompt.__all__:
        assert getattr(autoprompt, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = autoprompt.nothing_like_it


def test_importing_costs_nothing():
    code = (
        "import sys, autoprompt; print([m for m in ('torch', 'transformers', 'numpy', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_search_gives_what_the_command_prints(corpus_folder, model_folders, tmp_path, capsys):
    board = tmp_path / "lb.sqlite"
    with commands.inline():
        found = autoprompt.search(
            str(corpus_folder),
            model=str(model_folders["llama"]),
            templates=["{text}\nFeeling: {label}", "Seed: {text} = {label}"],
            label_words={"positive": "good", "negative": "bad"},
            max_evaluations=5,
            workers=1,
            leaderboard=board,
            fix={"epochs": 1},
            name="a first try",
        )
    assert capsys.readouterr().out == ""
    _check(found, tmp_path)
    result = found.to_dict()
    assert result["evaluations"] == 5
    assert result["baselines"]["manual_tuned"]["template"] == "{text}\nFeeling: {label}"
    assert result["baselines"]["manual_tuned"]["label_words"] == {"negative": "bad", "positive": "good"}
    with Leaderboard.open(board, read_only=True) as opened:
        record = opened.run(result["run"])
        assert (record.status, record.name) == ("finished", "a first try")
        assert record.result.to_dict() == result
        assert "Seed: {text} = {label}" in {e.candidate.template.format() for e in opened.evaluations(record.id)}


def _check(found, folder):
    """A result in Python: the winner predicts, and leaderboard, report and export are those of the run."""
    first, *rows = repr(found).splitlines()
    assert first == f"SearchResult of run {found.run}: {found.outcome.corpus} with {found.outcome.model}"
    assert [line.split(":")[0].strip() for line in rows[:3]] == ["winner", "manual_tuned", "manual"]
    assert repr(found.winner.template) in rows[0]
    assert rows[-1].strip() == found.verdict
    assert "<table>" in found._repr_html_()
    assert "\n" not in found._repr_html_()
    best = found.best
    assert best is found.best
    assert (best.entry, best.template) == (found.winner.entry, found.winner.template)
    assert set(best.predict(["The soup was good.", "The film was bad."])) <= {"positive", "negative"}
    frame = found.leaderboard()
    assert list(frame.columns[:7]) == ["entry", "error", "loss", "accuracy", "metric", "value", "n"]
    assert found.winner.entry in set(frame["entry"])
    assert len(frame) == len(found.entries) > 3
    assert {path.name for path in found.report(folder / "report").iterdir()} >= {"report.html", "report.md"}
    written = found.export(folder / "best.json")
    assert len(written) > 1, "with the weights"
    assert autoprompt.load(written[0]).predict(["The soup was good."]) == best.predict(["The soup was good."])
    assert found.difference.n == found.winner.test.n
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()


def test_errors_are_exceptions_with_exit_codes(corpus_folder, tmp_path):
    nowhere = str(tmp_path / "nowhere")  # said before a model is looked for
    for changes, code in (
        ({"strategy": "magic"}, 2), ({"tuning": "magic"}, 2), ({"budget": -1.0}, 2), ({"workers": 0}, 2),
        ({"budget": 9.0, "max_evaluations": 3}, 2),
        ({"templates": ["{text"]}, 3), ({"label_words": {"positive": "x"}}, 3), ({"model": "./none"}, 3),
    ):  # fmt: skip
        with pytest.raises(autoprompt.AutopromptError) as caught:
            autoprompt.search(str(corpus_folder), leaderboard=tmp_path / "lb.sqlite", **{"model": nowhere} | changes)
        assert caught.value.exit_code == code, changes
    assert not (tmp_path / "lb.sqlite").exists()


@pytest.fixture
def searched(model_folders, tmp_path):
    """A small search: its result, and the fingerprint of its data."""
    boards = iter(range(9))

    def search(corpus, **options):
        board = tmp_path / f"{next(boards)}.sqlite"
        with commands.inline():
            result = autoprompt.search(
                corpus, model=str(model_folders["llama"]), tuning="none", max_evaluations=1, workers=1,
                leaderboard=board, **options,
            ).to_dict()  # fmt: skip
        with Leaderboard.open(board, read_only=True) as opened:
            return result, opened.run(result["run"]).fingerprint

    return search


def test_splits_in_memory_are_searched_as_those_of_a_folder(searched, corpus_folder):
    names = ("train", "validation", "test")
    splits = {name: tiny.rows(number) for number, name in enumerate(names)}
    by_folder, fingerprint = searched(Path(corpus_folder))
    for corpus in (
        splits,
        {name: pandas.DataFrame(rows) for name, rows in splits.items()},
        datasets.DatasetDict({name: datasets.Dataset.from_list(rows) for name, rows in splits.items()}),
    ):
        result, found = searched(corpus)
        assert found == fingerprint
        assert result["best"] == by_folder["best"]
        assert result["corpus"] == "rows"


def test_rows_in_memory_are_split_as_those_of_a_file(searched, tmp_path):
    rows = [{"review": row["text"], "stars": row["label"]} for row in tiny.rows(0) + tiny.rows(1)]
    pandas.DataFrame(rows).to_json(tmp_path / "rows.jsonl", orient="records", lines=True)
    read = {"text_column": "review", "label_column": "stars", "shots": 4, "test_rows": 10}
    results = [
        searched(corpus, **read, seed=3)
        for corpus in (str(tmp_path / "rows.jsonl"), rows, datasets.Dataset.from_list(rows))
    ]
    assert len({fingerprint for _, fingerprint in results}) == 1
    assert [result["best"]["test"]["n"] for result, _ in results] == [10, 10, 10]


@pytest.mark.parametrize(
    ("corpus", "error", "part"),
    [
        ({"train": [], "unsupervised": []}, InputError, "no rows"), ({"test": []}, UsageError, "train"),
        ({}, UsageError, "nothing"),
        ({"train": None}, UsageError, "nothing"), ({"text": ["a"], "label": ["b"]}, InputError, "one class only"),
        (7, UsageError, "int"), ([], InputError, "no rows"), ([{"text": "a", "label": "b"}], InputError, "rows"),
    ],
)  # fmt: skip
def test_what_is_no_corpus_is_said(tmp_path, corpus, error, part):
    with pytest.raises(error, match=part) as caught:
        autoprompt.search(corpus, leaderboard=tmp_path / "lb.sqlite").to_dict()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "lb.sqlite").exists()


def test_a_refinement_that_was_not_kept_has_nothing_to_load_or_to_write(tmp_path):
    board = tmp_path / "lb.sqlite"
    Leaderboard.open(board).close()
    found = autoprompt.SearchResult(RunResult(corpus="new.csv", model="tiny"), board)
    assert found.best is None
    assert found.entries == []
    for write in (found.export, found.report):
        with pytest.raises(InputError, match="was not kept"):
            write(tmp_path / "out.json")
