"""Searches on a GPU: seconds and fine-tunes a minute by workers, beside the same machine's CPU; what verify says.

    python tests/benchmarks/device.py [CORPUS …] --device cuda --workers 1 2 4 --evaluations 60

One search a row with the same seed and number of fine-tunes, test rows included, one after the other. Whole commands
as a user would give them; "start" is the time before the first of a search's seconds and after the last. The last line:
what each row holds.
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


def searched(corpus: str, where: list[str], evaluations: int, board: Path, name: str) -> dict[str, Any]:
    """One search, and the verification of all its entries where it is not on the CPU."""
    kept = ("--leaderboard", str(board))
    found, seconds = called(
        "search", corpus, *where, "--max-evaluations", str(evaluations), "--seed", "0", "--name", name, *kept
    )
    row = {
        "corpus": Path(corpus).name,
        "run": name,
        "seconds": found["seconds"],
        "start": seconds - found["seconds"],
        "fine-tunes": found["evaluations"],
        "a minute": 60 * found["evaluations"] / found["seconds"],
        "validation loss": found["best"]["validation"]["loss"],
        "test accuracy": found["best"]["test"]["accuracy"],
        "n": found["best"]["test"]["n"],
    }
    print(json.dumps(row), flush=True)
    return row


def verified(board: Path, name: str) -> dict[str, Any]:
    found, seconds = called("verify", "--run", name, "--leaderboard", str(board))
    print("verify", json.dumps({k: v for k, v in found.items() if not isinstance(v, list)}), flush=True)
    return {"seconds": seconds, **{k: v for k, v in found.items() if not isinstance(v, list)}}


def main() -> None:
    """Measure, print the table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="*", default=["rotten-tomatoes"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4], help="on the device")
    parser.add_argument("--cpu-workers", type=int, default=os.cpu_count(), help="beside it; 0: no such row")
    parser.add_argument("--evaluations", type=int, default=60)
    given = parser.parse_args()
    rows, checks = [], {}
    with tempfile.TemporaryDirectory() as folder:
        board = Path(folder) / "board.sqlite"
        for corpus in given.corpora:
            ways = [
                (f"{given.device}, {n} workers", ["--device", given.device, "--workers-per-gpu", str(n)])
                for n in given.workers
            ]
            if given.cpu_workers:
                ways += [
                    (f"cpu, {given.cpu_workers} workers", ["--device", "cpu", "--workers", str(given.cpu_workers)])
                ]
            for name, where in ways:
                run = f"{Path(corpus).name}: {name}"
                rows.append(searched(corpus, where, given.evaluations, board, run))
                if where[1] != "cpu" and name == ways[0][0]:
                    checks[run] = verified(board, run)
    card = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no CUDA"
    print(f"\n{machine()}; {card}\n")
    table(list(rows[0]), [list(row.values()) for row in rows])
    finish({"rows": rows, "verify": checks})


if __name__ == "__main__":
    main()
