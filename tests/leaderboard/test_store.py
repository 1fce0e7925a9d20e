"""The leaderboard through its public surface: what goes in comes out, ordered, whatever happens to the writers."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import pytest
from boards import RUN, a_candidate, a_run, an_evaluation
from paths import ROOT, TESTS

from autoprompt.candidate import Demo
from autoprompt.errors import InputError, NotFoundError, StorageError, UsageError
from autoprompt.leaderboard import DataRow, EntryEstimate, Leaderboard, Origin, Step
from autoprompt.metrics import Score
from autoprompt.results import RunResult
from autoprompt.template import LabelWords


@pytest.fixture
def board(tmp_path):
    with Leaderboard.open(tmp_path / "lb.sqlite") as opened:
        opened.start_run(a_run())
        yield opened


def test_what_was_added_is_read_back_after_closing(tmp_path):
    path = tmp_path / "new" / "lb.sqlite"
    run = a_run(name="Größe ../x <img>", environment={"torch": "2"}, config={"z": 1, "a": [None, "{text}"]})
    plain = an_evaluation("k1")
    failed = an_evaluation(
        "k2", "“{text}” — {{x}}\n{label}", status="failed", reason="NaN", score=None, log_probs=[], predictions=[],
        losses=[],
    )  # fmt: skip
    odd = an_evaluation("k0", loss=-0.0, seconds=2, readability=None, score=Score(1, None, "mcc", -1, 3))
    with Leaderboard.open(path) as board:
        board.start_run(run)
        board.add([plain, failed])
        board.add([odd])
    assert [file.name for file in path.parent.iterdir()] == ["lb.sqlite"]
    with Leaderboard.open(path, read_only=True) as board:
        assert board.runs() == [run]
        assert board.evaluations(RUN) == board.evaluations() == [plain, failed, odd]
    assert [file.name for file in path.parent.iterdir()] == ["lb.sqlite"]


def test_a_loss_of_minus_zero_is_no_damage(board):
    board.add([an_evaluation("k", loss=-0.0, log_probs=[[-0.0, -1e-300]], readability=-0.0, losses=[-0.0, 1e-300])])
    assert board.evaluations()[0].score.loss == 0
    assert board.evaluations()[0].log_probs == [[0.0, -1e-300]]
    assert board.evaluations()[0].losses == [0.0, 1e-300]


def test_a_finished_run_keeps_its_result_in_order(board):
    result = {"best": {"label_words": {"z": "last", "a": "first"}}}
    board.finish_run(RUN, "finished", RunResult.from_dict(result))
    run = board.run(RUN)
    assert (run.status, run.result.to_dict()) == ("finished", result)
    assert list(run.result.best.label_words) == ["z", "a"]
    assert run.finished > "2026"
    board.finish_run(RUN, "running")
    assert (board.run(RUN).status, board.run(RUN).finished, board.run(RUN).result) == ("running", None, None)
    with pytest.raises(NotFoundError):
        board.finish_run("unknown-run", "finished")
    with pytest.raises(InputError):
        board.finish_run(RUN, "finished", RunResult(seconds=float("nan")))
    with pytest.raises(InputError, match="'done'"):
        board.finish_run(RUN, "done")


def test_runs_are_found_by_id_name_and_unique_prefix(board):
    board.start_run(a_run("0123456789999999", name="first try", started="1999-01-01T00:00:00+00:00"))
    assert [run.id for run in board.runs()] == ["0123456789999999", RUN]  # newest first by order, not by clock
    assert board.run("first try").id == board.run("0123456789999").id == "0123456789999999"
    assert board.run(RUN).id == RUN
    for unknown in ("0123456789", "01234567899x", "first", "", RUN[:7]):
        with pytest.raises(NotFoundError):
            board.run(unknown)


def test_a_used_name_is_a_usage_error_that_names_resume(board):
    board.start_run(a_run("other-run-1", name="my run"))
    command = rf"`autoprompt resume 'my run' --leaderboard {board.path}`"
    with pytest.raises(UsageError, match=f"another name or {command}"):
        board.start_run(a_run("other-run-2", name="my run"))
    with pytest.raises(StorageError, match="already"):
        board.start_run(a_run(RUN))
    assert len(board.runs()) == 2


@pytest.mark.parametrize("seed", [2**63, -(2**70)])
def test_a_seed_that_does_not_fit_is_refused(board, seed):
    with pytest.raises(UsageError, match="seed"):
        board.start_run(a_run("another-run", seed=seed))
    assert len(board.runs()) == 1


def test_a_key_is_stored_once_and_its_batch_not_at_all(board):
    board.add([an_evaluation("k1")])
    with pytest.raises(StorageError, match="'k1'"):
        board.add([an_evaluation("k2"), an_evaluation("k1")])
    assert [e.key for e in board.evaluations()] == ["k1"]
    board.start_run(a_run("another-run"))
    board.add([an_evaluation("k1", run="another-run")])
    assert [e.run for e in board.evaluations()] == [RUN, "another-run"]
    board.add([])


@pytest.mark.parametrize(
    "changes",
    [
        {"score": Score(float("nan"), 0.5, "accuracy", 0.5, 4)},
        {"score": Score(0.5, 0.5, "accuracy", float("inf"), 4)},
        {"log_probs": [[float("nan"), -1.0]]},
        {"losses": [0.25, float("nan")]},
        {"losses": [0.25]},
        {"readability": float("inf")},
        {"score": None},
        {"status": "failed", "score": None},
        {"status": "done"},
        {"split": "train"},
        {"role": "winner"},
    ],
)
def test_what_must_not_be_stored_is_refused_whole(board, changes):
    with pytest.raises(InputError):
        board.add([an_evaluation("k0"), an_evaluation("k1", **changes)])
    assert board.evaluations() == []


def test_an_evaluation_of_an_unknown_run_is_refused(board):
    with pytest.raises(NotFoundError):
        board.add([an_evaluation("k", run="nowhere-at-all")])
    for read in (board.evaluations, board.entries, board.digest):
        with pytest.raises(NotFoundError):
            read("nowhere-at-all")


def templates(rows):
    return [row.template for row in rows]


def test_entries_are_ordered_by_status_rung_loss_length_readability_and_id(board):
    long, short = "A rather long review: {text}\n{label}", "Re: {text}\n{label}"
    same = ["R1 {text}\n{label}", "R2 {text}\n{label}"]
    by_id = sorted(same, key=lambda text: a_candidate(text).entry("f" * 64, "tiny", 7))
    added = [
        an_evaluation("failed", "F {text}{label}", rung=3, status="failed", reason="OOM", score=None),
        an_evaluation("pruned", "P {text}{label}", rung=3, loss=0.01, status="pruned"),
        an_evaluation("rung 1, good", "G {text}{label}", rung=1, loss=0.02),
        an_evaluation("worse", "W {text}{label}", rung=2, loss=0.4),
        an_evaluation("long", long, rung=2, loss=0.3),
        an_evaluation("short", short, rung=2, loss=0.3),
        *(an_evaluation(text, text, rung=2, loss=0.3, readability=80.0) for text in same),
        an_evaluation("readable", "R3 {text}\n{label}", rung=2, loss=0.3, readability=9.0),
        an_evaluation("unknown", "R4 {text}\n{label}", rung=2, loss=0.3, readability=None),
        an_evaluation("frozen", "Z {text}{label}", rung=0, loss=0.001, split="frozen"),
    ]
    expected = [
        *("R3 {text}\n{label}", *by_id, "R4 {text}\n{label}", short, long, "W {text}{label}"),
        *("G {text}{label}", "Z {text}{label}", "P {text}{label}", "F {text}{label}"),
    ]
    added.sort(key=lambda record: record.entry)  # any order but the expected one
    board.add(added)
    assert templates(board.entries()) == templates(board.entries(RUN)) == expected
    assert board.entries()[-1].reason == "OOM"
    assert board.entries()[-1].validation is None


def test_an_entry_shows_its_highest_rung_and_sums_its_costs(board):
    board.add(
        [
            an_evaluation("a", rung=0, split="frozen", loss=9.0, role="manual_tuned"),
            an_evaluation("b", rung=1, loss=0.1),
            an_evaluation("c", rung=2, fold=0, role="finalist", score=Score(0.4, 0.5, "f1_macro", 0.4, 10)),
            an_evaluation("d", rung=2, fold=1, role="finalist", score=Score(0.8, 1.0, "f1_macro", 0.8, 30)),
        ]
    )
    (row,) = board.entries()
    assert (row.rung, row.evaluations, row.seconds, row.tokens) == (2, 4, 6.0, 400)
    assert (row.role, row.status, row.run) == ("manual_tuned", "complete", RUN)
    assert row.validation.loss == pytest.approx(0.7)
    assert row.validation.accuracy == pytest.approx(0.875)
    assert row.validation.value == pytest.approx(0.7)
    assert (row.validation.metric, row.validation.n) == ("f1_macro", 40)
    shown = row.to_dict()
    assert shown["label_words"] == {"pos": "great", "neg": "bad"}
    assert shown["settings"]["tuning"] == "tail"
    assert set(shown["validation"]) == {"loss", "accuracy", "metric", "value", "n"}


def test_solved_examples_are_kept(board):
    demos = (Demo.of("r7", {"text": "{label} “so”", "n": 1}, "pos"), Demo.of("r8", {"text": ""}, "neg"))
    shown = replace(a_candidate("{demos:2}{text}\n{label}"), demos=demos, label_words=LabelWords(()))
    board.add([an_evaluation("k", candidate=shown, entry="d" * 64), an_evaluation("plain")])
    assert board.entry("d" * 64)[0].candidate == shown
    by_entry = {row.entry: row for row in board.entries()}
    row = by_entry.pop("d" * 64)
    assert (row.label_words, row.demos) == ({}, [demo.to_dict() for demo in demos])
    assert row.to_dict()["demos"][0] == {"row_id": "r7", "fields": {"text": "{label} “so”", "n": 1}, "label": "pos"}
    assert [other.demos for other in by_entry.values()] == [[]]


def test_a_failed_repeat_takes_an_entry_out_of_the_race(board):
    board.add([an_evaluation("ok", "A {text}{label}", loss=0.9)])
    board.add([an_evaluation("r0", "B {text}{label}", loss=0.1)])
    board.add([an_evaluation("r1", "B {text}{label}", repeat=1, status="failed", reason="NaN", score=None)])
    assert [(row.template[0], row.status) for row in board.entries()] == [("A", "complete"), ("B", "failed")]


def test_the_test_split_influences_no_entry(board):
    board.add([an_evaluation("a", "A {text}{label}", loss=0.4), an_evaluation("b", "B {text}{label}", loss=0.5)])
    before = board.entries()
    board.add([an_evaluation("t", "B {text}{label}", loss=0.0, split="test", rung=9)])
    board.add([an_evaluation("t2", "C {text}{label}", loss=0.0, split="test", rung=9)])
    assert board.entries() == before


def test_test_evaluations_are_counted_for_the_data_over_all_runs(board):
    board.start_run(a_run("same-data", model="other"))
    board.start_run(a_run("other-data", fingerprint="0" * 64))
    for run in (RUN, "same-data", "other-data"):
        board.add([an_evaluation("t", run=run, split="test"), an_evaluation("v", run=run)])
    assert board.count_test_evaluations("f" * 64) == 2
    assert board.count_test_evaluations("0" * 64) == 1
    assert board.count_test_evaluations("unknown") == 0


def test_an_entry_is_found_by_a_unique_prefix_over_all_runs(board):
    board.start_run(a_run("another-run"))
    one, two = an_evaluation("k"), an_evaluation("k", run="another-run")
    board.add([one, two])
    assert board.entry(one.entry) == board.entry(one.entry[:8]) == [one, two]
    for unknown in (one.entry[:7], "", "0" * 64, one.entry[:9] + "x", "ünbekannt", "\udcff" * 8):
        with pytest.raises(NotFoundError):
            board.entry(unknown)


def test_an_ambiguous_prefix_is_refused_but_a_whole_id_is_not(board):
    whole, longer = "abcdefgh1", "abcdefgh12"
    board.add([an_evaluation("a", "A {text}{label}", entry=whole)])
    board.add([an_evaluation("b", "B {text}{label}", entry=longer)])
    with pytest.raises(NotFoundError, match="2 begin with it"):
        board.entry("abcdefgh")
    assert [e.key for e in board.entry(whole)] == ["a"]


def test_the_digest_depends_on_results_alone(board):
    board.start_run(a_run("another-run", seed=7, started="2001-01-01T00:00:00+00:00"))
    rows = [an_evaluation(f"k{i}", f"T{i} {{text}}{{label}}", loss=i / 7) for i in range(5)]
    board.add(rows)
    for row in reversed(rows):
        board.add([replace(row, run="another-run", key=row.key + "x", seconds=99.0, tokens=1)])
    assert board.digest(RUN) == board.digest("another-run")
    seen = {board.digest(RUN)}
    changes = [
        {"score": Score(0.5 + 2**-50, 0.75, "accuracy", 0.75, 4)},
        {"log_probs": [[-0.25, -1.5], [-0.125, -2.0000000000000004]]},
        *({name: 5} for name in ("rung", "fold", "repeat")),
        *({"split": "test"}, {"status": "pruned"}, {"entry": "e" * 64}, {}),
    ]
    for number, change in enumerate(changes):
        run = f"changed-run-{number}"
        board.start_run(a_run(run))
        board.add([an_evaluation("k", run=run, **change)])
        seen.add(board.digest(run))
    assert len(seen) == 1 + len(changes)


@pytest.mark.parametrize("count", [3_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_thousands_of_entries_are_listed_in_order(board, count):
    losses = [(number * 7919 % 10_007) / 10_007 for number in range(count)]
    board.add([an_evaluation(f"k{i}", f"T{i} {{text}}{{label}}", loss=loss) for i, loss in enumerate(losses)])
    rows = board.entries()
    assert [row.validation.loss for row in rows] == sorted(losses)
    assert len({row.entry for row in rows}) == count


WRITER = """
import sys
sys.path[:0] = {paths!r}
from boards import a_run, an_evaluation
from autoprompt.leaderboard import Leaderboard
path, run, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Leaderboard.open(path) as board:
    board.start_run(a_run(run))
    for i in range(count):
        board.add([an_evaluation(f"k{{i}}-{{j}}", run=run) for j in range(2)])
        print(i, flush=True)
