"""Kill a running search again and again, its driver or a worker, at random moments, with SIGKILL; or stop a worker with
SIGSTOP.

``python tests/soak/kills.py --kills 100`` (ten kills took two minutes on two cores). A killed driver's run is resumed;
what a killed worker had is the driver's to see to. Every run has to end as an undisturbed one does: no row that could
be read before a kill is lost or changed, none is there twice, and rows, digest and result are the same. No process
outlives a killed driver, and no folder the last run. Prints a line a run, then one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import commands
import runs
import tiny

from autoprompt.errors import StorageError
from autoprompt.leaderboard import EvaluationRecord, Leaderboard

NAME = "soak"
MOST_WORKERS = 2
"""Workers killed in one run: a third death of one task would make it a failure, which is another result."""


@dataclass
class Soak:
    """``folder``: for models, data and leaderboards."""

    folder: Path
    rng: random.Random
    killed: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.model = tiny.save_llama(self.folder / "model", tiny.byte_level("<s> $A"))
        self.corpus = self.folder / "corpus"
        self.corpus.mkdir()
        tiny.write_corpus(self.corpus)
        (self.folder / "small.toml").write_text(runs.SMALL)
        self.temporary = self.folder / "temporary"
        self.temporary.mkdir()
        started = time.monotonic()
        self.whole = self._ended(self.folder / "whole.sqlite", self._start(self.folder / "whole.sqlite"))
        self.seconds = time.monotonic() - started

    def run(self, number: int, kills: int) -> None:
        """One run with at most so many kills."""
        board = self.folder / f"{number}.sqlite"
        process = self._start(board)
        seen: dict[str, EvaluationRecord] = {}
        workers = done = 0
        while done < kills:
            try:
                process.wait(self.rng.uniform(0.1, 0.8) * self.seconds)
                break
            except subprocess.TimeoutExpired:
                pass
            children = _workers(process.pid)
            if children and workers < MOST_WORKERS and self.rng.random() < 0.5:
                kind, number = self.rng.choice((("worker", signal.SIGKILL), ("stopped", signal.SIGSTOP)))
                os.kill(self.rng.choice(children), number)
                workers += 1
                self.killed[kind] += 1
            else:
                process.kill()
                process.communicate()
                self.killed["driver"] += 1
                _wait_for_end(children)
                seen |= _rows(board)
                process = self._start(board)
            done += 1
        assert self._ended(board, process) == self.whole, "the run did not end as an undisturbed one does"
        final = _rows(board)
        assert all(final.get(key) == row for key, row in seen.items()), "a row was lost or changed"
        left = [str(path.relative_to(self.temporary)) for path in self.temporary.rglob("*")]
        assert not left, f"temporary files are left: {left}"

    def _start(self, board: Path) -> subprocess.Popen[str]:
        """Search, or go on where a run of this name has been begun."""
        known = board.exists() and bool(_runs(board))
        begin = ("search", self.corpus, "--model", self.model, "--workers", 2, "--max-evaluations", 7, "--fix",
                 "epochs=1", "--config", self.folder / "small.toml", "--name", NAME)  # fmt: skip
        arguments = ("resume", NAME) if known else begin
        return commands.start(*arguments, "--leaderboard", board, "--json", env={"TMPDIR": str(self.temporary)})

    def _ended(self, board: Path, process: subprocess.Popen[str]) -> Any:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        return runs.facts(board, json.loads(out))


def _runs(board: Path) -> list[Any]:
    with Leaderboard.open(board, read_only=True) as opened:
        return opened.runs()


def _rows(board: Path) -> dict[str, EvaluationRecord]:
    """What is acknowledged: read as any reader would."""
    try:
        with Leaderboard.open(board, read_only=True) as opened:
            return {row.key: row for row in opened.evaluations()}
    except StorageError:
        if board.exists():
            raise
        return {}  # the driver did not come that far


def _workers(driver: int) -> list[int]:
    """Process ids of a driver's workers."""
    children = Path(f"/proc/{driver}/task/{driver}/children").read_text().split()
    return [int(child) for child in children if "worker_main" in Path(f"/proc/{child}/cmdline").read_text()]


def _wait_for_end(processes: list[int]) -> None:
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}/exe").exists() for pid in processes):
        assert time.monotonic() < deadline, f"workers go on without their driver: {processes}"
        time.sleep(0.05)


def soak(kills: int, seed: int) -> dict[str, Any]:
    """Kill so often. Raises AssertionError where anything is not as it has to be."""
    rng = random.Random(seed)  # noqa: S311
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        soaked = Soak(Path(folder), rng)
        number = 0
        while (left := kills - soaked.killed.total()) > 0:
            before = soaked.killed.total()
            soaked.run(number, min(left, rng.randint(1, 6)))
            number += 1
            print(f"run {number}: {soaked.killed.total() - before} kills, ended as an undisturbed one", flush=True)
    seconds = round(time.monotonic() - started)
    return {"kills": kills, "runs": number, **dict(soaked.killed), "seed": seed, "seconds": seconds}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(json.dumps(soak(given.kills, given.seed)))
