"""From the leaderboard to a prompt: whose scores it carries, and how the model was shown it."""

import pytest

from autoprompt.candidate import Candidate, Settings
from autoprompt.errors import NotFoundError
from autoprompt.leaderboard import EvaluationRecord, Leaderboard, RunRecord
from autoprompt.metrics import Score
from autoprompt.run import prompt_of
from autoprompt.template import LabelWords, Template

WORDS = LabelWords((("neg", "bad"), ("pos", "good")))


def a_run(name, **changes):
    values = {"corpus": "rows", "fingerprint": "f" * 64, "model": "tiny", "config": {}}
    values |= changes
    return RunRecord(id=name * 12, name=None, seed=0, strategy="grid", started="2026-01-01T00:00:00+00:00", **values)


def scored(run, candidate, place, score, split="validation", status="complete"):
    """An evaluation at (rung, fold, repeat)."""
    rung, fold, repeat = place
    return EvaluationRecord(
        run=run.id, key=f"{split}{place}", entry=candidate.entry(run.fingerprint, "tiny", 0), candidate=candidate,
        role="search", split=split, rung=rung, fold=fold, repeat=repeat, status=status,
        reason="why" if status == "failed" else None, score=score, log_probs=[], predictions=[], row_ids=[],
        readability=None, seconds=1.0, tokens=9,
    )  # fmt: skip


def a_score(loss, n):
    return Score(loss, 1 - loss, "accuracy", 1 - loss, n)


def a_candidate(template="{text}\nMood: {label}", **changes):
    return Candidate(Template.parse(template), WORDS, Settings.default("tail", 32), **changes)


@pytest.fixture
def board(tmp_path):
    with Leaderboard.open(tmp_path / "lb.sqlite") as opened:
        yield opened


def stored(board, run, *evaluations):
    board.start_run(run)
    board.add([scored(run, *values) for values in evaluations])
    return evaluations[0][0].entry(run.fingerprint, "tiny", 0)


def test_the_score_is_pooled_over_the_folds(board):
    candidate = a_candidate()
    entry = stored(
        board, a_run("a"),
        (candidate, (0, 0, 0), a_score(0.9, 64)), (candidate, (1, 0, 0), a_score(0.1, 32)),
        (candidate, (2, 0, 0), a_score(0.25, 32)), (candidate, (2, 1, 0), a_score(0.5, 96)),
        (candidate, (1, 0, 0), a_score(0.75, 100), "test"),
    )  # fmt: skip
    prompt = prompt_of(board, entry[:8])
    assert prompt.scores == {"validation": a_score(0.4375, 128).to_dict(), "test": a_score(0.75, 100).to_dict()}
    assert prompt.scores["validation"] == board.entries()[0].validation.to_dict()
    assert prompt.entry == entry


def test_all_is_of_the_newest_run_that_has_the_entry(board):
    candidate, other = a_candidate(), a_candidate("{text}\nSo: {label}")
    first = (candidate, (2, 0, 0), a_score(0.1, 32)), (candidate, (2, 1, 0), a_score(0.2, 32))
    entry = stored(board, a_run("c"), *first, (candidate, (1, 0, 0), a_score(0.75, 100), "test"))
    stored(board, a_run("a", corpus="copy"), (candidate, (1, 0, 0), a_score(0.5, 32)))
    stored(board, a_run("b"), (other, (1, 0, 0), a_score(0.25, 32)))
    prompt = prompt_of(board, entry)
    assert (prompt.run, prompt.corpus) == ("a" * 12, "copy")
    assert prompt.scores == {"validation": a_score(0.5, 32).to_dict()}


@pytest.mark.parametrize("place", [(0, 0, 0), (1, 0, 0)])
def test_without_a_score_of_its_own_there_is_none(board, place):
    candidate = a_candidate()
    values = (a_score(0.5, 64),) if place[0] == 0 else (None, "validation", "failed")
    entry = stored(board, a_run("a"), (candidate, place, *values))
    assert prompt_of(board, entry).scores == {}


def test_an_unknown_entry_is_said(board):
    with pytest.raises(NotFoundError):
        prompt_of(board, "f" * 12)
