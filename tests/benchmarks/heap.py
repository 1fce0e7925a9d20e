"""What it costs a worker to give freed memory back and to keep few kernels, and what that saves.

    make bench NAME=heap            22 minutes with one core busy
    make bench NAME=heap QUICK=1    the first three kinds of task, two of each (not timed)

Two workers with one thread each do the same tasks in turn, never both at once; which is first alternates. The one keeps
few kernels and gives back after every task, where workers do so after every sixteenth at most; the other keeps all that
it frees, and up to 1024 kernels. Seconds as the driver sees them, with what is done after a task. Medians, the pairs'
ratio with 95 % of its bootstrap, and MiB that each holds after the last. For Linux with glibc 2.33 or later.
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
from bench import EVALUATIONS, Cell, Cells, described, finish, options, table
from tasks import by_length, evaluating, few_shot, words_of

from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Corpus
from autoprompt.evaluator import Evaluator, WorkerSpec, start_worker
from autoprompt.execution import heap
from autoprompt.template import Literal, Slot, Template

KEEP_KERNELS = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1024", "LRU_CACHE_CAPACITY": "1024"}
WORDS = ("good", "bad", "sport", "world", "news", "tech", "money", "green", "house", "music", "water", "light")
TOKENS = 64
"""A text is cut to so many."""
COUNTS = {
    "frozen score, new closing words": 12,
    "fine-tune, new closing words": 10,
    "fine-tune, new opening": 4,
    "fine-tune of adapters in all layers": 3,
    "fine-tune of all weights": 3,
}


def start_giving(spec: WorkerSpec) -> None:
    """A worker that gives back all that is free after each task."""
    heap.EVERY, heap.SPARE = 1, 0
    start_worker(spec)


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
    if mode in ("full", "lora"):  # one pass says what it costs
        settings = settings.change(epochs=1)
    return Candidate(Template((*opening, Slot(text), Literal(tail), Slot("label"))), words_of(corpus), settings)


def measured(corpus: Corpus, kind: str, count: int) -> Cell:
    """Seconds of each pair, and MiB that each worker holds after the last."""
    rng = random.Random(0)  # noqa: S311
    with _sides(corpus) as sides:
        _paired(sides, drawn(corpus, kind, rng), turned=False)
        pairs = [_paired(sides, drawn(corpus, kind, rng), turned=bool(i % 2)) for i in range(count)]
        return {"seconds": pairs, "held": [_held(side) for side in sides]}


@contextmanager
def _sides(corpus: Corpus) -> Iterator[tuple[Evaluator, Evaluator]]:
    """The one that gives back, and the one that keeps all."""
    with (
        evaluating(corpus, max_length=TOKENS, workers=1, start=start_giving) as giving,
        evaluating(corpus, max_length=TOKENS, workers=1, start=start_keeping, variables=KEEP_KERNELS) as keeping,
    ):
        yield giving, keeping


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
    values = np.array([giving / keeping for giving, keeping in pairs])
    drawn_again = np.random.default_rng(0).choice(values, (4000, len(values)))
    low, high = np.quantile(np.median(drawn_again, axis=1), [0.025, 0.975])
    return float(np.median(values)), float(low), float(high)


def main() -> None:
    """Measure, print a table, then one line of JSON."""
    given = options(__doc__)
    torch.set_num_threads(1)
    cells = Cells("heap", given, EVALUATIONS)
    corpus = by_length(few_shot(given))[-1].load()
    rows, every = [], []
    kinds = dict.fromkeys(list(COUNTS)[:3], 2) if given.quick else COUNTS
    for kind, count in kinds.items():
        cell = cells.get({"task": kind, "n": count}, lambda k=kind, n=count: measured(corpus, k, n))
        pairs, (giving, keeping) = cell["seconds"], cell["held"]
        middle, low, high = ratio(pairs)
        seconds = [median(pair[side] for pair in pairs) for side in (0, 1)]
        rows.append([kind, count, *seconds, f"{middle:.3f} [{low:.3f}, {high:.3f}]", round(giving), round(keeping)])
        every += pairs
    print(f"\n{described()}\n")
    table(["task", "n", "giving back, s", "keeping all, s", "ratio", "giving back, MiB", "keeping all, MiB"], rows)
    finish({"ratio": ratio(every)[0], "n": len(every)})


if __name__ == "__main__":
    import heap  # under the name by which workers import it

    heap.main()
