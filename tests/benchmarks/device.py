"""Searches on a GPU: fine-tunes a minute by workers, beside the same machine's CPU; whether the winner is verified.

    python tests/benchmarks/device.py [CORPUS] --device cuda --workers 1 4 --budget 60s

One search a row, of the same seed and time, one after the other; whole commands, as a user gives them. Each row and
what ``verify`` says of its winner are printed when they are known.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from bench import finish, machine, table

COMMAND = (sys.executable, "-c", "from autoprompt.cli import main; main()")


def called(*arguments: str) -> tuple[dict[str, Any], float]:
    """What a command prints as JSON, and its seconds."""
    started = time.perf_counter()
    done = subprocess.run([*COMMAND, *arguments, "--json"], capture_output=True, text=True)
    if not done.stdout:
        raise SystemExit(f"autoprompt {' '.join(arguments)} ended with {done.returncode}: {done.stderr[-3000:]}")
    return json.loads(done.stdout), time.perf_counter() - started


def searched(corpus: str, where: list[str], budget: str, board: Path, name: str) -> dict[str, Any]:
    """One search; its winner's scores are computed again where that was not on the CPU."""
    kept = ("--leaderboard", str(board))
    found, seconds = called("search", corpus, *where, "--budget", budget, "--seed", "0", "--name", name, *kept)
    row = {
        "run": name,
        "seconds": seconds,
        "fine-tunes": found["evaluations"],
        "a minute": 60 * found["evaluations"] / found["seconds"],
        "frozen scores": found["frozen"],
        "validation loss": found["best"]["validation"]["loss"],
        "test accuracy": found["best"]["test"]["accuracy"],
        "n": found["best"]["test"]["n"],
    }
    print(json.dumps(row), flush=True)
    if "cpu" not in where:
        checked, seconds = called("verify", found["best"]["entry"], *kept)
        print(json.dumps({"verify": checked, "seconds": seconds}), flush=True)
    return row


def main() -> None:
    """Measure, print the table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?", default="rotten-tomatoes")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 4], help="on the device")
    parser.add_argument("--cpu-workers", type=int, default=os.cpu_count(), help="beside it; 0: no such row")
    parser.add_argument("--budget", default="60s", help="of each search")
    given = parser.parse_args()
    ways = [(f"{given.device}, workers: {n}", ["--device", given.device, "--workers-per-gpu", str(n)])
            for n in given.workers]  # fmt: skip
    if given.cpu_workers:
        n = given.cpu_workers
        ways.append((f"cpu, workers: {n}", ["--device", "cpu", "--workers", str(n)]))
    with tempfile.TemporaryDirectory() as folder:
        board = Path(folder) / "board.sqlite"
        rows = [searched(given.corpus, where, given.budget, board, name) for name, where in ways]
    card = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no CUDA"
    print(f"\n{machine()}; {card}; {given.corpus}, {given.budget} a search\n")
    table(list(rows[0]), [list(row.values()) for row in rows])
    finish({"rows": rows})


if __name__ == "__main__":
    main()