"""


def writer(path, run, count):
    code = WRITER.format(paths=[str(TESTS / "support"), str(ROOT)])
    return subprocess.Popen([sys.executable, "-c", code, str(path), run, str(count)], stdout=subprocess.PIPE, text=True)


def test_two_processes_write_at_the_same_time(tmp_path):
    path = tmp_path / "lb.sqlite"  # both also race to create it
    writers = [writer(path, run, 60) for run in ("first-run", "second-run")]
    for process in writers:
        assert process.communicate(timeout=120)[0].split() == [str(i) for i in range(60)]
        assert process.returncode == 0
    with Leaderboard.open(path, read_only=True) as board:
        for run in ("first-run", "second-run"):
            assert [e.key for e in board.evaluations(run)] == [f"k{i}-{j}" for i in range(60) for j in range(2)]
    assert [file.name for file in tmp_path.iterdir()] == ["lb.sqlite"]


@pytest.mark.parametrize("after", [1, 7, 20])
def test_a_killed_writer_loses_nothing_it_was_told_is_stored(tmp_path, after):
    path = tmp_path / "lb.sqlite"
    process = writer(path, "killed-run", 100_000)
    acknowledged = [process.stdout.readline() for _ in range(after)]
    process.kill()
    acknowledged += process.stdout.readlines()  # communicate with a timeout would lose what readline has read ahead
    process.wait(60)
    last = max(int(line) for line in acknowledged if line.endswith("\n"))
    with Leaderboard.open(path) as board:
        keys = [e.key for e in board.evaluations("killed-run")]
        assert keys[: 2 * last + 2] == [f"k{i}-{j}" for i in range(last + 1) for j in range(2)]
        assert len(keys) in (2 * last + 2, 2 * last + 4)  # a batch is there whole or not at all
        board.add([an_evaluation("later", run="killed-run")])
    assert [file.name for file in tmp_path.iterdir()] == ["lb.sqlite"]


def test_a_reader_sees_a_live_writers_rows_and_cannot_write(board):
    board.add([an_evaluation("k")])
    with Leaderboard.open(board.path, read_only=True) as reader:
        assert [e.key for e in reader.evaluations()] == ["k"]
        board.add([an_evaluation("k2")])
        assert [e.key for e in reader.evaluations()] == ["k", "k2"]
        with pytest.raises(StorageError):
            reader.add([an_evaluation("k3")])
    assert len(board.evaluations()) == 2


def test_closing_twice_is_harmless_and_using_a_closed_one_is_an_error(tmp_path):
    board = Leaderboard.open(tmp_path / "lb.sqlite")
    board.close()
    board.close()
    with pytest.raises(StorageError):
        board.runs()


def test_an_exception_inside_with_keeps_what_was_added(tmp_path):
    path = tmp_path / "lb.sqlite"

    def interrupted():
        with Leaderboard.open(path) as board:
            board.start_run(a_run())
            board.add([an_evaluation("k")])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with Leaderboard.open(path) as board:
        assert len(board.evaluations()) == 1


ATTACHED = (
    Step(RUN, "task", "FitTask 1", {"value": [1.5, None]}, 2.5),
    Origin(RUN, "e1", "gradient", ["e0"]),
    DataRow(RUN, "train", "r1", {"text": "größe\n{label}", "tags": ["a", 1]}, "pos"),
    EntryEstimate(RUN, "e1", -0.125, 0.0, 1.0),
)


@pytest.mark.parametrize("item", ATTACHED)
def test_what_is_attached_to_a_run_is_read_back(board, item):
    board.attach([item])
    assert board.attached(type(item), RUN) == [item]
    assert all(board.attached(type(other), RUN) == [] for other in ATTACHED if other is not item)
    with pytest.raises(StorageError):
        board.attach([item._replace(run="another")])
    board.finish_run(RUN, "finished", RunResult())
    assert board.attached(type(item), RUN) == ([] if isinstance(item, Step) else [item])
    with pytest.raises(NotFoundError):
        board.attached(type(item), "another")


def test_an_origin_an_estimate_and_a_row_of_a_split_are_stored_once(board):
    board.add([an_evaluation("k")], ATTACHED)
    board.attach([ATTACHED[1]._replace(operator="words"), ATTACHED[2]._replace(label="neg")])
    board.attach([ATTACHED[3]._replace(error=0.5)])
    board.attach([ATTACHED[2]._replace(split="test")])
    assert board.attached(Origin, RUN) == [ATTACHED[1]]
    assert board.attached(EntryEstimate, RUN) == [ATTACHED[3]]
    assert board.attached(DataRow, RUN) == [ATTACHED[2], ATTACHED[2]._replace(split="test")]


@pytest.mark.parametrize(
    "damage",
    [
        *("UPDATE origins SET operator = 'words'", "UPDATE data_rows SET fields = '{}'", "UPDATE steps SET spent = 1"),
        "UPDATE estimates SET error = 0.1",
    ],
)
def test_what_is_attached_is_checked(board, damage):
    board.attach(ATTACHED)
    with closing(sqlite3.connect(board.path)) as connection, connection:
        connection.execute(damage)
    (kind,) = [type(item) for item, table in zip(ATTACHED, ("steps", "origins", "data_rows", "estimates"), strict=True)
               if table in damage]  # fmt: skip
    with pytest.raises(StorageError, match="damaged"):
        board.attached(kind, RUN)
