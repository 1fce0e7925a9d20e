"""What happens to processes: they crash, hang, are signalled, lose their device; and the clock jumps."""

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import commands
import crowd
import hub
import losing
import pytest
import runs
import torch

from autoprompt import run
from autoprompt.errors import WorkerLostError
from autoprompt.evaluator import worker as workers
from autoprompt.execution import LocalExecutor
from autoprompt.leaderboard import Leaderboard, RunConfig, RunRecord
from autoprompt.optimizer import Budget
from autoprompt.progress import Silent
from autoprompt.run.request import stored_options

pytestmark = pytest.mark.alone


@pytest.fixture
def options(model_folders: dict[str, Path], corpus_folder: Path, tmp_path: Path) -> run.SearchOptions:
    return runs.small(model_folders["llama"], corpus_folder, tmp_path)


def searching(options: run.SearchOptions, *more: object) -> Any:
    return commands.start(
        "search", options.corpus, "--model", options.model.model, "--workers", 2, "--config", options.config,
        "--fix", "epochs=1", "--no-refit", "--unlabeled", options.data.unlabeled,
        "--leaderboard", options.leaderboard, "--json",
        *more,
    )  # fmt: skip


def wait_for(process: Any, text: str) -> None:
    for line in process.stderr:
        if text in line:
            return


@pytest.mark.timeout(60)
def test_fault_25_a_lost_device_takes_a_fresh_process_and_one_retry(tmp_path: Path) -> None:
    executor = LocalExecutor(1, losing.nothing, ())
    try:
        (once,) = executor.map(losing.lose_device, [(str(tmp_path), 0)])
        (again,) = executor.map(losing.lose_device, [(str(tmp_path), 1)])
        assert again != once, "the process goes with its device"
        for path in tmp_path.iterdir():
            path.unlink()
        (said,) = executor.map(losing.lose_device, [(str(tmp_path), 2)], lost=lambda _, why: why)
        assert said == "the device failed: CUDA error"
        assert len(list(tmp_path.iterdir())) == 2
    finally:
        executor.close()


def test_fault_25_a_device_error_says_that_the_process_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    class Resident:
        class model:  # noqa: N801
            micro_batch = None
            tokens_processed = 0

    def failing(_: Any) -> None:
        raise torch.AcceleratorError("CUDA error: device-side assert triggered\nCompile with `TORCH_USE_CUDA_DSA`")

    monkeypatch.setattr(workers, "_WORKER", Resident())
    with pytest.raises(WorkerLostError, match=r"^the device failed: CUDA error: device-side assert triggered$"):
        workers.perform(failing)


class Hanging(commands.Inline):
    """The executor of a search in which one fine-tune hangs: it is lost as the local one would lose it."""

    limits: list[float] = []  # noqa: RUF012

    def map(self, function, items, gate=None, *, limit=None, lost=None, **_):
        for number, item in enumerate(items):
            if gate is not None and not gate():
                return
            self.limits.append(limit)
            hangs = type(item).__name__ == "FitTask" and number == 1
            yield lost(item, f"it took longer than {limit:g} seconds") if hangs else function(item)


@pytest.mark.parametrize("limit", [None, 2.5])
def test_fault_26_a_fine_tune_that_hangs_fails_and_the_search_goes_on(options, monkeypatch, limit):
    if limit:
        options.config.write_text(f'{runs.SMALL}time_limit = "{limit}s"\n')
    monkeypatch.setattr("autoprompt.run.backends.local.LocalExecutor", Hanging)
    monkeypatch.setattr(Hanging, "limits", [])
    result = run.search(replace(options, max_evaluations=4), Silent()).to_dict()
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        stored = board.evaluations(result["run"])
    failed = [e for e in stored if e.status == "failed" and e.rung == 1]
    assert failed
    assert all("took longer than" in e.reason for e in failed)
    assert result["evaluations"] == 4
    assert result["best"]["entry"] not in {e.entry for e in failed}
    if limit:
        assert set(Hanging.limits) == {limit}
    else:
        assert Hanging.limits[0] == 3600
        assert min(Hanging.limits) >= 300


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_fault_31_a_second_signal_stops_at_once_and_the_run_goes_on_later(options, number):
    process = searching(options, "--workers", 1, "--max-evaluations", 8, "--name", "twice")
    wait_for(process, "generation 0")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(number)
    time.sleep(0.05)
    process.send_signal(number)
    started = time.monotonic()
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - started < 15
    # Where the first one's end was done already, Python is closing and dies of the second: 128 + number to a shell.
    assert process.returncode in (128 + number, -number), err
    assert out == ""
    assert "Traceback" not in err
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{child}/exe").exists() for child in children):
        assert time.monotonic() < deadline, "processes are left"
        time.sleep(0.1)
    with commands.inline():
        ended = run.resume("twice", options.leaderboard, Silent())
    assert ended.evaluations == 8


