"""What a search in Python tells: events for a callback, and progress only where somebody looks on."""

import dataclasses
import subprocess
import sys
import time
from collections import Counter
from types import SimpleNamespace

import pytest
import runs
from shown import evaluation, evaluator

import autoprompt
from autoprompt import CandidateEvaluated, NoteGiven, PlannedStage, SearchPlanned, StageStarted
from autoprompt.errors import UsageError
from autoprompt.leaderboard import Leaderboard
from autoprompt.progress import CallbackView, NotebookView, PlainView, Silent, choose_view, in_notebook


def told() -> tuple[list, CallbackView]:
    events: list = []
    return events, CallbackView(Silent(), events.append)


def test_each_call_of_a_view_is_an_event():
    events, view = told()
    view.stage("generation 1")
    view.note("The data are few.")
    view.expect([SimpleNamespace(stage="search", seconds=(1.0, 2.0)), SimpleNamespace(stage="test", seconds=None)])
    view.evaluated(None, evaluator(1))
    view.evaluated(evaluation(0.5), evaluator(2))
    view.evaluated(evaluation(0.5).failed("the loss is NaN"), evaluator(3))
    stages = (PlannedStage("search", 1.0, 2.0), PlannedStage("test", None, None))
    assert events[:3] == [StageStarted("generation 1"), NoteGiven("The data are few."), SearchPlanned(stages)]
    found, failed = events[3:]
    assert found == CandidateEvaluated(
        template="[red]{text}[/] [/nothing] :smile: {label}", label_words={"neg": "[b]", "pos": "[/]"},
        settings={"tuning": "tail", "learning_rate": 5e-4, "batch_size": 8, "epochs": 8, "rank": 8}, demos=0,
        split="validation", rung=1, fold=0, repeat=0, status="complete", loss=0.5, accuracy=None, n=2, reason=None,
        seconds=0.0, evaluations=2,
    )  # fmt: skip
    assert (failed.status, failed.reason, failed.loss, failed.n) == ("failed", "the loss is NaN", None, 0)
    assert all(len(repr(event)) < 400 and type(event).__name__ in repr(event) for event in events)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.loss = 0.0


def test_accuracy_is_that_of_the_labels():
    both = dataclasses.replace(evaluation(0.5), labels=("neg", "pos"))
    assert (both.accuracy, both.failed("x").accuracy, evaluation(0.5).accuracy) == (0.5, None, None)


def searched(options, board, callback, **more):
    return autoprompt.search(
        options.corpus, model=options.model.model, device="cpu", workers=1, max_evaluations=options.max_evaluations,
        unlabeled=options.data.unlabeled, leaderboard=board, config=options.config, fix=options.fix,
        refit=False, callback=callback, **more,
    )  # fmt: skip


def test_a_callback_is_told_of_every_evaluation_and_may_end_a_search_that_goes_on(finished, tmp_path, capsys):
    options, values = finished
    events: list = []

    def stopping(event):
        events.append(event)
        if isinstance(event, CandidateEvaluated) and event.rung == 1 and event.evaluations == 3:
            raise LookupError("enough")

    board = tmp_path / "lb.sqlite"
    with pytest.raises(LookupError, match="enough"):
        searched(options, board, stopping, name="mine")
    result = autoprompt.resume("mine", leaderboard=board, callback=events.append)
    assert capsys.readouterr() == ("", ""), "nobody looks on"
    assert runs.facts(board, result.to_dict()) == runs.facts(options.leaderboard, values)
    assert {type(event) for event in events} == {StageStarted, NoteGiven, SearchPlanned, CandidateEvaluated}
    assert {"data", "model", "baselines", "generation 0", "test"} <= {
        e.stage for e in events if type(e) is StageStarted
    }
    scored = Counter(
        (e.template, str(e.settings), e.rung, e.fold, e.repeat, e.loss)
        for e in events
        if type(e) is CandidateEvaluated and e.status == "complete"
    )
    with Leaderboard.open(board, read_only=True) as opened:
        stored = [e for e in opened.evaluations(result.run) if e.split == "validation" and e.seconds]
    known = {
        (e.candidate.template.format(), str(e.candidate.settings.to_dict()), e.rung, e.fold, e.repeat, e.score.loss)
        for e in stored
    }
    assert len(known) > 5
    assert known <= scored.keys()


def test_other_choices_are_refused():
    with pytest.raises(UsageError, match="progress='loud' is unknown; give 'auto', True or False"), choose_view("loud"):
        pass
    with pytest.raises(UsageError, match="callback=3 cannot be called"), choose_view(False, 3):
        pass


def test_nothing_is_shown_where_nobody_looks_on(capsys):
    for choice, kind in (("auto", Silent), (False, Silent), (True, PlainView)):
        with choose_view(choice, evaluations=3) as view:
            assert type(view) is kind
            view.stage("data")
            view.note("a note")
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first.startswith("stage: data | time: 0:00 | evaluations: 0 of 3")
    assert second == "note: a note"


def test_a_terminal_has_the_panel():
    program = (
        "import pty, sys\n"
        "code = 'from autoprompt.progress import choose_view\\n'\n"
        "code += 'with choose_view(\"auto\", seconds=60.0) as view:\\n'\n"
        "code += '    assert type(view).__name__ == \"LiveView\"\\n'\n"
        "code += '    view.stage(\"generation 3\")\\n'\n"
        "sys.exit(pty.spawn([sys.executable, '-c', code]) >> 8)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout
    assert "generation 3" in done.stdout


def notebook(monkeypatch, **config):
    """IPython as it is in a process with this configuration."""
    shell = SimpleNamespace(config=config)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))


def test_a_notebook_is_a_kernel_of_ipython(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not in_notebook()
    notebook(monkeypatch, TerminalIPythonApp={})
    assert not in_notebook()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not in_notebook(), "IPython was imported by a program"
    notebook(monkeypatch, IPKernelApp={})
    assert in_notebook()


@pytest.mark.parametrize("limits", [(60.0, None), (None, 4), (None, None)])
def test_a_notebook_has_a_bar(monkeypatch, capsys, limits):
    notebook(monkeypatch, IPKernelApp={})
    seconds, evaluations = limits
    with choose_view("auto", seconds=seconds, evaluations=evaluations, started=time.monotonic() - 30) as view:
        assert isinstance(view, NotebookView)
        view.stage("generation 3\x1b[31m")
        view.evaluated(evaluation(0.5), evaluator(1))
        view.note("a note")
        if seconds or evaluations:
            assert 0 < view.bar.n / view.bar.total < 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b[31m" not in err
    for text in ("generation 3", "note: a note", "loss 0.5000 on 2 validation rows"):
        assert text in err
