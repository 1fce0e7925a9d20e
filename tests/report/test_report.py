"""Reports: what a reader is told, from a leaderboard alone, whatever its texts would like to do."""

import json
import re
import shlex
from dataclasses import replace

import commands
import hostile_leaderboards
import pytest
from boards import RUN, a_run, an_evaluation
from hypothesis import given
from hypothesis import strategies as st
from reports import Page, inert_markdown, inert_page, reported
from synthetic import CONFIG

from autoprompt import run
from autoprompt.errors import NotFoundError, StorageError
from autoprompt.leaderboard import DataRow, Leaderboard
from autoprompt.progress import Silent
from autoprompt.report import escaping, history, write
from autoprompt.report.facts import facts_of


def test_the_report_says_what_the_run_found(searched, tmp_path):
    options, result = searched
    html, text = reported(options.leaderboard, "reviews", out=tmp_path)
    page = Page(html)
    test = result["best"]["test"]
    for said in (f"{100 * test['accuracy']:.1f} %", f"{result['best']['validation']['loss']:.3f}", result["run"],
                 result["best"]["entry"], "manual_tuned", "95 % interval"):  # fmt: skip
        assert said in page.text, said
        assert said in text.replace("\\", ""), said
    assert escaping.visible(result["best"]["template"]) in page.text
    assert page.text.count("Where the winner came from") == 1
    sections = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert sections == [element for element in re.findall(r"<h2[^>]*>(.*?)</h2>", html) if element in sections]
    assert {"The answer", "Leaderboard", "Progress", "Which operators paid off", "Its worst mistakes"} <= set(sections)


def test_the_same_leaderboard_gives_the_same_bytes(searched, tmp_path):
    options, result = searched
    first = reported(options.leaderboard, result["run"], out=tmp_path / "a")
    assert first == reported(options.leaderboard, result["run"], out=tmp_path / "b")
    again = commands.spawn("report", "reviews", "--leaderboard", options.leaderboard, "--out", tmp_path / "c",
                           env={"MPLCONFIGDIR": str(tmp_path), "PYTHONHASHSEED": "7"})  # fmt: skip
    assert again.code == 0, again.err
    assert ((tmp_path / "c" / "report.html").read_text(), (tmp_path / "c" / "report.md").read_text()) == first


def test_the_rows_of_the_data_can_be_left_out(searched, corpus, tmp_path):
    options, _ = searched
    texts = [str(row.fields["text"]) for row in corpus.test]
    whole = "".join(reported(options.leaderboard, "reviews", out=tmp_path / "a"))
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        paths = write(board, ["reviews"], tmp_path / "b", rows=False)
    without = "".join(path.read_text(encoding="utf-8") for path in paths)
    assert any(text in whole for text in texts)
    assert not any(text in without for text in texts)


def test_the_facts_fit_the_result(searched):
    options, result = searched
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        facts = facts_of(board, result["run"])
        stored = board.evaluations(result["run"])
    assert facts.progress[-1].evaluations == result["evaluations"] == len(facts.tuned_prompts)
    losses = [prompt.loss for prompt in facts.tuned_prompts if prompt.loss is not None]
    assert facts.progress[-1].loss == min(losses)
    assert facts.progress[-1].tokens <= sum(e.tokens for e in stored)
    assert sum(map(sum, facts.confusion.counts)) == result["best"]["test"]["n"]
    right = sum(facts.confusion.counts[i][i] for i in range(len(facts.confusion.labels)))
    assert right / result["best"]["test"]["n"] == pytest.approx(result["best"]["test"]["accuracy"])
    assert facts.worst_mistakes == sorted(facts.worst_mistakes, key=lambda mistake: -mistake.loss)
    assert all(mistake.label != mistake.predicted for mistake in facts.worst_mistakes)
    assert facts.ancestors[-1].prompt.entry == result["best"]["entry"]
    assert facts.rows["test"] == result["best"]["test"]["n"]
    assert sum(row.tuned for row in facts.operators) + 3 == result["evaluations"], "all but the baselines"


