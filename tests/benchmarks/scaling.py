"""Many workers: how busy they are, what the driver costs, and what a second real one brings.

    make bench NAME=scaling            over an hour on two idle cores (not timed whole)
    make bench NAME=scaling QUICK=1    fewer workers, one repetition

*Simulated* workers take as long as real ones did, drawn task by task; search, driver and leaderboard are real. 192
fine-tunes a worker, in generations of 96 with 120 frozen scores, which is how the guide scales a population. Busy: what
share of all workers' time, from the first task to the finalists, was spent on tasks; barrier: on waiting for others of
the same round of tasks; driver: on waiting for proposals and records between rounds.

*Driver*: the same search with workers that take no time. *Dispatch*: trivial tasks a second through two workers.
*Real*: one search with one and two Ray workers, and two local ones, whole commands from start to result, medians of
three. The last line: ``{"busy": {workers: share}, "two_against_one", "driver_ms", "tasks_per_second": {executor:
tasks}}``.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import Cell, Cells, described, finish, options, table
from simulated import Seconds, Simulated, taking_place

from autoprompt import corpus as corpora
from autoprompt.progress import Silent
from autoprompt.run import ModelOptions, SearchOptions
from autoprompt.run import search as run_search
from autoprompt.run.backends import open_backend

CORPUS = "rotten-tomatoes"
COMMAND = (sys.executable, "-c", "from autoprompt.cli import main; main()")
POOL, SURVIVORS, GENERATIONS = 120, 96, 2
"""A worker, and of the whole run."""
MEASURED = 24
"""Fine-tunes whose tasks' seconds are kept."""
REAL = 16
"""Fine-tunes of each real search."""
TRIVIAL = 2000


@dataclass
class Phases(Silent):
    """Knows when the finalists began, and how busy the workers had been."""

    place: Simulated
    busy: float = 0.0
    mapped: float = 0.0
    ended: float = 0.0

    def stage(self, text: str) -> None:
        if text == "finalists":
            self.busy, self.mapped, self.ended = self.place.busy, self.place.mapped, time.monotonic()


def measured() -> Cell:
    """Seconds of each task of a real search with as many workers as cores, by kind."""
    found: dict[str, list[float]] = {}
    with open_backend(ModelOptions(), Silent()) as backend, taking_place(_Watched(backend, found)):
        _search(MEASURED, backend.workers)
    return {"seconds": found}


class _Watched:
    """A backend whose executor notes what each task took."""

    def __init__(self, place: Any, found: dict[str, list[float]]) -> None:
        self._place = place
        self._found = found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._place, name)

    def executor(self, *given: Any) -> Any:
        executor = self._place.executor(*given)
        plain = executor.map

        def noting(function: Any, items: Sequence[Any], *rest: Any, **more: Any) -> Iterator[Any]:
            for item, work in zip(items, plain(function, items, *rest, **more), strict=False):
                # A share of a split's prefixes counts as the whole.
                whole = work.seconds * getattr(item, "parts", 1)
                self._found.setdefault(type(item).__name__, []).append(whole)
                yield work

        executor.map = noting
        return executor


def _search(evaluations: int, workers: int, view: Silent | None = None) -> tuple[dict[str, Any], float]:
    """One search with its population scaled to the workers; its result and seconds."""
    with tempfile.TemporaryDirectory() as name:
        rules = Path(name) / "rules.toml"
        rules.write_text(f"[search]\n{scaled(workers)}")
        started = time.monotonic()
        result = run_search(
            SearchOptions(CORPUS, max_evaluations=evaluations, config=rules, leaderboard=Path(name) / "board.sqlite"),
            view or Silent(),
        )
        return result.to_dict(), time.monotonic() - started


def scaled(workers: int) -> str:
    """The rules of a search for so many workers, as the guide has them."""
    return f"pool = {POOL * workers}\nsurvivors = {SURVIVORS * workers}\npopulation = {max(8, workers)}\n"


def simulated(workers: int, seconds: Seconds) -> Cell:
    """How busy so many workers are."""
    place = Simulated(workers, seconds, corpora.load(CORPUS, shots=16, seed=0))
    view = Phases(place)
    with taking_place(place):
        result, whole = _search(GENERATIONS * SURVIVORS * workers, workers, view)
    phase = view.ended - place.begun
    return {
        "busy": view.busy / workers / phase,
        "barrier": (view.mapped - view.busy / workers) / phase,
        "driver": 1 - view.mapped / phase,
        "phase": phase,
        "whole": whole,
        "evaluations": result["evaluations"],
        "an_hour": 3600 * result["evaluations"] / phase,
        "tasks": place.tasks,
    }


