"""What people wait for at the desk: listing and reporting a leaderboard of 10,000 entries, --help, and importing.

    make bench NAME=desk            a minute
    make bench NAME=desk QUICK=1    1,000 entries

Whole commands from start to end, one after the other, medians of five; the entries are drawn, not searched. The last
line: ``{"list", "report", "help", "import", "page_mb", "entries"}``, in seconds and megabytes.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import described, finish, options, table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import synthetic

RUNS = 5
COMMAND = (sys.executable, "-c", "from autoprompt.cli import main; main()")


def seconds(*command: str) -> float:
    """The median of several runs of a process."""
    taken = []
    for _ in range(RUNS):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def main() -> None:
    """Measure, print the table, then one line of JSON."""
    given = options(__doc__)
    entries = 1000 if given.quick else 10_000
    with tempfile.TemporaryDirectory() as name:
        board, out = Path(name, "lb.sqlite"), Path(name, "report")
        run = synthetic.write(board, entries)
        where = ("--leaderboard", str(board))
        found = {
            "list": seconds(*COMMAND, "leaderboard", "list", *where),
            "report": seconds(*COMMAND, "report", run, "--out", str(out), *where),
            "help": seconds(*COMMAND, "--help"),
            "import": seconds(sys.executable, "-c", "import autoprompt"),
        }
        found["page_mb"] = (out / "report.html").stat().st_size / 1e6
    print(f"\n{described()}; {entries} entries\n")
    table(["what", "seconds"], [[what, f"{value:.2f}"] for what, value in found.items() if what != "page_mb"])
    print(f"The page has {found['page_mb']:.2f} MB.\n")
    finish({name: round(value, 3) for name, value in found.items()} | {"entries": entries})


if __name__ == "__main__":
    main()
