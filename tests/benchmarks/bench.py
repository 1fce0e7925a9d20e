"""What the benchmarks share: their options, stored cells, the machine's description, intervals, ranks."""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch.optim.optimizer import register_optimizer_step_post_hook

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results" / "benchmarks"
SCRATCH = ROOT / ".bench"
"""What need not be kept: cells of quick runs, the peers' virtual environments."""

MODELS = ("artifacts", "candidate", "corpus", "errors", "hashing", "models", "template")
"""The package's modules that a model's own work depends on."""
EVALUATIONS = (*MODELS, "evaluator", "execution", "metrics")
"""Those that scores and their cost depend on."""
SEARCHES = (*EVALUATIONS, "run", "optimizer")
"""Those that decide what a search finds in a given time."""

Cell = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """``data``: a folder of few-shot folders; without it samples of the embedded corpora are taken."""

    data: Path | None
    quick: bool
    fresh: bool
    stored: bool = False


def options(doc: str | None) -> Options:
    """What ``make bench`` hands over."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of few-shot folders; default: the embedded corpora")
    parser.add_argument("--quick", action="store_true", help="a part of it, within 8 minutes")
    parser.add_argument("--fresh", action="store_true", help="measure again what is stored")
    parser.add_argument("--stored", action="store_true", help="show what is stored, measure nothing (search)")
    given = parser.parse_args()
    return Options(given.data, given.quick, given.fresh, given.stored)


class Cells:
    """A benchmark's measured cells, one JSON line each: a later run goes on where this one stopped.

    A cell is known by what was measured and by what that depends on: the engine's code, the machine. ``modules``: of
    the package, those that a benchmark uses, with what they import; all where none are named.
    """

    def __init__(
        self, name: str, given: Options, modules: Sequence[str] = ("",), *, folder: Path | None = None
    ) -> None:
        folder = folder or (SCRATCH if given.quick else RESULTS)
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name}.jsonl"
        self.fresh = given.fresh
        self.modules = modules
        self._done: set[str] = set()

    def get(
        self,
        what: Mapping[str, Any],
        measure: Callable[[], Cell],
        *,
        of_engine: bool = True,
        of_machine: bool = True,
    ) -> Cell:
        """The stored cell, else a new one. Where it is not ``of_engine`` or ``of_machine``, another's will do."""
        key = self._key(what, of_engine=of_engine, of_machine=of_machine)
        known = self.known(what, of_engine=of_engine, of_machine=of_machine)
        if known is not None and (key in self._done or not self.fresh):
            return known
        print("  measuring", ", ".join(map(str, what.values())), flush=True)
        values = measure()
        cell = {"key": key, "engine": engine(self.modules), "machine": described(), "values": values}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(cell, sort_keys=True) + "\n")
        self._done.add(key)
        return dict(values)

    def known(self, what: Mapping[str, Any], *, of_engine: bool = True, of_machine: bool = True) -> Cell | None:
        """The stored cell, or None."""
        key = self._key(what, of_engine=of_engine, of_machine=of_machine)
        known = [cell for cell in self._stored() if cell["key"] == key]
        return dict(known[-1]["values"]) if known else None

    def _key(self, what: Mapping[str, Any], *, of_engine: bool, of_machine: bool) -> str:
        depends = ({"engine": engine(self.modules)} if of_engine else {}) | (
            {"machine": machine()} if of_machine else {}
        )
        return json.dumps({**what, **depends}, sort_keys=True)

    def _stored(self) -> list[Cell]:
        if not self.path.is_file():
            return []
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]


def engine(modules: Sequence[str] = ("",)) -> str:
    """A digest of the code of some of the package's modules; "" is the package itself."""
    package = ROOT / "autoprompt"
    found = [path for name in modules for path in (package / name, package / f"{name}.py") if path.exists()]
    files = sorted(file for path in found for file in ([path] if path.is_file() else path.rglob("*.py")))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def machine() -> str:
    """Processor, cores and torch."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, torch {torch.__version__}"


@functools.cache
def gflops() -> float:
    """Speed of a thread's fp32 matrix multiplication: machines of one name differ."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    a = torch.ones(1024, 1024)
    took = seconds(lambda: a @ a, 20)
    torch.set_num_threads(threads)
    return 2 * 1024**3 / took / 1e9


def described() -> str:
    """The machine and its speed."""
    return f"{machine()}, {gflops():.0f} GFLOP/s a core"


def seconds(work: Callable[[], Any], repeats: int = 1) -> float:
    """Median time of a piece of work."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def optimizer_steps(work: Callable[[], Any]) -> int:
    """How many optimiser steps a piece of work takes: a fine-tune ends when it has learnt its rows."""
    taken = 0

    def count(*_: Any) -> None:
        nonlocal taken
        taken += 1

    hook = register_optimizer_step_post_hook(count)
    try:
        work()
    finally:
        hook.remove()
    return taken


def outcomes(predicted: Sequence[Any], true: Sequence[Any]) -> str:
    """Which rows are right, as 0 and 1: what paired intervals need, in a cell."""
    return "".join(str(int(a == b)) for a, b in zip(predicted, true, strict=True))


def right(stored: str) -> list[int]:
    """The inverse of ``outcomes``."""
    return [int(c) for c in stored]


@dataclass(frozen=True)
class Interval:
    """A mean with 95 % of its bootstrap."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def interval(groups: Sequence[Sequence[float]], *, samples: int = 4000) -> Interval:
    """The mean of the groups' means; groups (tasks) are drawn again, and the values (rows) within each."""
    generator = np.random.default_rng(0)
    arrays = [np.asarray(group, dtype=float) for group in groups]
    # Each group's resampled means once: a drawn group takes one of its own at random.
    means = np.stack(
        [array[generator.integers(0, len(array), (samples, len(array)))].mean(1) for array in arrays], axis=1
    )
    drawn = generator.integers(0, len(arrays), means.shape)
    rows = generator.permuted(np.tile(np.arange(samples)[:, None], (1, len(arrays))), axis=0)
    resampled = means[rows, drawn].mean(1)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Interval(float(np.mean([array.mean() for array in arrays])), float(low), float(high))


def correlation(values: Sequence[float], wanted: Sequence[float]) -> tuple[float, float, float]:
    """Spearman's rank correlation with 95 % of a bootstrap over the pairs."""
    a, b = np.asarray(values), np.asarray(wanted)
    generator = np.random.default_rng(0)
    drawn = [generator.integers(0, len(a), len(a)) for _ in range(1000)]
    resampled = [spearmanr(a[rows], b[rows]).statistic for rows in drawn if len(set(b[rows])) > 1]
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    return float(spearmanr(a, b).statistic), float(low), float(high)


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A Markdown table."""
    print("| " + " | ".join(head) + " |")
    print("| --- " * len(head) + "|")
    for row in rows:
        print("| " + " | ".join(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row) + " |")
    print(flush=True)


def finish(result: Mapping[str, Any]) -> None:
    """The last line."""
    print(json.dumps(result))
