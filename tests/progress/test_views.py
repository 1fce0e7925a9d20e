"""What people see: plain lines for files, a panel for terminals, tables that show text as it is."""

import io
import shlex
import time
from pathlib import Path

import pytest
import typed
from rich.console import Console
from shown import COMPARISON, EVALUATION, GROUP, RESULT, ROW, RUN, SCORE, SETTINGS, evaluation, evaluator

from autoprompt import progress
from autoprompt.candidate import Candidate
from autoprompt.evaluator import Evaluation
from autoprompt.template import LabelWords, Template

SHOWN = "[red]{text}[/] [/nothing] :smile: {label}"


def terminal(width: int, *, is_terminal: bool = True) -> Console:
    return Console(file=io.StringIO(), width=width, height=40, force_terminal=is_terminal, color_system=None)


def test_plain_lines_for_a_file(capsys):
    console = terminal(80, is_terminal=False)
    with progress.view(time.monotonic(), 300.0, None, console) as view:
        assert isinstance(view, progress.PlainView)
        view.stage("generation 0")
        view.evaluated(evaluation(0.5), evaluator(1))
        view.evaluated(evaluation(0.9), evaluator(2))  # no news: no line
        view.evaluated(None, evaluator(2))
        view.evaluated(evaluation(0.25), evaluator(3))
        view.note("[red]odd[/]")
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == ""
    assert len(lines) == 4
    assert "generation 0" in lines[0]
    assert "of 5:00" in lines[0]
    assert "0.5000" in lines[1]
    assert "0.2500" in lines[2]
    assert "evaluations: 3" in lines[2]
    assert repr(SHOWN) in lines[2]
    assert lines[3] == "note: [red]odd[/]"


def test_plain_lines_stay_one_line_whatever_the_template(capsys):
    with progress.view(time.monotonic(), None, 5, terminal(80, is_terminal=False)) as view:
        view.evaluated(evaluation(0.5, template="{text}\n\x1b[31m\u202e{label}"), evaluator(1))
    (line,) = capsys.readouterr().err.splitlines()
    assert "\x1b" not in line
    assert "\u202e" not in line
    assert "1 of 5" in line


def test_frozen_and_failed_evaluations_are_never_the_best():
    view = progress.PlainView(time.monotonic(), None, 9)
    view.evaluated(evaluation(0.1, rung=0), evaluator(0))
    view.evaluated(evaluation(0.1).failed("broke"), evaluator(1))
    assert view.best is None
    view.evaluated(evaluation(0.7), evaluator(2))
    assert view.best is not None
    assert view.facts()["evaluations"] == "2 of 9"


@pytest.mark.parametrize("width", [40, 120])
@pytest.mark.parametrize("limits", [(60.0, None), (None, 10), (None, None)])
def test_the_panel_fits_its_terminal(width, limits):
    console = terminal(width)
    with progress.view(time.monotonic() - 30, *limits, console) as view:
        assert isinstance(view, progress.LiveView)
        view.stage("generation 3")
        view.evaluated(evaluation(0.5), evaluator(4))
        view.note("[red]careful[/] [/]")
    written = console.file.getvalue()
    assert "generation 3" in written
    assert "[red]careful[/] [/]" in written
    panel = terminal(width)
    panel.print(view)
    lines = panel.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    text = "".join(line.strip() for line in lines)
    assert "0.5000" in text
    assert "[/nothing]" in " ".join(line.strip() for line in lines)
    assert ("budget" in text) == (limits != (None, None))


WRITTEN = SCORE | {"metric": "rougeL", "accuracy": 0.0, "value": 0.4125}
LIKELIHOOD = {"loss": 1.25, "accuracy": None, "metric": "loss", "value": 1.25, "n": 16}
DEMO = {"row_id": "r[1]", "fields": {"text": "[red]\n{label}[/]"}, "label": "[/b]"}
TEXTS = ROW | {"template": "{demos:1}{talk} [b] {label}", "label_words": {}, "demos": [DEMO], "test": WRITTEN}


