"""Messages are one line that a terminal shows and does not obey, whatever they quote."""

import ast
import pickle
import re
from pathlib import Path

import click
import commands
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import ROOT

import autoprompt
from autoprompt.cli import cli
from autoprompt.cli.options import as_option
from autoprompt.errors import AutopromptError, InputError, StorageError, UsageError, first_line, parameter


@given(st.text(st.characters(codec=None)))
def test_a_message_is_one_printable_line(text: str) -> None:
    message = str(StorageError(f"The file {text} is damaged."))
    assert message.isprintable()
    assert len(f"{message}\n".splitlines()) == 1
    assert str(AutopromptError(message)) == message, "once is enough"
    again = pickle.loads(pickle.dumps(StorageError(text)))  # noqa: S301
    assert (type(again), str(again)) == (StorageError, str(StorageError(text)))


def test_what_is_printable_stays_and_what_is_not_can_be_read() -> None:
    assert str(AutopromptError("größe 🙂 {text}")) == "größe 🙂 {text}"
    assert str(AutopromptError("near\n  \x1b[31mred\u202e")) == "near   \\x1b[31mred\\u202e"


@pytest.mark.parametrize(
    ("said", "line"), [("one.\ntwo", "one"), ("", "OSError"), ("\n\n", "OSError"), ("x" * 999, "x" * 300)]
)
def test_the_first_line_of_another_librarys_error(said: str, line: str) -> None:
    assert first_line(OSError(said)) == line


# What Python calls a parameter, and a command an option


@pytest.mark.parametrize(
    ("named", "python", "command"),
    [
        (("workers", 0), "workers=0", "--workers 0"),
        (("max_length",), "max_length", "--max-length"),
        (("device", "auto"), "device='auto'", "--device auto"),
        (("chat", True), "chat=True", "--chat"),
        (("folder",), "folder", "--out"),
    ],
)
def test_a_parameter_is_worded_for_who_reads_it(named: tuple[object, ...], python: str, command: str) -> None:
    error = UsageError(f"Leave {parameter(*named)} out.")
    again = InputError(error.message)
    for found in (error, again, pickle.loads(pickle.dumps(error))):  # noqa: S301
        assert str(found) == f"Leave {python} out."
        assert found.worded(as_option) == f"Leave {command} out."


@given(st.text())
def test_no_text_that_is_quoted_becomes_an_option(text: str) -> None:
    error = InputError(f"The label {text} is unknown; name another {parameter('label_column')}.")
    plain = AutopromptError(text)
    assert str(error) == f"The label {plain} is unknown; name another label_column."
    assert error.worded(as_option) == f"The label {plain} is unknown; name another --label-column."
    assert plain.worded(as_option) == str(plain)


def test_the_same_errors_in_python_and_at_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("text,label\n" + "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(80)) + ",a\n")
    board, nowhere = tmp_path / "lb.sqlite", str(tmp_path / "nowhere")  # said before a model is looked for
    for options, words, python, command in (
        ({}, (), "or drop them with drop_empty=True.", "or drop them with --drop-empty."),
        ({"encoding": "cp9999"}, ("--encoding", "cp9999"), "encoding is 'cp9999'", "--encoding is 'cp9999'"),
        ({"label_column": "kind"}, ("--label-column", "kind"), "choose label_column of", "choose --label-column of"),
        ({"ray_address": "auto"}, ("--ray-address", "auto"), "ray_address is for a Ray cluster; add executor='ray'.",
         "--ray-address is for a Ray cluster; add --executor ray."),
    ):  # fmt: skip
        given_rows = {} if not options or "encoding" in options or "label_column" in options else {"drop_empty": True}
        with pytest.raises(AutopromptError) as caught:
            autoprompt.search(str(rows), leaderboard=board, max_evaluations=1, model=nowhere, **options, **given_rows)
        assert python in str(caught.value)
        more = ["--drop-empty"] if given_rows else []
        done = commands.call(capsys, "search", rows, "--model", nowhere, "--leaderboard", board, *words, *more)
        assert done.code == caught.value.exit_code
        assert command in done.err


def texts_and_parameters() -> tuple[dict[str, list[str]], set[str]]:
    """Each file's texts below the command line, docstrings left out, and the names given to ``parameter``."""
    texts: dict[str, list[str]] = {}
    names: set[str] = set()
    for path in sorted((ROOT / "autoprompt").rglob("*.py")):
        where = path.relative_to(ROOT / "autoprompt").as_posix()
        if where.startswith("cli/"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare:
                texts.setdefault(where, []).append(node.value)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "parameter" and where != "errors.py":
                names |= {arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)}
    return texts, names


COMMANDS = {
    "terminal/quoting.py": "printed commands",
    "report/commands.py": "printed commands",
    "report/charts.py": "CSS variables",
    "run/foreign.py": "options of a command that a note suggests",
    "artifacts/download.py": "pip's options",
    "corpus/labels.py": "a text in data that stands for no label",
}
"""Files that write commands of their own, or no option."""


def test_below_the_command_line_a_message_names_options_in_whole_commands_only() -> None:
    found, _ = texts_and_parameters()
    others = {where: [re.sub(r"`[^`]*`", "", text) for text in texts] for where, texts in found.items()}
    told = [(w, text) for w, texts in others.items() for text in texts if re.search(r"--([a-z]|$)", text)]
    assert [(where, text) for where, text in told if where not in COMMANDS] == []
    assert {where for where, _ in told} >= COMMANDS.keys(), "a file is listed for nothing"


def test_every_parameter_that_a_message_names_is_an_option_of_a_command() -> None:
    def options(command: click.Command) -> set[str]:
        if isinstance(command, click.Group):
            return set().union(*map(options, command.commands.values()))
        return {opt for param in command.params for opt in param.opts}

    _, names = texts_and_parameters()
    assert len(names) > 25
    shown = {name: AutopromptError(parameter(name)).worded(as_option) for name in names}
    assert {name: option for name, option in shown.items() if option not in options(cli)} == {}