@pytest.mark.parametrize("refit", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_command_that_a_report_names_repeats_the_run(searched, tmp_path, capsys, refit):
    options, result = searched
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        assert facts_of(board, result["run"]).repeat is None, "a configuration file gave its ranges"
    plain = replace(options, config=None, max_evaluations=4, name=None, fix={"epochs": 1, "rank": 4}, seed=3,
                    refit=refit, templates=("It was\n{text}: {label}",),
                    leaderboard=tmp_path / "one.sqlite")  # fmt: skip
    with commands.inline():
        first = run.search(plain, Silent()).to_dict()
    with Leaderboard.open(plain.leaderboard, read_only=True) as board:
        command, digest = facts_of(board, first["run"]).repeat, board.digest(first["run"])
    assert bool(first["versions"]) is refit
    words = shlex.split(command)
    assert words[:2] == ["autoprompt", "search"]
    again = commands.call(capsys, *words[1:], "--leaderboard", tmp_path / "two.sqlite", "--json")
    assert again.code == 0, again.err
    with Leaderboard.open(tmp_path / "two.sqlite", read_only=True) as board:
        assert board.digest(json.loads(again.out)["run"]) == digest


@pytest.mark.parametrize(
    ("best", "more", "code"),
    [
        (None, {"best": {"a": {"b": 1}}}, 0),
        ({}, {"baselines": {"manual": {}}}, 0),
        ({}, {"refine": {"entry": "e" * 64}}, 0),
        ({}, {"refine": {"new": []}}, 4),
        ({"test": {"loss": 0.5}}, {}, 4),
    ],
)
def test_a_result_that_lacks_something_is_reported_or_refused(capsys, hostile, tmp_path, best, more, code):
    """As somebody else may have stored it: with types that fit, and values that are missing."""
    with Leaderboard.open(hostile) as board:
        entry = board.evaluations(RUN)[0].entry
    result = {"best": {"entry": entry} | (best or {}), **more}
    hostile_leaderboards.forged("runs", "result", json.dumps(result), 0)(hostile)
    for arguments in (("report", RUN, "--out", tmp_path / "out"), ("leaderboard", "runs"), ("leaderboard", "list")):
        done = commands.call(capsys, *arguments, "--leaderboard", hostile)
        assert done.code in (0, code), (arguments, done.err)
        assert "Traceback" not in done.err
    assert (tmp_path / "out" / "report.html").exists() == (code == 0)


def test_fault_42_nothing_in_the_page_acts(hostile, tmp_path):
    html, _ = reported(hostile, RUN, out=tmp_path)
    assert "<script>alert(1)</script>" in inert_page(html).text


def test_fault_43_markdown_is_escaped(hostile, tmp_path):
    inert_markdown(reported(hostile, RUN, out=tmp_path)[1])


def test_fault_44_control_and_bidi_characters_are_shown(hostile, tmp_path):
    for text in reported(hostile, RUN, out=tmp_path):
        assert all(c.isprintable() or c == "\n" for c in text), {c for c in text if not c.isprintable()}
        assert "\\u202e" in text.replace("\\\\", "\\")
        assert "x1b" in text


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_code_spans_hold_what_they_are_given(text: str) -> None:
    span = escaping.markdown_code(text)
    fence = re.match("`+", span)
    assert fence is not None
    inner = span[len(fence[0]) : -len(fence[0])]
    assert span.endswith(fence[0])
    assert fence[0] not in re.findall("`+", inner), "no run of ticks inside ends it early"
    assert inner.strip(" ").replace("\\|", "|") == escaping.visible(text).strip(" ")
    assert "\n" not in span


def test_a_run_that_has_not_finished_has_a_report_too(tmp_path):
    board = tmp_path / "lb.sqlite"
    with Leaderboard.open(board) as opened:
        opened.start_run(a_run(config=CONFIG))
    html, text = reported(board, RUN, out=tmp_path / "empty")
    assert "nothing was scored" in Page(html).text
    with Leaderboard.open(board) as opened:
        opened.add(
            [an_evaluation("k"), an_evaluation("k2", "B {text}{label}", status="failed", reason="NaN", score=None)]
        )
        opened.finish_run(RUN, "stopped")
    html, text = reported(board, RUN, out=tmp_path / "stopped")
    assert "leading prompt so far" in Page(html).text
    assert "has not finished" in text


def test_what_cannot_be_reported(searched, tmp_path):
    options, result = searched
    with pytest.raises(NotFoundError):
        reported(options.leaderboard, "another", out=tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="choose another folder"):
        reported(options.leaderboard, result["run"], out=tmp_path / "file" / "report")


def test_several_runs_are_compared(hostile, tmp_path):
    ids = [f"{n:016x}" for n in range(3)]
    rows = [f"r{n}" for n in range(40)]
    with Leaderboard.open(hostile) as board:
        for run_id, wrong, fingerprint in zip(ids, (2, 20, 2), ("f" * 64, "f" * 64, "e" * 64), strict=True):
            one = an_evaluation(
                "k", run=run_id, split="test", role="finalist", row_ids=rows, losses=[0.5] * 40,
                log_probs=[[-0.5, -1.0]] * 40, predictions=["neg"] * wrong + ["pos"] * (40 - wrong),
            )  # fmt: skip
            shown = {"entry": one.entry, **one.candidate.to_dict(), "validation": one.score.to_dict(),
                     "test": one.score.to_dict() | {"accuracy": 1 - wrong / 40, "n": 40}}  # fmt: skip
            result = {"best": shown, "baselines": {"manual_tuned": shown}, "evaluations": 4, "seconds": 61.0}
            record = a_run(run_id, name=f"run-{wrong}-{fingerprint[0]}", fingerprint=fingerprint, status="finished",
                           result=result)  # fmt: skip
            board.start_run(record, [DataRow(run_id, "test", row, {"text": row}, "pos") for row in rows])
            board.add([one])
        board.start_run(a_run("9" * 16, name="unfinished"))
    html, text = reported(hostile, *ids, "unfinished", RUN, out=tmp_path)
    page = Page(html)
    for said in (
        "run-2-f",
        "run-20-f",
        "run-2-e",
        "unfinished",
        "95.0 %",
        "50.0 %",
        "no winner",
        "the first is better",
    ):
        assert said in page.text, said
        assert said in text.replace("\\", ""), said
    assert text.replace("\\", "").count("| run-2-f | run-20-f | 40 | +45.0 |") == 1
    assert "run-2-f | run-2-e" not in text.replace("\\", ""), "other data"
    assert all(c.isprintable() or c == "\n" for c in html + text)
    assert not {tag for tag, _ in page.elements} & {"script", "img", "a"}


def tried(entry: str, loss: float | None, length: int, readability: float | None) -> history.TunedPrompt:
    return history.TunedPrompt(entry, "search", "complete", "{text}{label}", {}, {}, loss, length, readability)


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.3]), st.integers(0, 3), st.sampled_from([1.0, 2.0, None]))))
def test_the_front_is_what_nothing_beats(goals: list) -> None:
    prompts = [tried(str(n), *goal) for n, goal in enumerate(goals)]
    found = history.pareto_front(prompts)

    def beats(a: history.TunedPrompt, b: history.TunedPrompt) -> bool:
        pairs = [(a.loss, b.loss), (a.length, b.length), (a.readability or 9e9, b.readability or 9e9)]
        return all(x <= y for x, y in pairs)

    for prompt in prompts:
        assert any(beats(other, prompt) for other in found)
    for one in found:
        assert not any(beats(other, one) for other in found if other is not one)
