"""Two entries against each other: the same rows, the same training, and a plain answer where that is not to be had."""

import json
from dataclasses import replace

import commands
import pytest
from boards import RUN, a_run, an_evaluation

from autoprompt.errors import InputError, NotFoundError
from autoprompt.leaderboard import Leaderboard, compare_entries
from autoprompt.metrics import Score, paired_bootstrap

A, B = "A {text}\n{label}", "B {text}\n{label}"
ROWS = [f"r{number:02}" for number in range(12)]
GOOD = [0.1 + 0.01 * number for number in range(12)]
POOR = [loss + 0.2 + 0.3 * (number % 3) for number, loss in enumerate(GOOD)]


def judged(text, losses, rows=ROWS, accuracy=0.75, metric="accuracy", value=None, **changes):
    """An evaluation with these losses; its key says where it belongs."""
    loss = sum(losses) / len(losses) if losses else 0.5
    score = Score(loss, accuracy, metric, accuracy if value is None else value, len(rows))
    values = {"row_ids": list(rows), "losses": losses, "score": score, "log_probs": [], "predictions": []} | changes
    place = [values.get(name, 0) for name in ("split", "rung", "fold", "repeat")]
    return an_evaluation(f"{text}{place}", text, **values)


def entry(text):
    return judged(text, GOOD).entry


@pytest.fixture
def board(tmp_path):
    with Leaderboard.open(tmp_path / "lb.sqlite") as opened:
        opened.start_run(a_run())
        yield opened