def dispatched(executor: str) -> Cell:
    """Trivial tasks a second."""
    model = ModelOptions(workers=2, executor=executor, ray_address="local" if executor == "ray" else None)
    with open_backend(model, Silent()) as backend:
        workers = backend.executor(_nothing, ())
        list(workers.map(abs, range(20)))
        started = time.monotonic()
        list(workers.map(abs, range(TRIVIAL)))
        took = time.monotonic() - started
        workers.close()
    return {"per_second": TRIVIAL / took}


def real(executor: str, workers: int) -> Cell:
    """Fine-tunes a minute of a whole command."""
    with tempfile.TemporaryDirectory() as name:
        where = ("--executor", executor, *(("--ray-address", "local") if executor == "ray" else ()))
        started = time.monotonic()
        subprocess.run(
            [*COMMAND, "search", CORPUS, "--max-evaluations", str(REAL), "--workers", str(workers), *where,
             "--leaderboard", f"{name}/board.sqlite", "--json"],
            check=True, capture_output=True, env=os.environ | {"RAY_ADDRESS": ""},
        )  # fmt: skip
        took = time.monotonic() - started
    return {"seconds": took, "a_minute": 60 * REAL / took}


def _nothing() -> None:
    """No initializer."""


def main() -> None:
    """Measure, print the tables, then one line of JSON."""
    given = options(__doc__)
    cells = Cells("scaling", given)
    seconds = cells.get({"what": "durations", "fine-tunes": MEASURED}, measured)["seconds"]
    counts = (1, 8) if given.quick else (1, 8, 64, 256)
    busy = {n: cells.get({"what": "simulated", "workers": n}, partial(simulated, n, seconds)) for n in counts}
    none = {name: [0.0] for name in seconds}
    driver = {n: cells.get({"what": "driver", "workers": n}, partial(simulated, n, none)) for n in counts}
    through = {e: cells.get({"what": "dispatch", "executor": e}, partial(dispatched, e)) for e in ("local", "ray")}
    repeats = range(1 if given.quick else 3)
    ways = (("ray", 1), ("ray", 2), ("local", 2))
    found: dict[tuple[str, int], list[float]] = {way: [] for way in ways}
    for repeat in repeats:
        for way in ways:
            what = {"what": "real", "executor": way[0], "workers": way[1], "repeat": repeat}
            found[way].append(cells.get(what, partial(real, *way))["a_minute"])
    print(f"\n{described()}\n")
    kinds = [[k, len(v), statistics.median(v), min(v), max(v)] for k, v in sorted(seconds.items())]
    table(["task", "n", "median seconds", "least", "most"], kinds)
    table(
        [
            "simulated workers",
            "fine-tunes",
            "seconds of the search",
            "whole command",
            "busy",
            "barrier",
            "driver",
            "fine-tunes an hour",
        ],
        [
            [n, c["evaluations"], c["phase"], c["whole"], c["busy"], c["barrier"], c["driver"], round(c["an_hour"])]
            for n, c in busy.items()
        ],
    )
    table(
        ["workers that take no time", "fine-tunes", "seconds", "ms a fine-tune", "tasks"],
        [
            [n, c["evaluations"], c["phase"], 1000 * c["phase"] / c["evaluations"], c["tasks"]]
            for n, c in driver.items()
        ],
    )
    table(["executor", "trivial tasks a second"], [[e, round(c["per_second"])] for e, c in through.items()])
    table(
        ["real workers", "n", "fine-tunes a minute", "least", "most"],
        [[f"{w[1]} {w[0]}", len(v), statistics.median(v), min(v), max(v)] for w, v in found.items()],
    )
    middle = {way: statistics.median(values) for way, values in found.items()}
    last = driver[counts[-1]]
    finish(
        {
            "busy": {n: round(c["busy"], 3) for n, c in busy.items()},
            "two_against_one": round(middle["ray", 2] / middle["ray", 1], 3),
            "driver_ms": round(1000 * last["phase"] / last["evaluations"], 2),
            "tasks_per_second": {e: round(c["per_second"]) for e, c in through.items()},
        }
    )


if __name__ == "__main__":
    main()
