"""Two searches and a reader on one leaderboard at once.

``python tests/soak/crowd.py --seconds 120``: both searches of a tiny model have to complete within that budget, and
whatever the reader reads, again and again, has to be whole and never less than before. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import commands
import runs
import tiny

from autoprompt.leaderboard import Leaderboard

PAUSE = 0.02
"""Seconds between two readings."""


@dataclass
class Reader:
    """Reads a leaderboard in a thread of its own while ``going`` says so."""

    board: Path
    going: Callable[[], bool]
    counts: list[int] = field(default_factory=list)
    """Evaluations at each reading."""
    errors: list[Exception] = field(default_factory=list)

    def __enter__(self) -> Reader:
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _read(self) -> None:
        while self.going():
            try:
                if self.board.exists():
                    with Leaderboard.open(self.board, read_only=True) as opened:
                        entries, rows = opened.entries(), opened.evaluations()
                        assert {entry.entry for entry in entries} <= {row.entry for row in rows}
                        self.counts.append(len(rows))
            except Exception as error:
                self.errors.append(error)
            time.sleep(PAUSE)

    def check(self) -> None:
        """Raise AssertionError unless it read something, and never less than before."""
        assert not self.errors, self.errors
        assert self.counts
        assert self.counts == sorted(self.counts)


def crowd(seconds: int) -> dict[str, Any]:
    """Both searches with that budget. Raises AssertionError where one or the reader fails."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = tiny.save_llama(folder / "model", tiny.byte_level("<s> $A"))
        corpus = folder / "corpus"
        corpus.mkdir()
        tiny.write_corpus(corpus)
        (folder / "small.toml").write_text(runs.SMALL)
        board = folder / "lb.sqlite"
        searches = [
            commands.start(
                "search", corpus, "--model", model, "--workers", 1, "--budget", f"{seconds}s", "--seed", seed,
                "--config", folder / "small.toml", "--leaderboard", board, "--json",
            )
            for seed in (0, 1)
        ]  # fmt: skip
        with Reader(board, lambda: any(process.poll() is None for process in searches)) as reader:
            ended = [process.communicate(timeout=2 * seconds + 60) for process in searches]
        assert [process.returncode for process in searches] == [0, 0], [err for _, err in ended]
        reader.check()
        results = [json.loads(out) for out, _ in ended]
        for result in results:
            runs.facts(board, result)
        return {
            "seconds": [round(result["seconds"]) for result in results],
            "evaluations": [result["evaluations"] for result in results],
            "rows": reader.counts[-1],
            "readings": len(reader.counts),
        }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=120)
    print(json.dumps(crowd(parser.parse_args().seconds)))