def test_a_comparison_of_two_entries(board):
    board.add([judged(A, GOOD, accuracy=0.9), judged(B, list(reversed(POOR)), list(reversed(ROWS)), accuracy=0.5)])
    found = compare_entries(board, entry(A)[:8], entry(B)[:10]).to_dict()
    interval = paired_bootstrap(GOOD, POOR)
    assert found == {
        "entries": [entry(A), entry(B)],
        "split": "validation",
        "rung": 1,
        "n": 12,
        "loss": [pytest.approx(sum(GOOD) / 12), pytest.approx(sum(POOR) / 12)],
        "difference": {
            "mean": pytest.approx(-0.5),
            "low": pytest.approx(interval.low),
            "high": pytest.approx(interval.high),
        },
        "p_first_better": 1.0,
        "metric": "accuracy",
        "values": [{"mean": 0.9, "deviation": 0.0, "folds": 1}, {"mean": 0.5, "deviation": 0.0, "folds": 1}],
        "reported": None,
    }
    swapped = compare_entries(board, entry(B), entry(A)).to_dict()
    assert swapped["difference"]["mean"] == -found["difference"]["mean"]
    assert swapped["p_first_better"] == 0.0
    same = compare_entries(board, entry(A), entry(A)).to_dict()
    assert same["difference"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert same["p_first_better"] == 0.5


def test_the_highest_rung_of_both_counts_with_the_folds_and_repeats_that_both_have(board):
    halves = (ROWS[:6], ROWS[6:])
    for text, shift in ((A, 0.0), (B, 0.1)):
        board.add([judged(text, [9.0] * 12, rung=1)])
        board.add(
            [
                judged(text, [x + shift + repeat for x in GOOD[:6]], halves[fold], rung=2, fold=fold, repeat=repeat,
                       accuracy=0.5 + 0.25 * fold)
                for fold in (0, 1)
                for repeat in (0, 1)
            ]
        )  # fmt: skip
    board.add([judged(A, [50.0] * 12, rung=2, repeat=2, accuracy=1.0), judged(A, GOOD, rung=3)])
    failed = {"status": "failed", "reason": "NaN", "score": None}
    board.add([judged(B, [], rung=3, **failed), judged(B, [], rung=2, repeat=2, **failed)])
    found = compare_entries(board, entry(A), entry(B)).to_dict()
    assert (found["rung"], found["n"]) == (2, 12)
    mean = sum(GOOD[:6]) / 6 + 0.5  # each row twice, in both repeats
    assert found["loss"] == [pytest.approx(mean), pytest.approx(mean + 0.1)]
    assert found["difference"]["low"] == pytest.approx(-0.1)
    assert found["values"][0] == {"mean": pytest.approx(0.7), "deviation": pytest.approx(0.2091650), "folds": 5}
    assert found["values"][1] == {"mean": pytest.approx(0.625), "deviation": pytest.approx(0.1443376), "folds": 4}


def test_solved_examples_take_rows_away_from_one_side_only(board):
    board.add([judged(A, GOOD), judged(B, POOR[3:], ROWS[3:])])
    found = compare_entries(board, entry(A), entry(B)).to_dict()
    assert found["n"] == 9
    assert found["loss"][0] == pytest.approx(sum(GOOD[3:]) / 9)


def test_the_test_split_is_looked_at_where_it_is_asked_for(board):
    for text, losses in ((A, GOOD), (B, POOR)):
        board.add([judged(text, losses, split="test"), judged(text, [1.0] * 12)])
    assert compare_entries(board, entry(A), entry(B), "test").p_first_better == 1.0
    assert compare_entries(board, entry(A), entry(B)).difference == 0.0


def test_frozen_scores_are_not_compared(board):
    board.add([judged(text, GOOD, rung=0, split="frozen") for text in (A, B)])
    with pytest.raises(InputError, match="no complete evaluation on validation rows"):
        compare_entries(board, entry(A), entry(B))


def test_folds_of_another_cross_validation_are_other_folds(board):
    board.start_run(a_run("five-folds", config={"folds": 5}))
    for text in (A, B):
        run = RUN if text == A else "five-folds"
        board.add([judged(text, GOOD, rung=2, fold=1, run=run)])
    with pytest.raises(InputError, match="same rung, fold and repeat"):
        compare_entries(board, entry(A), entry(B))
    board.add([judged(A, GOOD), judged(B, POOR, run="five-folds")])  # the data's own split is the same in all runs
    assert compare_entries(board, entry(A), entry(B)).rung == 1


def test_a_run_that_both_are_of_goes_before_newer_ones(board):
    board.start_run(a_run("newer-run"))
    board.add([judged(A, GOOD), judged(B, POOR), judged(B, GOOD, run="newer-run")])
    assert compare_entries(board, entry(A), entry(B)).difference == pytest.approx(-0.5)


def test_the_metric_that_both_were_asked_for_stands_beside_accuracy(board):
    asked = {"metric": "f1_macro", "value": 0.625}
    board.add([judged(A, GOOD, **asked), judged(B, POOR, accuracy=0.5, **asked | {"value": 0.25})])
    found = compare_entries(board, entry(A), entry(B)).to_dict()
    assert found["metric"] == "accuracy"
    assert [value["mean"] for value in found["values"]] == [0.75, 0.5]
    assert found["reported"]["metric"] == "f1_macro"
    assert [value["mean"] for value in found["reported"]["values"]] == [0.625, 0.25]
    board.add([judged(A, GOOD, rung=2, **asked), judged(B, POOR, rung=2, metric="mcc", value=0.5)])
    assert compare_entries(board, entry(A), entry(B)).to_dict()["reported"] is None


def test_written_texts_are_compared_by_their_metric(board):
    score = {"metric": "rougeL", "accuracy": 0.0}
    board.add([judged(A, GOOD, value=0.8, **score), judged(B, POOR, value=0.4, **score)])
    found = compare_entries(board, entry(A), entry(B)).to_dict()
    assert found["metric"] == "rougeL"
    assert [value["mean"] for value in found["values"]] == [0.8, 0.4]
    board.add([judged(B, POOR, rung=2, metric="bleu"), judged(A, GOOD, rung=2, metric="rougeL")])
    with pytest.raises(InputError, match="bleu and rougeL"):
        compare_entries(board, entry(A), entry(B))


@pytest.mark.parametrize("shared", [0, 1])
def test_no_shared_rows(board, shared):
    board.add([judged(A, GOOD), judged(B, GOOD, [f"s{number}" for number in range(12 - shared)] + ROWS[:shared])])
    with pytest.raises(InputError, match=r"share (no rows|one row) .*two"):
        compare_entries(board, entry(A), entry(B))


def test_different_data(board):
    board.start_run(a_run("other-data", fingerprint="0" * 64, corpus="others"))
    board.add([judged(A, GOOD), judged(B, GOOD, run="other-data")])
    with pytest.raises(InputError, match=r"different data, 'reviews' .* and 'others'"):
        compare_entries(board, entry(A), entry(B))


def test_an_evaluation_without_losses_is_not_stored(board):
    for changes in ({}, {"status": "pruned", "reason": "behind"}):
        with pytest.raises(InputError, match="without losses"):
            board.add([judged(B, [], **changes)])


def test_unknown_entries(board):
    board.add([judged(A, GOOD)])
    for second in ("f" * 12, entry(A)[:7]):
        with pytest.raises(NotFoundError):
            compare_entries(board, entry(A), second)


def test_the_command(board, capsys):
    board.add([judged(A, GOOD), judged(B, POOR)])
    board.add([judged(A, GOOD, rung=2, fold=fold, accuracy=0.5 + fold / 4) for fold in (0, 1)])
    board.add([replace(judged(B, POOR, rung=2), score=Score(0.5, 0.5, "f1_macro", 0.1, 12))])
    where = ("--leaderboard", board.path)
    result = commands.call(capsys, "leaderboard", "compare", entry(A)[:8], entry(B)[:8], *where, "--json")
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out) == compare_entries(board, entry(A), entry(B)).to_dict()
    shown = commands.call(capsys, "leaderboard", "compare", entry(A)[:8], entry(B)[:8], *where)
    assert shown.code == 0
    for part in (entry(A)[:8], entry(B)[:8], "12 validation rows", "rung 2", "-0.5000",
                 "0.625 (sd 0.177 over 2 folds and repeats)", "95 % interval", "100.0 %"):  # fmt: skip
        assert part in shown.out.replace("\n", " ")
    refused = commands.call(capsys, "leaderboard", "compare", entry(A), entry(B), "--split", "test", *where)
    commands.refused(refused, 3, "test rows")
    commands.refused(commands.call(capsys, "leaderboard", "compare", entry(A), "f" * 12, *where), 3, "f" * 12)
    assert commands.call(capsys, "leaderboard", "compare", entry(A), *where).code == 2
