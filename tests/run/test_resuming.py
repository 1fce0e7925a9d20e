"""Going on with a run: killed anywhere, it ends as if nothing had happened, or says why it cannot."""

import json
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import commands
import pytest
import runs
from runs import Killed, killing, started

import autoprompt
from autoprompt import run
from autoprompt.errors import NotFoundError, StorageError, UsageError
from autoprompt.leaderboard import Leaderboard, RunConfig, Step, holding
from autoprompt.optimizer import Budget, phrases
from autoprompt.progress import Silent
from autoprompt.run.resuming import StoredJournal

pytestmark = pytest.mark.alone


@pytest.fixture
def options(model_folders: dict[str, Path], corpus_folder: Path, tmp_path: Path) -> run.SearchOptions:
    return smaller(model_folders["llama"], corpus_folder, tmp_path)


def smaller(model: Path, corpus: Path, folder: Path) -> run.SearchOptions:
    """Seven fine-tunes over two generations of two."""
    options = runs.small(model, corpus, folder)
    assert isinstance(options.config, Path)
    options.config.write_text("[search]\npool = 4\nsurvivors = 2\nfinalists = 2\n")
    return options


@pytest.fixture(autouse=True, scope="module")
def _in_this_process():
    with commands.inline():
        yield


@dataclass(frozen=True)
class Kept:
    """A run of these options, which tests copy."""

    options: run.SearchOptions
    run: str
    result: dict[str, Any]
    tasks: int

    def copied(self, folder: Path) -> run.SearchOptions:
        place = folder / "copy.sqlite"
        with Leaderboard.open(self.options.leaderboard) as board:
            board.back_up(place)
        return replace(self.options, leaderboard=place)