@pytest.mark.parametrize("width", ["40", "160"])
def test_tables_show_markup_as_text(capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", width)
    failed = ROW | {"validation": None, "status": "failed"}
    shows = {
        "entries": lambda: typed.show_entries([ROW, failed], 20),
        "runs": lambda: typed.show_runs([RUN, RUN | {"name": None, "result": None}]),
        "entry": lambda: typed.show_entry(ROW | {"evaluations": [EVALUATION, EVALUATION | {"score": None}]}),
        "result": lambda: typed.show_result(RESULT, Path("[x] lb.sqlite")),
        "comparison": lambda: typed.show_comparison(COMPARISON),
        "card": lambda: typed.show_card({"name": "[red]", "template": "[/]\n{label}"}),
        "evaluation": lambda: typed.show_evaluation(
            {"split": "test", "n": 3, "tuning": "tail", "seconds": 1.0, "metrics": {"accuracy": 0.5}}
        ),
        "artifacts": lambda: typed.show_artifacts(
            [{"name": "[red]", "description": "a [/] b", "licence": "[MIT]", "pulled": True}]
        ),
    }
    written = {}
    for name, show in shows.items():
        show()
        written[name] = capsys.readouterr().out
        assert "\x1b" not in written[name]
    if width == "160":
        assert "[red]" in written["entries"]
        assert "[b]" in written["entries"]
        assert SHOWN in written["entries"]
        assert "[red]name[/]" in written["runs"]
        assert SHOWN in written["entry"]
        assert "[red]corpus[/]" in written["result"]
        assert "[x] lb.sqlite" in written["result"]
        assert "test n=32" in written["result"]
        assert "75.0 %" in written["result"]
        assert "[red]" in written["artifacts"]
        assert "a [/] b" in written["artifacts"]
        assert "[MIT]" in written["artifacts"]
        assert "failed" in written["entries"]


def test_solved_examples_and_prompts_without_label_words(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    likely = TEXTS | {"validation": LIKELIHOOD, "role": "manual", "demos": []}
    typed.show_entries([TEXTS | {"validation": WRITTEN}, likely], 20)
    header, _, written, likelihood = capsys.readouterr().out.splitlines()[-4:]
    assert "rougeL" in header
    assert "acc" not in header
    assert " 0.412 " in written
    assert "{demos:1}{talk} [b] {label} " in written
    assert "1.250" in likelihood
    assert "{label} (manual)" in likelihood
    assert "loss" not in likelihood
    typed.show_entry(TEXTS | {"evaluations": [EVALUATION | {"score": s} for s in (WRITTEN, LIKELIHOOD, None)]})
    shown = capsys.readouterr().out
    assert "example 1 (r[1]): {'text': '[red]\\n{label}[/]'} -> '[/b]'" in shown
    assert "label words" not in shown
    assert "rougeL" in shown
    assert "0.412" in shown
    assert "1.2500" in shown
    runs = [RUN | {"result": {"best": TEXTS | {"test": test}}} for test in (WRITTEN, LIKELIHOOD, SCORE, None)]
    typed.show_runs(runs)
    shown = capsys.readouterr().out
    assert "0.412 rougeL (n=32)" in shown
    assert "75.0 % accuracy (n=32)" in shown
    typed.show_result(RESULT | {"best": TEXTS, "baselines": {"manual": TEXTS | {"test": LIKELIHOOD}}}, Path("lb"))
    header, metrics, _, winner = capsys.readouterr().out.splitlines()[2:6]
    assert "test" in header
    assert "rougeL" in metrics
    assert "accuracy" not in metrics
    assert " 0.412 " in winner


MACRO = SCORE | {"metric": "f1_macro", "value": 0.7125}
LONG = SCORE | {"metric": "balanced_accuracy", "value": 0.625}


def test_the_metric_asked_for_stands_beside_accuracy(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    row = ROW | {"validation": MACRO, "test": MACRO}
    spread = {"metric": "f1_macro", "values": [0.7, 0.72], "mean": 0.71, "deviation": 0.0141}
    shows = (
        lambda: typed.show_result(RESULT | {"best": row, "spread": spread}, Path("lb")),
        lambda: typed.show_entries([row], 20),
        lambda: typed.show_entry(row | {"evaluations": [EVALUATION | {"score": MACRO}]}),
        lambda: typed.show_runs([RUN | {"result": {"best": row}}]),
    )
    for show in shows:
        show()
        shown = capsys.readouterr().out
        assert "f1_macro" in shown
        assert "0.71" in shown
        assert "75.0 %" in shown or "0.75" in shown
    typed.show_entries([row, ROW | {"validation": LONG}, ROW], 20)
    mixed = capsys.readouterr().out
    assert "0.713 f1_macro" in mixed or "0.712 f1_macro" in mixed
    assert "0.625 balanced_accuracy" in mixed
    reported = {"metric": "f1_macro", "values": [{"mean": 0.625, "deviation": 0.0, "folds": 1}] * 2}
    typed.show_comparison(COMPARISON | {"metric": "accuracy", "reported": reported})
    shown = capsys.readouterr().out
    assert "f1_macro" in shown
    assert "0.625" in shown


def test_the_end_of_a_search_says_how_sure_the_winner_is(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    spread = {"metric": "accuracy", "values": [0.75, 0.875], "mean": 0.8125, "deviation": 0.0884}
    estimate = {"error": 0.2109, "deviation": 0.0349, "unlabeled_weight": 0.16}
    best = RESULT["best"] | {"estimate": estimate}
    typed.show_result(RESULT | {"best": best, "spread": spread, "finalists": 2, "warnings": []}, Path("lb"))
    sure = capsys.readouterr().out
    assert "winner's estimated error: 21.1 ± 3.5 % (rows without labels count 16 %)" in sure
    assert "winner over 2 folds and repeats: accuracy 0.812 ± 0.088" in sure
    assert "not re-scored" not in sure
    left_out = ["The winner was not scored a second time: no time was left for finalists."]
    typed.show_result(RESULT | {"spread": None, "finalists": 0, "left_out": left_out}, Path("lb"))
    unsure = capsys.readouterr().out
    assert f"Note: {left_out[0]}" in unsure
    assert "±" not in unsure
    bare = {name: value for name, value in RESULT.items() if name != "difference"}
    typed.show_result(bare, Path("lb"))
    assert "not re-scored" not in capsys.readouterr().out


def test_the_next_commands_can_be_copied(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    typed.show_result(RESULT | {"weights": "f" * 64}, Path("my folder/:smile: [b].sqlite"))
    said = capsys.readouterr().out.partition("Next:")[2].splitlines()
    report, module, prompt, predict = [shlex.split(line) for line in said if line]
    where = ["--leaderboard", "my folder/:smile: [b].sqlite"]
    assert report == ["autoprompt", "report", RESULT["run"], "--out", "report", *where]
    assert module == ["autoprompt", "export", "e" * 12, "--out", "best.py", *where]
    assert prompt == ["autoprompt", "export", "e" * 12, "--out", "best.json", "--with-weights", *where]
    assert predict[:3] == ["autoprompt", "predict", "best.json"]


def entry(name: str, run: str, **changes: object) -> dict:
    return ROW | {"entry": name * 64, "run": run, "template": "{text}\nA long enough question: {label}"} | changes


def test_the_winner_of_each_run_is_marked_and_explained(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    runs = [RUN, RUN | {"id": "b" * 12, "name": None, "corpus": "reviews"}]
    entries = [entry("1", "a" * 12, winner=False), entry("2", "b" * 12, winner=True), entry("3", "a" * 12, winner=True)]
    typed.show_entries(entries, 20, runs, [GROUP])
    shown = capsys.readouterr().out
    marked = [line.split()[1] for line in shown.splitlines() if line.startswith("* ") and "winner" not in line]
    assert marked == ["22222222", "33333333"]
    assert "* the winner of its run" in shown
    for part in ("[red]name[/]", "b" * 12, "[/], reviews (data ffffffff)"):
        assert part in shown
    assert "rung 2: evaluated on 32 rows; test rows of this data used by 5 evaluations" in " ".join(shown.split())
    typed.show_entries(entries[:1], 20, runs, [GROUP])
    alone = capsys.readouterr().out
    assert "winner" not in alone
    assert "[red]name[/]" not in alone


def test_a_prompt_has_room_in_an_ordinary_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    rates = (1e-3, 5e-4)
    settings = [SETTINGS.change(learning_rate=rate).to_dict() for rate in rates]
    entries = [entry(str(n), "a" * 12, settings=one) for n, one in enumerate(settings)]
    typed.show_entries(entries, 20)
    shown = capsys.readouterr().out
    assert "settings of all: tail batch 8 epochs 8 rank 8" in shown
    assert "label words: [b]/[/]" in shown
    assert shown.count(r"{text}\nA long enough question: {label}") == 2
    assert "lr 1e-03" not in shown
    assert "leaderboard show" in shown
    several = [entry("1", run, validation=MACRO) for run in ("a" * 12, "b" * 12)]
    typed.show_entries(several, 20, [RUN, RUN | {"id": "b" * 12, "corpus": "reviews"}], [GROUP])
    shown = capsys.readouterr().out
    assert shown.count(r"{text}\nA long enough question: {label}") == 1  # below the table, in full width
    assert "reviews" in shown
    monkeypatch.setenv("COLUMNS", "120")
    typed.show_entries(entries, 20)
    assert "lr 1e-03" in capsys.readouterr().out


@pytest.mark.parametrize("width", ["1", "10", "25", "40", "60", "79", "99"])
def test_no_terminal_is_too_narrow(capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", width)
    entries = [entry(str(n), "ab"[n % 2] * 12, validation=(LONG, MACRO, None)[n % 3], winner=n < 2) for n in range(6)]
    typed.show_entries(entries, 5, [RUN])
    typed.show_entries([], 5)
    assert capsys.readouterr().out


def test_a_comparison_says_how_sure_it_is(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    typed.show_comparison(COMPARISON)
    shown = capsys.readouterr().out
    for part in ("32 validation rows", "rung 2", "rougeL", "0.500 (sd 0.125 over 4 folds and repeats)", "0.7500",
                 "-0.2500 of loss (95 % interval -0.5000 to +0.0000)", "97.5 % of resamples"):  # fmt: skip
        assert part in shown
    assert "sd 0.000" not in shown


def test_a_live_view_without_label_words_names_none():
    view = progress.PlainView(time.monotonic(), None, 9)
    wordless = Candidate(Template.parse("{text}{label}"), LabelWords(()), SETTINGS)
    view.evaluated(Evaluation(wordless, 1, losses=(0.5,), gold=(0,), log_probs=((-0.5,),)), evaluator(1))
    assert "label words" not in view.facts()


def test_what_is_not_shown_is_counted(capsys):
    typed.show_entries([ROW] * 5, 3)
    assert "2 more" in capsys.readouterr().out
