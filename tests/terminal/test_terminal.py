"""Nothing of data, models and strangers' leaderboards acts on a terminal, and printed commands can be pasted."""

import ast
import io
import json
import logging
import os
import pty
import shlex
import shutil
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import commands
import pytest
import synthetic
import typed
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text
from shown import COMPARISON, EVALUATION, GROUP, RESULT, ROW, RUN, SCORE, evaluation, evaluator

from autoprompt import progress
from autoprompt.candidate import Demo
from autoprompt.errors import InputError
from autoprompt.leaderboard import Leaderboard
from autoprompt.results import RunResult
from autoprompt.template import LabelWords, Template
from autoprompt.terminal import command_line, printable, visible
from autoprompt.terminal.console import Console
from autoprompt.terminal.quoting import quoted
from autoprompt.terminal.streams import Guarded

HOSTILE = "\x1b[31m\x1b]52;c;cm0gLXJm\x07\x1b]8;;http://x\x1b\\\x9b2J\u202e\u2066\r\x08\x0b\x0c\t\x7f\u2028"
HOSTILE += "[red]x[/red] :smile:"
SHOWN = ("\\x1b", "\\u202e", "[red]x[/red] :smile:")


def inert(text: str) -> None:
    """Nothing but visible characters and line breaks."""
    found = {ascii(character) for character in text if not character.isprintable() and character != "\n"}
    assert not found


def spoilt(value: Any) -> Any:
    """The same value with hostile texts for all texts."""
    if isinstance(value, dict):
        return {name: spoilt(one) for name, one in value.items()}
    if isinstance(value, list):
        return [spoilt(one) for one in value]
    return HOSTILE if isinstance(value, str) else value


# One function


@given(st.text())
def test_what_is_visible_is_printable_whatever_the_text(text):
    assert visible(text).isprintable()
    inert(printable(text))
    assert visible(visible(text)) == visible(text)
    assert printable(text).count("\n") == text.count("\n")
    assert text.isprintable() == (visible(text) == text)


def test_a_console_prints_text_as_it_is(capsys):
    console = Console(width=200)
    table = Table(HOSTILE, title=HOSTILE)
    table.add_column(Text(HOSTILE))
    table.add_row(HOSTILE, Text(HOSTILE))
    for each in (HOSTILE, Text(HOSTILE), Text.from_ansi(HOSTILE), table):
        console.print(each)
        out = capsys.readouterr().out
        inert(out)
        assert "[red]x[/red] :smile:" in " ".join(out.split())


def test_styles_are_rich_s_own_and_links_are_none():
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text("bold", style="bold link http://x"))
    assert console.file.getvalue() == "\x1b[1mbold\x1b[0m\n"


OWN = {
    "terminal/streams.py": {"print"},  # echo
    "terminal/console.py": {"rich.console.Console"},
    "cli/__init__.py": {"print"},  # one sentence, where a signal came before anything else was imported
    "cli/root.py": {"click.echo"},  # the completion's source, which is run
    "cli/options.py": {"sys.stdout.write"},  # JSON in ASCII, piece by piece
    "cli/predictions.py": {"print"},  # answers, into a stream that is guarded where it is a terminal
    "models/prompts/chat_renderer.py": {"sys.stdout.write"},  # a process of its own, to the one that started it
    "progress.py": {"rich.console.Console"},  # a caller may bring one: its texts are escaped before
}
"""What prints by itself, and where."""


