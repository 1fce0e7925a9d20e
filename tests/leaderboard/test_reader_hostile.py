"""Leaderboards that a stranger made, with checksums that fit: a part of ``tests/soak/hostile_leaderboards.py``."""

import json
import random
import shutil
import sqlite3
from contextlib import closing

import commands
import hostile_leaderboards as hostile
import pytest

from autoprompt.errors import StorageError
from autoprompt.leaderboard import Leaderboard

READING = range(8)
"""The commands that load no model: see ``hostile_leaderboards.commands_on``."""


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    path = tmp_path_factory.mktemp("honest") / "lb.sqlite"
    return path, hostile.build(path)


@pytest.fixture(scope="module")
def variants(honest):
    return hostile.variants(honest[0], random.Random(7))  # noqa: S311


def test_the_honest_leaderboard_is_used_by_every_command(honest, capsys, tmp_path):
    path = shutil.copy(honest[0], tmp_path / "lb.sqlite")
    for arguments in (("list",), ("runs",), ("show", honest[1][:12]), ("list", "--json"), ("runs", "--json")):
        done = commands.call(capsys, "leaderboard", *arguments, "--leaderboard", path)
        assert (done.code, done.err) == (0, ""), arguments


def test_there_are_thousands_of_variants(variants):
    assert len(variants) > 4_000
    assert {variant.name.split(".")[0] for variant in variants if "." in variant.name} >= {
        "runs", "evaluations", "examples", "losses", "steps", "origins", "estimates", "data_rows",
    }  # fmt: skip


@pytest.mark.parametrize("part", range(5))
def test_no_variant_brings_a_command_down(honest, variants, part):
    for variant in variants[part::5][:6]:
        assert hostile.attack(variant, *honest, READING.__contains__) == [], variant.name


@pytest.mark.parametrize("sql", hostile.OBJECTS)
def test_a_schema_that_is_not_this_programs_is_refused(honest, tmp_path, sql):
    path = shutil.copy(honest[0], tmp_path / "lb.sqlite")
    try:
        hostile.executed(sql)(path)
    except sqlite3.OperationalError as error:
        pytest.skip(f"this SQLite has no such thing: {error}")
    for read_only in (True, False):
        with pytest.raises(StorageError) as caught, Leaderboard.open(path, read_only=read_only) as board:
            board.evaluations()  # a table that shows another one's rows is noticed here
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("seed", "seven", "seed"),
        ("status", "done", "status"),
        ("config", '{"labels": [1, 2]}', "config.labels.0"),
        ("config", '{"chat": "no"}', "config.chat"),
        ("config", "[" * 1000 + "]" * 1000, "nested"),
        ("config", '{"budget": 1e999}', "too large"),
        ("config", '{"name": "\\ud800"}', "surrogates"),
        ("result", '{"best": {"test": {"n": -1}}}', "result.best.test.n"),
        ("result", '{"seconds": NaN}', "NaN"),
        ("environment", '{"device": []}', "environment"),
    ],
)
def test_a_bad_run_is_named_the_others_are_shown_and_it_can_be_removed(honest, tmp_path, capsys, column, value, said):
    path = shutil.copy(honest[0], tmp_path / "lb.sqlite")
    hostile.forged("runs", column, value, 1)(path)
    to = ("--leaderboard", path)
    listed = commands.call(capsys, "leaderboard", "list", "--json", *to)
    assert {entry["run"] for entry in json.loads(listed.out)["entries"]} == {hostile.FINISHED}
    runs = commands.call(capsys, "leaderboard", "runs", "--json", *to)
    assert [run["id"] for run in json.loads(runs.out)["runs"]] == [hostile.FINISHED]
    for shown in (listed, runs):
        assert shown.code == 0
        assert "@2" in shown.err
        assert said in shown.err, shown.err
    checked = commands.call(capsys, "leaderboard", "check", *to)
    assert checked.code == 4
    assert said in checked.out
    assert commands.call(capsys, "leaderboard", "remove", "@2", "--yes", *to).code == 0
    assert commands.call(capsys, "leaderboard", "list", *to).err == ""


def test_a_bad_run_is_not_merged_and_the_others_are(honest, tmp_path, capsys):
    path = shutil.copy(honest[0], tmp_path / "lb.sqlite")
    hostile.forged("evaluations", "rung", "high", 0)(path)
    done = commands.call(capsys, "leaderboard", "merge", path, "--leaderboard", tmp_path / "here.sqlite", "--json")
    assert done.code == 0
    merged = json.loads(done.out)
    assert merged["added"] == [hostile.STOPPED]
    assert len(merged["refused"]) == 1
    assert "rung" in merged["refused"][0]
    listed = commands.call(capsys, "leaderboard", "list", "--leaderboard", tmp_path / "here.sqlite")
    assert (listed.code, listed.err) == (0, "")


