"""A leaderboard of tens of thousands of runs: seconds and memory of adding an evaluation, list and runs.

``python tests/soak/many_runs.py --runs 50000``. The rows are written straight into the file, as the program would have
written them. Each command runs in a process of its own; prints a line each, then one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from synthetic import write

from autoprompt.leaderboard import Leaderboard, queries, records

ROWS = 2
"""Evaluations of a run."""
_WATCHED = f"""
import sys, time
sys.argv[0] = "autoprompt"
sys.path.insert(0, {str(Path(__file__).parent)!r})
from memory import peak
from autoprompt.cli import main
started = time.perf_counter()
try:
    main()
finally:
    print(f"{{time.perf_counter() - started:.2f}} {{peak()}}", file=sys.stderr)
"""
_ADDED = f"""
import sys, time
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]}
from memory import peak
from dataclasses import replace
from pathlib import Path
from autoprompt.leaderboard import Leaderboard
with Leaderboard.open(sys.argv[1]) as board:
    one = board.evaluations(sys.argv[2])[0]
    started = time.perf_counter()
    board.add([replace(one, key="added")])
    seconds = time.perf_counter() - started
print(f"{{seconds:.2f}} {{peak()}}", file=sys.stderr)
"""


def build(path: Path, runs: int) -> str:
    """Copies of one run, each with its own id and losses. Returns the id of the last."""
    first = write(path, ROWS)
    with Leaderboard.open(path, read_only=True) as board:
        record, evaluations = board.run(first), board.evaluations(first)[:ROWS]
    config = record.config.to_dict() | {"templates": ["Review: {text}\nMood: {label}"] * 20}
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        number = connection.execute("SELECT max(number) FROM evaluations").fetchone()[0]
        summaries = [list(records.evaluation_values(evaluation)) for evaluation in evaluations]
        examples = [records.example_values(evaluation) for evaluation in evaluations]
        losses = [records.losses_value(evaluation) for evaluation in evaluations]
        values = list(records.run_values(record, ROWS))
        values[records.RUN_COLUMNS.index("config")] = records.ordered_json(config)
        for run in range(1, runs):
            values[0] = f"{run:012x}"
            connection.execute(queries.ADD_RUN, (*values, records.checksum(values)))
            for place, summary in enumerate(summaries):
                number += 1
                summary[0] = values[0]
                summary[records.EVALUATION_COLUMNS.index("loss")] = (run * 7919 % 100_003) / 100_003
                row = (number, *summary, records.checksum(summary))
                connection.execute(f"INSERT INTO evaluations VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608
                named = (values[0], summary[1])
                connection.execute(
                    queries.ADD_LOSSES, (number, losses[place], records.checksum((*named, losses[place])))
                )
                check = records.checksum((*named, *examples[place]))
                connection.execute(queries.ADD_EXAMPLES, (number, *examples[place], check))
        connection.execute("COMMIT")
    return str(values[0])


def measured(code: str, *arguments: object) -> dict[str, float]:
    """Seconds of the work, without loading the program, and the most memory in MB."""
    process = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    seconds, peak = process.stderr.split()[-2:]
    return {"seconds": float(seconds), "mb": int(peak)}


def measure(runs: int) -> dict[str, Any]:
    """All commands on a leaderboard of so many runs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "many.sqlite")
        started = time.perf_counter()
        last = build(path, runs)
        print(f"{runs} runs, {path.stat().st_size // 1024**2} MB, built in {time.perf_counter() - started:.0f} s")
        found = {"add": measured(_ADDED, path, last)}
        for name, arguments in {
            "list": ("list",),
            "list of a run": ("list", "--run", last),
            "list --json": ("list", "--json"),
            "runs": ("runs",),
            "runs --json": ("runs", "--json"),
        }.items():
            found[name] = measured(_WATCHED, "leaderboard", *arguments, "--leaderboard", path)
    for name, values in found.items():
        print(f"{name}: {values['seconds']:.2f} s, {values['mb']} MB", flush=True)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50_000)
    print(json.dumps(measure(parser.parse_args().runs)))
