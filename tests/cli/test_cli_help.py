"""The command line as a person meets it: help that teaches, quiet and talkative, wide and narrow, after a tab."""

import json
import os
import re
import shlex
import struct
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import command_reference
import commands
import pytest
import runs
from paths import DOCS

from autoprompt.api import search
from autoprompt.cli import cli


def all_commands(
    command: click.Command = cli, names: tuple[str, ...] = ()
) -> list[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        return [(names, command)]
    return [found for name, inner in command.commands.items() for found in all_commands(inner, (*names, name))]


@pytest.fixture(scope="module")
def searched(finished) -> tuple[Path, dict]:
    return finished[0].leaderboard, finished[1]


@pytest.mark.parametrize(
    ("names", "command"), all_commands(), ids=lambda v: " ".join(v) if isinstance(v, tuple) else ""
)
def test_each_help_shows_how_it_is_called(names, command):
    assert command.help is not None
    examples = [line.strip() for line in command.help.splitlines() if line.strip().startswith("autoprompt ")]
    assert examples, f"{names} shows no example"
    for example in examples:
        words = shlex.split(example.split(" | ")[0].split(" >")[0], comments=True)
        assert tuple(words[1 : 1 + len(names)]) == names or names[-1] == "list"
        context = cli.make_context("autoprompt", words[1:], resilient_parsing=True)
        assert context is not None


def test_examples_are_calls_that_can_be_made():
    """Options and numbers of arguments are right: what is wrong with them is only said after that."""
    root = cli.make_context("autoprompt", [], resilient_parsing=True)
    made = set()
    for names, command in all_commands():
        for line in (command.help or "").splitlines():
            called = re.fullmatch(rf"\s*(?:.*\| )?autoprompt {' '.join(names)} ([^>]*?)(?: >.*)?", line)
            if called is not None:
                command.make_context(names[-1], shlex.split(called[1], comments=True), parent=root)
                made.add(names)
    # The lists have no arguments, and go unnamed in their examples.
    unnamed = {("models", "list"), ("corpora", "list"), ("leaderboard", "runs")}
    assert made >= {names for names, _ in all_commands()} - unnamed


def test_the_reference_is_what_the_help_texts_say():
    found = (DOCS / "commands.md").read_text(encoding="utf-8")
    assert found == command_reference.reference(), "write it again with: make docs"


def test_each_option_says_what_it_does():
    silent = [(" ".join(names), option.opts[-1]) for names, command in all_commands() for option in command.params
              if isinstance(option, click.Option) and not option.help]  # fmt: skip
    assert silent == []


def test_the_version(capsys):
    """click calls the program what this process was started as."""
    done = commands.call(capsys, "--version")
    assert done.code == 0
    assert re.fullmatch(rf".+, version {re.escape(version('autoprompt-engine'))}\n", done.out)


@pytest.fixture
def searching(model_folders, corpus_folder, tmp_path):
    """Arguments of a small search."""
    (tmp_path / "small.toml").write_text(runs.SMALL)
    return ("search", corpus_folder, "--model", model_folders["llama"], "--max-evaluations", 2, "--fix", "epochs=1",
            "--config", tmp_path / "small.toml", "--leaderboard")  # fmt: skip


def test_quiet_says_nothing_but_the_result(capsys, searching, tmp_path):
    done = commands.call(capsys, *searching, tmp_path / "a.sqlite", "--quiet", "--json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["evaluations"] == 2
    failed = commands.call(capsys, "leaderboard", "show", "nothing1", "-q", "--leaderboard", tmp_path / "a.sqlite")
    commands.refused(failed, 3, "nothing1")
    assert len(failed.err.splitlines()) == 1


def test_verbose_has_a_line_for_each_evaluation(capsys, searching, tmp_path):
    done = commands.call(capsys, *searching, tmp_path / "a.sqlite", "-v", "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    lines = [line for line in done.err.splitlines() if line.startswith("  rung ")]
    assert len([line for line in lines if line.startswith("  rung 1, fold 0")]) >= result["evaluations"]
    assert all("loss" in line or "failed" in line or "pruned" in line for line in lines)
    failed = commands.call(
        capsys, "leaderboard", "show", "nothing1", "--verbose", "--leaderboard", tmp_path / "a.sqlite"
    )
    assert failed.code == 3
    assert "Traceback" in failed.err
    assert failed.err.splitlines()[-1].startswith("Error: ")
    both = commands.call(capsys, "leaderboard", "list", "-q", "-v", "--leaderboard", tmp_path / "a.sqlite")
    assert both.code == 2
    assert "exclude each other" in both.err


def test_options_come_from_the_environment(capsys, model_folders, corpus_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOPROMPT_MODEL", str(model_folders["llama"]))
    monkeypatch.setenv("AUTOPROMPT_LEADERBOARD", str(tmp_path / "of-the-environment.sqlite"))
    monkeypatch.setenv("AUTOPROMPT_WORKERS", "1")
    monkeypatch.setenv("AUTOPROMPT_DEVICE", "cpu")
    (tmp_path / "small.toml").write_text(runs.SMALL)
    monkeypatch.setenv("AUTOPROMPT_CONFIG", str(tmp_path / "small.toml"))
    done = commands.call(capsys, "search", corpus_folder, "--max-evaluations", 1, "--fix", "epochs=1", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["model"] == str(model_folders["llama"])
    assert (tmp_path / "of-the-environment.sqlite").exists()
    monkeypatch.setenv("AUTOPROMPT_DEVICE", "cuda:7")
    commands.refused(commands.call(capsys, "search", corpus_folder, "--max-evaluations", 1), 2, "cuda:7")


def test_the_end_of_a_search_says_what_to_do_next_and_that_works(capsys, searching, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = commands.call(capsys, *searching, "my board.sqlite")
    assert done.code == 0, done.err
    steps = [shlex.split(line)[1:] for line in done.out.split("Next:")[1].splitlines() if line.strip()]
    assert [step[0] for step in steps] == ["report", "export", "export", "predict"]
    for step in steps:
        again = commands.call(capsys, *step)
        assert again.code == 0, (step, again.err)
    assert {"report", "best.py", "best.json"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_tables_fit_the_terminal(capsys, searched, columns, monkeypatch):
    board, result = searched
    monkeypatch.setenv("COLUMNS", str(columns))
    for arguments in (["list"], ["runs"], ["show", result["best"]["entry"][:12]]):
        done = commands.call(capsys, "leaderboard", *arguments, "--leaderboard", board)
        assert done.code == 0, done.err
        lines = done.out.splitlines()
        assert max(map(len, lines)) <= columns, arguments
        assert result["best"]["entry"][:8] in done.out or arguments == ["runs"]
    help_text = commands.call(capsys, "search", "--help")
    prose = [line for line in help_text.out.split("Options:")[0].splitlines() if "autoprompt " not in line]
    assert max(map(len, prose)) <= columns


def test_no_color_is_honoured(searched):
    colours = re.compile(r"\x1b\[[0-9;]*[34]\d[;m]")
    told = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    done = commands.spawn("leaderboard", "list", "--leaderboard", searched[0], env={**told, "NO_COLOR": "1"})
    assert done.code == 0, done.err
    assert not colours.search(done.out)


def completed(words: str, *, board: Path | None = None) -> list[str]:
    """What bash is offered after these words."""
    environment = {
        "_AUTOPROMPT_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    if words.endswith(" "):
        environment["COMP_CWORD"] = str(len(words.split()))
    if board is not None:
        environment["AUTOPROMPT_LEADERBOARD"] = str(board)
    done = subprocess.run(
        [sys.executable, "-c", "from autoprompt.cli import cli; cli(prog_name='autoprompt')"],
        env=os.environ | environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_a_shell_completes_names(searched):
    board, result = searched
    assert completed("autoprompt lea") == ["leaderboard"]
    assert "rotten-tomatoes" in completed("autoprompt search rot")
    assert "smollm2-135m" in completed("autoprompt search x --model smo")
    assert completed(f"autoprompt report {result['run'][:3]}", board=board) == [result["run"]]
    assert result["best"]["entry"][:12] in completed("autoprompt export ", board=board)
    assert completed("autoprompt export ", board=board.with_name("none.sqlite")) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_of_a_shell_is_printed(capsys, shell):
    done = commands.call(capsys, "completion", shell)
    assert done.code == 0
    assert f"_AUTOPROMPT_COMPLETE={shell}_complete" in done.out


def test_what_is_mistyped_is_guessed(capsys, searched, corpus_folder, tmp_path):
    def said(*arguments: object) -> str:
        done = commands.call(capsys, *arguments, "--leaderboard", searched[0])
        assert done.code in (2, 3)
        return done.err

    assert "leaderboard" in commands.call(capsys, "leaderbord").err.split("No such command")[1]
    assert "--budget" in said("search", corpus_folder, "--budgt", "5m")
    assert "did you mean 'rotten-tomatoes'" in said("search", "rotten-tomatos")
    assert "did you mean 'smollm2-135m'" in said("search", corpus_folder, "--model", "smollm-135m")
    small = tmp_path / "small.toml"
    small.write_text(runs.SMALL)
    with commands.inline():
        search(str(corpus_folder), max_evaluations=1, name="first try", leaderboard=tmp_path / "named.sqlite",
               model=str(searched[1]["model"]), fix={"epochs": 1}, shots=8, config=small)  # fmt: skip
    wrong = commands.call(capsys, "resume", "frist try", "--leaderboard", tmp_path / "named.sqlite")
    commands.refused(wrong, 3, "did you mean 'first try'")


# Curves


def events(folder: Path) -> list:
    """What was written for TensorBoard: records of (length, its checksum, event, its checksum)."""
    from tensorboardX.proto.event_pb2 import Event

    (file,) = folder.glob("events.out.tfevents.*")
    content, place, found = file.read_bytes(), 0, []
    while place < len(content):
        (length,) = struct.unpack("<Q", content[place : place + 8])
        found.append(Event.FromString(content[place + 12 : place + 12 + length]))
        place += length + 16
    return found


def test_a_run_s_curves_are_written(capsys, searching, tmp_path):
    folder = tmp_path / "curves"
    done = commands.call(
        capsys, *searching, tmp_path / "a.sqlite", "--json", "--track", folder, "--max-evaluations", 4
    )  # fmt: skip
    assert done.code == 0, done.err
    curves: dict[str, list[tuple[int, float]]] = {}
    for event in events(folder):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                curves.setdefault(value.tag, []).append((event.step, value.simple_value))
    assert set(curves) == {
        "validation/loss",
        "validation/accuracy",
        "best/loss",
        "frozen/loss",
        "cost/seconds",
        "cost/tokens",
    }
    losses = [loss for _, loss in curves["validation/loss"]]
    bests = [loss for _, loss in curves["best/loss"]]
    assert bests == [min(losses[: n + 1]) for n in range(len(losses))]
    assert [step for step, _ in curves["best/loss"]] == list(range(1, len(losses) + 1))
    assert json.loads(done.out)["evaluations"] == 4
    assert len(losses) == 5, "and the frozen manual prompt"


def test_curves_that_cannot_be_written(capsys, searching, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    done = commands.call(capsys, *searching, tmp_path / "a.sqlite", "--track", tmp_path / "file" / "x")
    commands.refused(done, 4, "curves")
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    done = commands.call(capsys, *searching, tmp_path / "a.sqlite", "--track", tmp_path / "y")
    commands.refused(done, 2, "autoprompt-engine[tracking]")