@pytest.fixture(scope="module")
def whole(model_folders: dict[str, Path], corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """It is finished."""
    options = smaller(model_folders["llama"], corpus_folder, tmp_path_factory.mktemp("whole"))
    return ended_whole(replace(options, name="the first"))


def ended_whole(options: run.SearchOptions) -> Kept:
    with pytest.MonkeyPatch.context() as patch:
        count = killing(patch, -1)
        result = run.search(options, Silent()).to_dict()
    return Kept(options, result["run"], result, count[0])


@pytest.fixture(scope="module")
def begun(
    whole: Kept, model_folders: dict[str, Path], corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Kept:
    """It was killed about halfway."""
    options = replace(
        smaller(model_folders["llama"], corpus_folder, tmp_path_factory.mktemp("begun")), name="the first"
    )
    return Kept(options, started(options, whole.tasks // 2), {}, whole.tasks // 2)


def resumed(options: run.SearchOptions, reference: str, **more: Any) -> dict[str, Any]:
    return run.resume(reference, options.leaderboard, Silent(), **more).to_dict()


def changed(folder: Path, to: Path) -> Path:
    """A copy of the corpus with another word in one training row."""
    commands.copied(folder, to)
    path = next(to.glob("train*"))
    path.write_text(path.read_text(encoding="utf-8").replace("good", "fine", 1), encoding="utf-8")
    return to


def kill_and_compare(whole: Kept, options: run.SearchOptions, parts: Iterable[float], folder: Path) -> None:
    """Runs that are killed after these parts of the whole one's tasks end as it did."""
    for number, part in enumerate(parts):
        other = replace(options, leaderboard=folder / f"{number}.sqlite")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("autoprompt.run.recording.PIECE", (100, 3, 1)[number % 3])
            reference = started(other, round(part * whole.tasks))
            ended = runs.facts(other.leaderboard, resumed(other, reference))
        assert ended == runs.facts(whole.options.leaderboard, whole.result), f"killed after {part}"
        assert not list(folder.glob("*.lock"))


@pytest.mark.parametrize("part", [pytest.param(0.2, marks=pytest.mark.slow), 0.87])
def test_fault_29_a_run_killed_anywhere_ends_as_if_nothing_had_happened(options, whole, tmp_path, part):
    """About halfway: test_a_row_that_was_stored_before_the_kill_is_stored_once."""
    kill_and_compare(whole, replace(options, name="the first"), (part,), tmp_path)


@pytest.mark.slow
def test_fault_29_a_run_with_gradients_killed_anywhere_ends_as_if_nothing_had_happened(options, tmp_path):
    options = replace(options, strategy="gradient", leaderboard=tmp_path / "whole.sqlite")
    kill_and_compare(ended_whole(options), options, (0.3, 0.8), tmp_path)


@pytest.mark.slow
def test_fault_29_a_run_that_is_killed_again_and_again_ends_all_the_same(options, tmp_path):
    whole = runs.facts(options.leaderboard, run.search(options, Silent()).to_dict())
    other = replace(options, leaderboard=tmp_path / "other.sqlite")
    reference = started(other, 5)
    ended = None
    for _ in range(100):
        with pytest.MonkeyPatch.context() as patch:
            killing(patch, 7)
            try:
                ended = resumed(other, reference)
                break
            except Killed:
                continue
    assert ended is not None
    assert runs.facts(other.leaderboard, ended) == whole


def test_a_row_that_was_stored_before_the_kill_is_stored_once(begun, whole, tmp_path):
    """Killed between the rows and what follows: what is repeated finds its rows there, and the end is the same."""
    options, reference = begun.copied(tmp_path), begun.run
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        before = board.evaluations(reference)
    assert before
    result = resumed(options, reference)
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        after = board.evaluations(reference)
    assert result["run"] == reference
    assert after[: len(before)] == before
    assert len({e.key for e in after}) == len(after)
    assert runs.facts(options.leaderboard, result) == runs.facts(whole.options.leaderboard, whole.result)


def test_fault_31_what_waits_to_be_stored_is_stored_when_a_run_is_stopped(options, tmp_path, monkeypatch):
    def stored(place: Path) -> list[Any]:
        reference = started(replace(options, leaderboard=place), 22, KeyboardInterrupt)
        with Leaderboard.open(place, read_only=True) as board:
            assert board.run(reference).status == "stopped"
            return [(e.key, e.role, e.losses) for e in board.evaluations(reference)]

    at_once = stored(tmp_path / "at once.sqlite")
    monkeypatch.setattr("autoprompt.run.recording.PIECE", 1)
    assert stored(tmp_path / "in pieces.sqlite") == at_once
    add = Leaderboard.add

    def interrupted(board: Leaderboard, *given: Any) -> None:
        add(board, *given)
        if waiting:
            waiting.pop()
            raise KeyboardInterrupt

    waiting = [True]
    monkeypatch.setattr(Leaderboard, "add", interrupted)
    assert len(stored(tmp_path / "twice.sqlite")) == 1, "what was stored just before the signal is not stored again"


def test_results_that_come_at_once_are_stored_at_once_before_any_is_waited_for(options):
    reference = started(options, 5)
    with Leaderboard.open(options.leaderboard) as board:
        kept = len(board.attached(Step, reference))
        journal = StoredJournal(board, reference, Budget(evaluations=1))
        for number in range(3):
            journal.record(f"task {number}", {"value": number})
        assert len(board.attached(Step, reference)) == kept
        journal.flush()
        journal.flush()
        assert [step.key for step in board.attached(Step, reference)[kept:]] == ["task 0", "task 1", "task 2"]


def test_time_spent_counts_when_a_run_goes_on(options):
    options = replace(options, max_evaluations=None, budget=3600.0, started=time.monotonic() - 3500)
    result = resumed(options, started(options, 10), started=time.monotonic() - 100)
    assert result["seconds"] >= 3600
    assert result["finalists"] == 0
    assert result["evaluations"] <= 3


def test_a_finished_run_gives_its_result_again(whole):
    options, result = whole.options, whole.result
    assert resumed(options, result["run"]) == result
    assert resumed(options, "the first") == result
    with pytest.raises(NotFoundError):
        resumed(options, "another")


def test_a_run_goes_on_from_another_folder(options, monkeypatch, tmp_path):
    monkeypatch.chdir(Path(options.corpus).parent)
    reference = started(replace(options, corpus=f"./{Path(options.corpus).name}"), 20)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert resumed(options, reference)["evaluations"] == 7


def test_fault_50_changed_data(options, tmp_path):
    copy = changed(Path(options.corpus), tmp_path / "corpus")
    commands.copied(Path(options.corpus), tmp_path / "original")
    mine = replace(options, corpus=str(tmp_path / "original"))
    reference = started(mine, 5)
    next((tmp_path / "original").glob("train*")).write_bytes(next(copy.glob("train*")).read_bytes())
    with pytest.raises(StorageError, match=r"data\.fingerprint is now .*data\.rows\.train\.sha256"):
        resumed(mine, reference)


def test_fault_50_another_model_in_the_same_place(options, model_folders, tmp_path):
    folder = commands.copied(model_folders["llama"], tmp_path / "model")
    mine = replace(options, model=replace(options.model, model=str(folder)))
    reference = started(mine, 5)
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(StorageError, match=r"model\.files\.model\.safetensors is now"):
        resumed(mine, reference)


def test_fault_50_a_program_that_decides_otherwise(begun, monkeypatch, tmp_path):
    options, reference = begun.copied(tmp_path), begun.run
    monkeypatch.setattr(phrases, "tails", lambda *_: [" Well then: "])
    with pytest.raises(StorageError, match=r"repeating its first part gave .* where it was"):
        resumed(options, reference)


def test_a_run_that_lacks_its_request(whole, tmp_path):
    options = whole.copied(tmp_path)
    with Leaderboard.open(options.leaderboard) as board:
        old = board.run(whole.run)
        config = {name: value for name, value in old.config.to_dict().items() if name != "request"}
        board.start_run(
            replace(old, id="old", name=None, config=RunConfig.from_dict(config), status="stopped", result=None)
        )
    with pytest.raises(StorageError, match=r"lacks the value 'request'.*search again"):
        resumed(options, "old")


def test_fault_29_a_run_whose_driver_lives(begun, tmp_path):
    options, reference = begun.copied(tmp_path), begun.run
    with holding(options.leaderboard, reference), pytest.raises(StorageError, match="another process"):
        resumed(options, reference)
    assert resumed(options, reference)["evaluations"] == 7


def test_a_run_that_lost_its_driver_is_shown_as_interrupted(begun, capsys, tmp_path):
    options, reference = begun.copied(tmp_path), begun.run
    with Leaderboard.open(options.leaderboard) as board:
        board.finish_run(reference, "running")  # as a driver leaves it that is killed

    def status() -> str:
        shown = commands.call(capsys, "leaderboard", "runs", "--leaderboard", options.leaderboard, "--json")
        return json.loads(shown.out)["runs"][0]["status"]

    assert status() == "interrupted"
    with holding(options.leaderboard, reference):
        assert status() == "running"


def test_rows_in_memory_are_given_again(options):
    rows = {
        split: [{"text": f"{split} {word} {n}", "label": label} for n in range(12) for word, label in
                (("good", "pos"), ("bad", "neg"))] for split in ("train", "validation")
    }  # fmt: skip
    mine = replace(options, corpus="rows", data=run.DataOptions(rows=rows))
    reference = started(mine, 20)
    with pytest.raises(UsageError, match="in memory"):
        resumed(mine, reference)
    result = resumed(mine, reference, rows=rows)
    assert result["evaluations"] == 7
    entry = result["best"]["entry"]
    with pytest.raises(UsageError, match=r"autoprompt\.verify"):
        autoprompt.verify(entry, leaderboard=mine.leaderboard).to_dict()
    with commands.inline():
        assert autoprompt.verify(entry, corpus=rows, leaderboard=mine.leaderboard).to_dict()["verdict"] == "exact"
    other = started(replace(mine, seed=1), 5)
    rows["train"][0]["text"] = "another text"
    with pytest.raises(StorageError, match=r"data\.fingerprint"):
        resumed(mine, other, rows=rows)


def test_the_command(begun, capsys, tmp_path):
    options, reference = begun.copied(tmp_path), begun.run
    shown = commands.call(capsys, "resume", reference, "--leaderboard", options.leaderboard, "--json")
    assert shown.code == 0, shown.err
    result = json.loads(shown.out)
    assert result["run"] == reference
    again = commands.call(capsys, "resume", reference, "--leaderboard", options.leaderboard, "--json")
    assert json.loads(again.out) == result
    commands.refused(commands.call(capsys, "resume", "nobody", "--leaderboard", options.leaderboard), 3, "nobody")


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_fault_29_a_killed_command_is_resumed_at_once(options, tmp_path, monkeypatch):
    arguments = ("--leaderboard", options.leaderboard, "--json")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    process = commands.start(
        "search", options.corpus, "--model", options.model.model, "--max-evaluations", 12, "--workers", 2,
        "--config", options.config, "--fix", "epochs=1", "--no-refit", "--unlabeled", options.data.unlabeled,
        "--name", "killed",
        *arguments,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if "generation 0" in line:
            break
    blocked = commands.spawn("resume", "killed", *arguments)
    commands.refused(blocked, 4, "another process")
    left = set(temporary.iterdir())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert left
    ended = commands.spawn("resume", "killed", *arguments)
    assert ended.code == 0, ended.err
    assert not list(temporary.iterdir()), "what workers shared goes with the next run at the latest"
    whole = replace(options, max_evaluations=12, leaderboard=tmp_path / "whole.sqlite")
    expected = runs.facts(whole.leaderboard, run.search(whole, Silent()).to_dict())
    assert runs.facts(options.leaderboard, json.loads(ended.out))[:2] == expected[:2]
