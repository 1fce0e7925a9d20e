"""The options about data files through the command line, and a run that is verified with them."""

import json

import commands
import pytest
import runs

from autoprompt.corpus.readers import format_names
from autoprompt.run import DataOptions

ROWS = [(f"café number {n}, the {word} one", label) for n in range(8) for word, label in (("good", "pos"),
                                                                                          ("poor", "neg"))]  # fmt: skip


@pytest.fixture
def exported(tmp_path):
    """As a German Excel writes it: semicolons, cp1252, and no header."""
    path = tmp_path / "rows.csv"
    path.write_bytes("".join(f"{label};{text}\r\n" for text, label in ROWS).encode("cp1252"))
    return path


def test_help_and_messages_name_the_formats_of_the_registry(capsys, tmp_path):
    shown = " ".join(commands.call(capsys, "search", "--help").out.split())
    assert format_names() in shown
    assert format_names() in commands.call(capsys, "search", "nothing-of-the-kind").err
    (tmp_path / "a.docx").touch()
    assert format_names() in commands.call(capsys, "search", tmp_path / "a.docx").err


def test_each_step_to_a_file_that_can_be_read_is_said(capsys, exported, tmp_path):
    board = ("--leaderboard", tmp_path / "lb.sqlite")
    commands.refused(commands.call(capsys, "search", exported, *board), 3, "rows.csv:1", "--encoding cp1252")
    encoded = ("search", exported, *board, "--encoding", "cp1252")
    commands.refused(commands.call(capsys, *encoded), 3, "rows.csv:1", "--no-header")
    named = (*encoded, "--no-header", "--label-column", "stars")
    commands.refused(commands.call(capsys, *named), 3, "--label-column", "'column1', 'column2'")
    commands.refused(commands.call(capsys, *encoded, "--delimiter", "::"), 2, "--delimiter")
    commands.refused(commands.call(capsys, *encoded, "--column-names", "a,a"), 2, "--column-names")


def test_a_run_keeps_how_its_file_was_read(capsys, exported, tmp_path, model_folders):
    board = tmp_path / "lb.sqlite"
    (tmp_path / "small.toml").write_text(runs.SMALL)
    shown = commands.call(
        capsys, "search", exported, "--encoding", "cp1252", "--column-names", "label,text", "--delimiter", ";",
        "--model", model_folders["llama"], "--max-evaluations", 1, "--workers", 1, "--fix", "epochs=1",
        "--config", tmp_path / "small.toml", "--json", "--leaderboard", board,
    )  # fmt: skip
    assert shown.code == 0, shown.err
    entry = json.loads(shown.out)["best"]["entry"]
    again = commands.call(capsys, "verify", entry, "--json", "--leaderboard", board)
    assert json.loads(again.out)["verdict"] == "exact"


def test_options_of_the_command_are_fields_of_the_data_options():
    from dataclasses import fields

    from autoprompt.cli.options import FILE_OPTIONS
    from autoprompt.corpus import Reading
    from autoprompt.corpus.readers import FileOptions

    assert set(FILE_OPTIONS) == {field.name for field in fields(FileOptions)}
    assert {field.name for field in fields(Reading)} - {"seed"} <= {field.name for field in fields(DataOptions)}
