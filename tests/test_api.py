"""The public Python surface."""

import subprocess
import sys

import commands
import pytest

import autoprompt
from autoprompt.leaderboard import Leaderboard


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
        result = autoprompt.search(
            str(corpus_folder),
            model=str(model_folders["llama"]),
            templates=["{text}\nFeeling: {label}", "Seed: {text} = {label}"],
            label_words={"positive": "good", "negative": "bad"},
            max_evaluations=5,
            workers=1,
            leaderboard=board,
        )
    assert capsys.readouterr().out == ""
    assert result["evaluations"] == 5
    assert result["baselines"]["manual_tuned"]["template"] == "{text}\nFeeling: {label}"
    assert result["baselines"]["manual_tuned"]["label_words"] == {"negative": "bad", "positive": "good"}
    with Leaderboard.open(board, read_only=True) as opened:
        record = opened.run(result["run"])
        assert record.status == "finished"
        assert record.result == result
        assert "Seed: {text} = {label}" in {e.candidate.template.format() for e in opened.evaluations(record.id)}


def test_errors_are_exceptions_with_exit_codes(corpus_folder, tmp_path):
    for changes, code in (
        ({"strategy": "magic"}, 2), ({"tuning": "magic"}, 2), ({"budget": -1.0}, 2), ({"workers": 0}, 2),
        ({"templates": ["{text"]}, 3), ({"label_words": {"positive": "x"}}, 3), ({"model": "./none"}, 3),
    ):  # fmt: skip
        with pytest.raises(autoprompt.AutopromptError) as caught:
            autoprompt.search(str(corpus_folder), leaderboard=tmp_path / "lb.sqlite", **changes)
        assert caught.value.exit_code == code, changes
    assert not (tmp_path / "lb.sqlite").exists()