def printing(tree: ast.AST) -> set[str]:
    """What of the ways to print past the one function a module uses."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "click.echo", "traceback.print_exc"):
            found.add(ast.unparse(node.func))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("sys.stdout.write", "sys.stderr.write"):
            found.add(ast.unparse(node.func))
        if isinstance(node, ast.ImportFrom) and node.module in ("rich.console", "rich.markup", "rich"):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & {"rich.console.Console", "rich.markup.escape", "rich.print"}
    return found


def test_nothing_prints_past_the_one_function():
    root = Path(progress.__file__).parent
    used = {
        path.relative_to(root).as_posix(): printing(ast.parse(path.read_text("utf-8"))) for path in root.rglob("*.py")
    }
    assert {name: ways for name, ways in used.items() if ways} == OWN


# Every command that prints what is stored


def test_no_table_lets_a_stored_text_act(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    entry = {
        "evaluations": [EVALUATION],
        "verdicts": ["v"],
        "demos": [{"row_id": "r", "fields": {"text": "t"}, "label": "l"}],
    }
    told = {"entry": "e", "kept": True, "rows": {"old": 1, "new": 1, "judged": 20},
            "validation": {"before": SCORE, "after": SCORE}, "new": {"before": SCORE, "after": SCORE},
            "difference": {"loss": 0.0, "low": -0.1, "high": 0.1}}  # fmt: skip
    difference = {"metric": "m", "value": 0.1, "low": 0.0, "high": 0.2}
    transfer = {"transfer": {"entry": "e", "corpus": "c", "model": "m", "split": "test"}, "difference": difference,
                "baselines": {"manual_tuned": ROW}}  # fmt: skip
    whole = {"run": "r", "verdict": "v", "flipped": 0, "n": 1, "changed": ["c"],
             "entries": [{"entry": "e", "verdict": "v", "flipped": 0, "n": 1}]}  # fmt: skip
    done = {"split": "s", "rung": 0, "fold": 0, "repeat": 0, "loss": 0.1, "again": 0.1, "flipped": 0, "n": 1}
    verified = whole | {"entry": "e", "evaluations": [done]}
    measured = {"split": HOSTILE, "n": 1, "tuning": HOSTILE, "seconds": 1.0, "metrics": {HOSTILE: 0.5}}
    winner = spoilt(ROW) | {"verdict": HOSTILE, "winner": True}
    spread = {"metric": "m", "values": [0.1, 0.2], "mean": 0.1, "deviation": 0.1}
    shows = [
        lambda: typed.show_entries([winner], 9, [spoilt(RUN)], [spoilt(GROUP)]),
        lambda: typed.show_entries([spoilt(ROW) | {"validation": None, "depth": 1, "verdict": HOSTILE}] * 2, 1),
        lambda: typed.show_runs([spoilt(RUN) | {"started": HOSTILE}]),
        lambda: typed.show_entry(spoilt(ROW | entry)),
        lambda: typed.show_comparison(spoilt(COMPARISON)),
        lambda: typed.show_result(spoilt(RESULT | {"spread": spread, "difference": difference}), Path(HOSTILE)),
        lambda: typed.show_transfer(spoilt(RESULT | transfer)),
        lambda: typed.show_refinement(spoilt(RESULT | {"refine": told})),
        lambda: typed.show_refinement(spoilt(RESULT | {"refine": told | {"kept": False}})),
        lambda: typed.show_verification(spoilt(verified)),
        lambda: typed.show_run_verification(spoilt(whole)),
        lambda: typed.show_evaluation(measured),
        lambda: typed.show_artifacts([spoilt({"name": "n", "pulled": True, "licence": "l", "description": "d"})]),
        lambda: typed.show_card(spoilt({"name": "n", "template": "t", "fields": ["f"]})),
    ]  # fmt: skip
    for show in shows:
        show()
        out = capsys.readouterr().out
        inert(out)
        assert SHOWN[0] in out


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """A leaderboard with hostile texts wherever text is free."""
    path = tmp_path_factory.mktemp("hostile") / "lb.sqlite"
    synthetic.write(path, 4)
    with Leaderboard.open(path) as opened:
        run = opened.runs()[0]
        (first, *_), result = opened.evaluations(run.id), spoilt_result(run.result)
        stored = replace(run, id="fedcba9876543210"[:12], name=HOSTILE, corpus=HOSTILE, model=HOSTILE,
                         config=run.config.changed(warnings=[HOSTILE]), result=result,
                         environment={"device": HOSTILE})  # fmt: skip
        opened.start_run(stored)
        demos = (Demo.of(HOSTILE, {"text": HOSTILE}, HOSTILE),)
        words = LabelWords(((HOSTILE, "bad"), ("b", HOSTILE)))
        template = Template.parse(f"{{demos:1}}{HOSTILE}{{text}}{{label}}")
        candidate = replace(first.candidate, template=template, label_words=words, demos=demos)
        opened.add([
            replace(first, run=stored.id, entry="e" * 64, candidate=candidate, reason=HOSTILE, status="pruned",
                    predictions=[HOSTILE] * len(first.predictions)),
        ])  # fmt: skip
    return path


def spoilt_result(result: RunResult) -> RunResult:
    named = dict.fromkeys(("corpus", "model", "verdict"), HOSTILE) | {"left_out": [HOSTILE], "warnings": [HOSTILE]}
    return replace(result, **named, best=replace(result.best, entry="e" * 64, template=HOSTILE))


@pytest.mark.parametrize(
    "arguments",
    [
        ["leaderboard", "list"],
        ["leaderboard", "list", "--json"],
        ["leaderboard", "runs"],
        ["leaderboard", "runs", "--json"],
        ["leaderboard", "show", "e" * 64],
        ["leaderboard", "show", "e" * 64, "--json"],
        ["leaderboard", "compare", "e" * 64, "eeeeeeee"],
        ["report", HOSTILE, "--out", HOSTILE],
        ["resume", HOSTILE],
        ["resume", HOSTILE, "--verbose"],
        ["verify", "--run", HOSTILE],
        ["verify", "e" * 64, "-v"],
        ["export", "e" * 64, "--out", HOSTILE],
        ["export", "--run", HOSTILE, "--out", f"{HOSTILE}.json"],
        ["refine", "e" * 64, HOSTILE],
        ["leaderboard", "merge", HOSTILE],
        ["leaderboard", "show", HOSTILE],
        ["leaderboard", HOSTILE],
        ["leaderboard", "list", "--limit", HOSTILE],
    ],
)
def test_no_command_lets_a_stored_text_act(capsys, board, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOPROMPT_LEADERBOARD", str(shutil.copy(board, tmp_path / "lb.sqlite")))
    monkeypatch.setenv("COLUMNS", "120")
    done = commands.call(capsys, *arguments)
    inert(done.out + done.err)
    assert done.out + done.err


def test_a_traceback_of_verbose_is_escaped(capsys, monkeypatch):
    def broken(*_: Any) -> None:
        raise InputError(HOSTILE)

    monkeypatch.setattr("autoprompt.corpus.card", broken)
    done = commands.call(capsys, "corpora", "show", "x", "-v")
    assert "Traceback" in done.err
    inert(done.err)


@pytest.mark.parametrize("kind", ["plain", "verbose", "live"])
def test_no_view_lets_a_text_act(capsys, kind):
    console = Console(file=io.StringIO(), width=200, force_terminal=kind == "live", color_system=None)
    with progress.view(time.monotonic(), None, None, console, verbose=kind == "verbose") as view:
        view.stage(HOSTILE)
        view.note(HOSTILE)
        view.evaluated(evaluation(0.5, template=f"{HOSTILE}{{text}}{{label}}"), evaluator(1))
        view.evaluated(evaluation(0.5).failed(HOSTILE), evaluator(2))
    if kind == "live":
        panel = Console(file=io.StringIO(), width=200)
        panel.print(view)
        inert(panel.file.getvalue())
        noted = next(line for line in console.file.getvalue().splitlines() if "Note:" in line)
        assert SHOWN[1] in noted
        assert "\u202e" not in console.file.getvalue()
        assert "\x1b]" not in console.file.getvalue()
    else:
        said = capsys.readouterr().err
        inert(said)
        assert SHOWN[2] in said


def test_the_best_so_far_is_provisional():
    view = progress.PlainView(time.monotonic(), None, 9)
    view.evaluated(evaluation(0.5), evaluator(1))
    assert view.facts()["best so far"] == "loss 0.5000 on 2 validation rows, provisional"


# Whoever writes


def test_what_libraries_write_is_escaped(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Guarded(sys.stderr))
    print(warnings.formatwarning(HOSTILE, UserWarning, HOSTILE, 1), file=sys.stderr)
    logging.StreamHandler(sys.stderr).emit(logging.makeLogRecord({"msg": HOSTILE}))
    said = capsys.readouterr().err
    inert(said.replace("\t", ""))
    assert said.count("[red]x[/red]") >= 3
    assert sys.stderr.isatty() is False


def test_a_terminal_gets_no_control_characters_and_a_pipe_gets_data():
    code = "from autoprompt.terminal import guard_streams; guard_streams(); print('a\\x1bb', flush=True)"
    piped = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert piped.stdout == b"a\x1bb\n"
    main, side = pty.openpty()
    subprocess.run([sys.executable, "-c", code], stdout=side, check=True)
    os.close(side)
    assert os.read(main, 100).split() == [b"a\\x1bb"]
    os.close(main)


# Commands to paste


NAMES = [
    "plain",
    "two words",
    "$(touch x)",
    "`touch x`",
    "a'b\"c",
    "a;touch x",
    "*",
    "-rf",
    "--json",
    "~",
    "!1",
    "é",
    "a\nb",
    "",
]


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh", "fish"])
def test_a_printed_command_names_what_it_should(shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    names = [name for name in NAMES if name.isprintable() or shell in ("bash", "zsh")]
    for name in names:
        line = command_line("resume", name, options=["--track", name], leaderboard=Path("my lb.sqlite"))
        script = line.replace(
            "autoprompt ", f"{shlex.quote(sys.executable)} -c 'import sys, json; print(json.dumps(sys.argv[1:]))' ", 1
        )
        done = subprocess.run([shell, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
        words = json.loads(done.stdout)
        assert words[0] == "resume"
        assert name in words[1:]
        assert words[words.index("--track") + 1] == name
        assert "my lb.sqlite" in words
        assert not name.startswith("-") or words[words.index("--") :] == ["--", name]
    assert not list(tmp_path.iterdir())


@given(st.text(min_size=1).filter(lambda text: "\x00" not in text))
def test_a_quoted_word_is_printable(text):
    assert quoted(text).isprintable()


def test_a_default_leaderboard_goes_unnamed():
    assert command_line("report", "abc", leaderboard=Path("autoprompt.sqlite")) == "autoprompt report abc"


# Completion


def completions(shell: str, words: str, count: int, board: Path) -> str:
    current = "" if shell == "fish" else str(count)
    environment = {"_AUTOPROMPT_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": current,
                   "AUTOPROMPT_LEADERBOARD": str(board)}  # fmt: skip
    code = "from autoprompt.cli import cli; cli(prog_name='autoprompt')"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return done.stdout


ODD = ["two words", "$(touch x)", "`touch x`", "a'b", 'a"b', "a;touch x", "a|b", "a&b", "a>b", "*", "-rf", "~", "!x",
       "#x", "a\nplain,$(touch x)", "a\\b", "{a,b}", "\x1b[31m", "a:b", "a=b", "[x]", "?", "<x"]  # fmt: skip


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """Runs with names that shells would act on, among plain ones, on a corpus that is called likewise."""
    path = tmp_path_factory.mktemp("names") / "lb.sqlite"
    for number, name in enumerate([*ODD, "first-try_2.0", "Übung"]):
        synthetic.write(
            path, 1, run=f"{number:012x}", name=name, corpus=f"x\nplain\n$(touch {number})\nplain,$(touch x)"
        )
    return path


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_no_completion_acts_in_a_shell(named, shell):
    offered = completions(shell, "autoprompt report ", 2, named)
    kinds = {
        "bash": lambda line: line.partition(",")[2],
        "fish": lambda line: line.partition(",")[2].partition("\t")[0],
    }
    lines = offered.splitlines()
    values = lines[1::3] if shell == "zsh" else [kinds[shell](line) for line in lines]
    assert {value.partition("\\t")[0] for value in values} == {
        *(f"{number:012x}" for number in range(len(ODD) + 2)), "first-try_2.0", "Übung",
    }  # fmt: skip
    inert(offered.replace("\t", ""))


def test_bash_runs_nothing_when_a_completion_is_taken(named, tmp_path):
    """As bash does it: what the function offers is put into the command line, which is then run."""
    source = tmp_path / "completion.sh"
    from click.shell_completion import get_completion_class

    from autoprompt.cli import cli

    source.write_text(get_completion_class("bash")(cli, {}, "autoprompt", "_AUTOPROMPT_COMPLETE").source())
    folder = tmp_path / "here"
    folder.mkdir()
    command = tmp_path / "autoprompt"
    command.write_text(
        f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -c "
        "\"from autoprompt.cli import cli; cli(prog_name='autoprompt')\"\n"
    )
    command.chmod(0o755)
    script = f"""
    source {shlex.quote(str(source))} 2>/dev/null
    COMP_WORDS=(autoprompt report ''); COMP_CWORD=2
    _autoprompt_completion {shlex.quote(str(command))}
    for each in "${{COMPREPLY[@]}}"; do eval "echo $each"; done
    """
    environment = os.environ | {"AUTOPROMPT_LEADERBOARD": str(named)}
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    assert "first-try_2.0" in done.stdout.split()
    assert not list(folder.iterdir())


def test_a_name_in_use_is_told_with_a_command_that_can_be_pasted(named):
    with Leaderboard.open(named) as opened, pytest.raises(Exception, match="used by run") as caught:
        opened.check_name("$(touch x)")
    assert "`autoprompt resume '$(touch x)' --leaderboard" in str(caught.value)
