"""One search with the embedded model on the embedded film reviews, as the command."""

import json

import commands
import pytest

pytestmark = pytest.mark.alone


@pytest.mark.slow
def test_a_short_search_on_film_reviews(tmp_path):
    board = tmp_path / "lb.sqlite"
    result = commands.spawn(
        "search", "rotten-tomatoes", "--model", "smollm2-135m", "--max-evaluations", 3, "--shots", 8, "--test-rows", 40,
        "--unlabeled-rows", 16, "--leaderboard", board, "--json", timeout=480,
    )  # fmt: skip
    assert result.code == 0, result.err
    values = json.loads(result.out)
    assert values["evaluations"] == 3
    assert values["model"] == "smollm2-135m"
    best, manual = values["best"], values["baselines"]["manual_tuned"]
    assert best["validation"]["n"] == 2 * 16
    for row in (best, manual):
        assert row["test"]["n"] == 40
        for score in (row["validation"], row["test"]):
            assert 0.3 <= score["accuracy"] <= 1
            assert 0 < score["loss"] < 3
    assert best["validation"]["loss"] <= manual["validation"]["loss"] + 0.2
    assert best["template"].count("{label}") == 1
    assert "{text}" in best["template"]
    out = tmp_path / "best.json"
    done = commands.spawn("export", best["entry"], "--out", out, "--leaderboard", board)
    assert done.code == 0, done.err
    assert json.loads(out.read_text(encoding="utf-8"))["template"] == best["template"]