def stop_a_worker(driver: int) -> list[int]:
    """Stop one of a driver's workers; the process ids of all."""
    children = Path(f"/proc/{driver}/task/{driver}/children").read_text().split()
    workers = [int(pid) for pid in children if "worker_main" in Path(f"/proc/{pid}/cmdline").read_text()]
    os.kill(workers[0], signal.SIGSTOP)
    return workers


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_fault_31_one_signal_ends_a_run_whose_worker_was_stopped(options):
    process = searching(options, "--max-evaluations", 8)
    wait_for(process, "generation 0")
    workers = stop_a_worker(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert not any(Path(f"/proc/{worker}/exe").exists() for worker in workers), "processes are left"


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("limit", [("--budget", "20s"), ("--max-evaluations", "12")])
def test_fault_30_a_stopped_worker_costs_nothing_but_time(options, tmp_path, limit):
    """Neither does the end of the budget wait for it."""
    process = searching(options, *limit)
    wait_for(process, "generation 0")
    stop_a_worker(process.pid)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    result = json.loads(out)
    if "--budget" in limit:
        assert result["best"]["test"] is not None
        return
    whole = replace(options, max_evaluations=12, leaderboard=tmp_path / "whole.sqlite")
    with commands.inline():
        assert runs.facts(options.leaderboard, result) == runs.facts(
            whole.leaderboard, run.search(whole, Silent()).to_dict()
        )


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_fault_34_two_searches_and_a_reader_on_one_leaderboard(options):
    started = [searching(options, "--max-evaluations", 9, "--seed", seed) for seed in (0, 1)]
    with crowd.Reader(options.leaderboard, lambda: any(process.poll() is None for process in started)) as reader:
        ended = [process.communicate(timeout=150) for process in started]
    reader.check()
    assert [process.returncode for process in started] == [0, 0], ended
    results = [json.loads(out) for out, _ in ended]
    assert len({result["run"] for result in results}) == 2
    for seed, result in enumerate(results):
        alone = replace(options, max_evaluations=9, seed=seed, leaderboard=options.leaderboard.with_suffix(f".{seed}"))
        with commands.inline():
            assert runs.facts(options.leaderboard, result) == runs.facts(
                alone.leaderboard, run.search(alone, Silent()).to_dict()
            )


def test_fault_35_a_clock_that_jumps_changes_nothing(finished, monkeypatch, tmp_path):
    """Budgets are kept by the monotonic clock, orders by the rows', and a living driver by its lock."""
    options, result = finished
    now, jumps = time.time(), iter(range(1, 10**6))
    monkeypatch.setattr(time, "time", lambda: now + (-1) ** next(jumps) * 10**7)
    other = replace(options, leaderboard=tmp_path / "other.sqlite")
    again = run.search(other, Silent()).to_dict()
    assert runs.facts(other.leaderboard, again) == runs.facts(options.leaderboard, result)
    assert 0 <= Budget(seconds=1.0).spent < 10**6


@pytest.mark.slow
def test_fault_22_a_run_goes_on_with_the_commit_that_it_began_with(tmp_path):
    """The newest one is another by then."""
    files = [
        {"config.json": json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": size}),
         "tokenizer.json": "{}", "model.safetensors": hub.NO_TENSORS} for size in (8, 16)
    ]  # fmt: skip
    before, after = hub.repository(files[0]), hub.repository(*files)
    with hub.serve({"owner/tiny": before}, {}) as address:
        (began,) = hub.locate(tmp_path, "owner/tiny", HF_ENDPOINT=address)
    request = {
        "corpus": "hub:owner/rows", "in_memory": False, "data": {}, "model": {"model": "owner/tiny", "workers": 1},
        "config": {}, "templates": [], "max_evaluations": 1,
    }  # fmt: skip
    revisions = {"model_revision": began["revision"], "corpus_revision": "c" * 40}
    config = {"request": request, "warm_start": None, "transfer": None, **revisions}
    stored = RunRecord("id", None, "", "", "owner/tiny", 0, "hybrid", RunConfig.from_dict(config), "")
    asked = stored_options(stored, tmp_path / "lb.sqlite", None, 0.0)
    assert asked.corpus == f"hub:owner/rows@{'c' * 40}"
    (tmp_path / "new").mkdir()
    with hub.serve({"owner/tiny": after}, {}) as address:
        pinned, moved = hub.locate(tmp_path / "new", asked.model.model, "owner/tiny", HF_ENDPOINT=address)
        assert (pinned["revision"], pinned["hidden"]) == (began["revision"], 8)
        assert moved["hidden"] == 16
