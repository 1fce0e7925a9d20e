"""What it costs that a worker gives freed memory back and keeps few kernels, and what that saves.

    make bench NAME=heap            not timed whole
    make bench NAME=heap QUICK=1    not timed

Two workers with one thread each, as they are and such that keep all that they free and up to 1024 kernels, do the same
tasks in turn, never both at once; which is first alternates. Seconds as the driver sees them, with what is done after a
task. Medians and their ratio, 95 % of the bootstrap over the pairs. For Linux with glibc 2.33 or later.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

import numpy as np
import torch
from allocated import held, used_here
from bench import EVALUATIONS, Cell, Cells, Options, described, finish, options, table
from tasks import by_length, evaluating, few_shot, words_of

from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Corpus
from autoprompt.evaluator import Evaluator, WorkerSpec, start_worker
from autoprompt.execution import heap
from autoprompt.template import Literal, Slot, Template

KEEP_KERNELS = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1024", "LRU_CACHE_CAPACITY": "1024"}
WORDS = ("good", "bad", "sport", "world", "news", "tech", "money", "green", "house", "music", "water", "light")
COUNTS = {
    "frozen score, new closing words": 16,
    "fine-tune, new closing words": 16,
    "fine-tune, new opening": 8,
    "fine-tune of adapters in all layers": 4,
    "fine-tune of all weights": 2,
}


def start_keeping(spec: WorkerSpec) -> None:
    """A worker that gives nothing back."""
    heap.SPARE = 1 << 60
    start_worker(spec)


def drawn(corpus: Corpus, kind: str, rng: random.Random) -> Candidate:
    """Closing words of one to five tokens; a new opening only where it is asked for."""
    (text,) = corpus.fields
    opening = (Literal(" ".join(rng.sample(WORDS, 3)) + ": "),) if "opening" in kind else ()
    tail = " " + " ".join(rng.sample(WORDS, rng.randint(1, 5))) + " "
    tuning = {"frozen": "none", "all weights": "full", "all layers": "lora"}
    mode = next((own for name, own in tuning.items() if name in kind), "tail")
    settings = Settings("none") if mode == "none" else Settings.default(mode, len(corpus.train))
    return Candidate(Template((*opening, Slot(text), Literal(tail), Slot("label"))), words_of(corpus), settings)


def measured(corpus: Corpus, counts: dict[str, int]) -> Cell:
    """Seconds of each pair by kind, and MiB that each worker holds after the last task of a kind."""
    rng = random.Random(0)  # noqa: S311
    found: Cell = {}
    with _sides(corpus) as sides:
        for _ in range(2):
            _paired(sides, drawn(corpus, "fine-tune", rng), turned=False)
        for kind, count in counts.items():
            pairs = [_paired(sides, drawn(corpus, kind, rng), turned=bool(i % 2)) for i in range(count)]
            found[kind] = {"seconds": pairs, "held": [_held(side) for side in sides]}
    return found


@contextmanager
def _sides(corpus: Corpus) -> Iterator[tuple[Evaluator, Evaluator]]:
    """As workers are, and keeping all."""
    with (
        evaluating(corpus, workers=1) as own,
        evaluating(corpus, workers=1, start=start_keeping, variables=KEEP_KERNELS) as keeping,
    ):
        yield own, keeping


def _paired(sides: tuple[Evaluator, Evaluator], candidate: Candidate, *, turned: bool) -> list[float]:
    took = [0.0, 0.0]
    for side in (1, 0) if turned else (0, 1):
        own = sides[side]
        work: Callable[..., object] = own.frozen if candidate.settings.tuning == "none" else own.fit
        started = time.perf_counter()
        work([candidate])
        took[side] = time.perf_counter() - started
    return took


def _held(evaluator: Evaluator) -> float:
    ((pid, _),) = evaluator.executor.map(used_here, [0.0])
    return held(pid)


def ratio(pairs: list[list[float]]) -> tuple[float, float, float]:
    """Median of the pairs' ratios with 95 % of its bootstrap."""
    values = np.array([own / keeping for own, keeping in pairs])
    drawn_again = np.random.default_rng(0).choice(values, (4000, len(values)))
    low, high = np.quantile(np.median(drawn_again, axis=1), [0.025, 0.975])
    return float(np.median(values)), float(low), float(high)


def _counts(given: Options) -> dict[str, int]:
    return {kind: 2 if given.quick else count for kind, count in COUNTS.items()}


def main() -> None:
    """Measure, print a table, then one line of JSON."""
    given = options(__doc__)
    torch.set_num_threads(1)
    cells = Cells("heap", given, EVALUATIONS)
    corpus = by_length(few_shot(given))[-1].load()
    cell = cells.get({"tasks": _counts(given)}, lambda: measured(corpus, _counts(given)))
    print(f"\n{described()}\n")
    rows = []
    for kind, values in cell.items():
        pairs, (own, keeping) = values["seconds"], values["held"]
        middle, low, high = ratio(pairs)
        seconds = [median(pair[side] for pair in pairs) for side in (0, 1)]
        rows.append([kind, len(pairs), *seconds, f"{middle:.3f} [{low:.3f}, {high:.3f}]", round(own), round(keeping)])
    table(
        ["task", "n", "seconds", "keeping all", "ratio", "holds after, MiB", "keeping all"],
        rows,
    )
    every = [pair for values in cell.values() for pair in values["seconds"]]
    finish({"ratio": ratio(every)[0], "held": [values["held"] for values in cell.values()][-1], "n": len(every)})


if __name__ == "__main__":
    main()