def test_a_leaderboard_of_bad_runs_alone_cannot_be_listed_or_merged(honest, tmp_path, capsys):
    path = shutil.copy(honest[0], tmp_path / "lb.sqlite")
    hostile.forged("runs", "strategy", "x" * 101, 0)(path)
    hostile.forged("runs", "strategy", "x" * 101, 1)(path)
    for arguments in (("list",), ("runs",), ("list", "--json")):
        done = commands.call(capsys, "leaderboard", *arguments, "--leaderboard", path)
        commands.refused(done, 4, "strategy", "remove")
    done = commands.call(capsys, "leaderboard", "merge", path, "--leaderboard", tmp_path / "here.sqlite")
    commands.refused(done, 4, "strategy")


@pytest.mark.parametrize(
    ("losses", "said"), [(None, "is not text"), ("[]", "without losses"), ("[0.5]", "1 losses and")]
)
def test_an_evaluation_without_its_losses_is_refused(honest, tmp_path, capsys, losses, said):
    path = shutil.copy(honest[0], tmp_path / "lb.sqlite")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        edit = "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE name = 'losses'"
        own, others = "losses TEXT NOT NULL", "losses TEXT"
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(edit, (own, others))
        connection.execute("PRAGMA writable_schema = RESET")
        hostile.forged("losses", "losses", losses, 0)(path)
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(edit, (others, own))
    to = ("--leaderboard", path)
    compared = commands.call(capsys, "leaderboard", "compare", honest[1][:12], honest[1][:12], *to)
    commands.refused(compared, 4, "is refused", said)
    checked = commands.call(capsys, "leaderboard", "check", *to)
    assert checked.code == 4
    assert said in checked.out


def test_a_run_id_that_is_a_path_locks_nothing(honest, tmp_path, capsys):
    path = shutil.copy(honest[0], tmp_path / "lb.sqlite")
    with closing(sqlite3.connect(path)) as connection, connection:
        for table in ("evaluations", "steps", "origins", "estimates", "data_rows", "counts"):
            connection.execute(f"UPDATE {table} SET run = '../../x' WHERE run = ?", (hostile.STOPPED,))  # noqa: S608
    hostile.forged("runs", "id", "../../x", 1)(path)
    assert commands.call(capsys, "leaderboard", "remove", "../../x", "--yes", "--leaderboard", path).code == 0
    assert {file.name for file in tmp_path.iterdir()} == {"lb.sqlite"}
    with Leaderboard.open(path) as board:
        assert all("safetensors cannot be read" in problem for problem in board.inspect().problems)


def test_rows_that_list_a_page_again_and_again_end(honest, tmp_path, capsys):
    """A table whose inner page names one leaf hundreds of times, several levels deep, has billions of rows."""
    path = shutil.copy(honest[0], tmp_path / "lb.sqlite")
    with closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'runs'").fetchone()
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    content = bytearray(path.read_bytes())
    count = len(content) // size
    levels, most = 6, (size - 12) // 7 - 1
    leaf = count + levels + 1
    pages = []
    for level in range(levels):
        below = count + level + 2
        page = bytearray(size)
        page[0:12] = bytes([5, 0, 0, *most.to_bytes(2, "big"), 0, 0, 0, *below.to_bytes(4, "big")])
        at = size
        for cell in range(most):
            at -= 5
            page[at : at + 5] = below.to_bytes(4, "big") + bytes([cell % 127 + 1])
            page[12 + 2 * cell : 14 + 2 * cell] = at.to_bytes(2, "big")
        page[5:7] = at.to_bytes(2, "big")
        pages.append(bytes(page))
    start = size * (root - 1)
    pages.append(bytes(content[start : start + size]))
    content[start : start + size] = pages[0].replace((count + 2).to_bytes(4, "big"), (count + 1).to_bytes(4, "big"))
    for page in pages:
        content += page
    content[28:32] = (len(content) // size).to_bytes(4, "big")
    content[92:96] = content[24:28]
    path.write_bytes(content)
    assert leaf == len(content) // size
    for arguments in (("runs",), ("list",), ("check",)):
        done = commands.call(capsys, "leaderboard", *arguments, "--leaderboard", path)
        assert done.code == 4, arguments
        assert "Traceback" not in done.err
