"""How much of a fine-tune's accuracy is its prompt's, and how much is the luck of its seed and its rows.

    make bench NAME=luck DATA=FOLDER     four prompts a task, 9 fine-tunes each: 10 minutes; goes on task by task
    make bench NAME=luck QUICK=1         film reviews and tickets, embedded, seed 5

The prompts are of the draws of *agreement*: the tuned manual one, the two with the lowest estimated error, and the one
in the middle. Each is fine-tuned again with ``SEEDS`` seeds, of which the first is that of the draws, on the training
rows, on the validation rows in their place, and on both, with at most twice as many optimiser steps. Cells:
mean test accuracy and its standard deviation over the seeds. *drawn* is the accuracy of the draw, by whose estimate
the prompt was chosen.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import numpy as np
from bench import SCRATCH, Options, options, table
from draws import corpus_of, drawn, tasks_of
from end import order_of
from tasks import Task, evaluating

from autoprompt.candidate import Candidate, derived_seed
from autoprompt.corpus import Example
from autoprompt.evaluator import Evaluation, Rung
from autoprompt.evaluator.refitting import limited
from autoprompt.evaluator.scoring import score_rows
from autoprompt.evaluator.worker import Worker, perform

SEEDS = 3
ROWS = ("training", "validation", "both")
PROMPTS = ("manual", "first", "second", "middle")


@dataclass(frozen=True)
class Again:
    """A fine-tune with another seed, and its accuracy on test rows."""

    candidate: Candidate
    rows: str
    number: int
    test: tuple[Example, ...]

    def __call__(self, worker: Worker) -> float | None:
        train, validation = worker.splits
        rows = {"training": train, "validation": validation}.get(self.rows, (*train, *validation))
        steps = self.candidate.settings.steps(len(train)) * (2 if self.rows == "both" else 1)
        names = ("fit", 0, 0) if self.number == 0 else ("luck", self.number)
        seed = derived_seed(worker.spec.seed, *names)
        settings = limited(self.candidate.settings, len(rows), steps)
        with worker.model.temporary_prefixes():
            prompted = worker.model.prompt(self.candidate, rows)
            delta = worker.model.tune(prompted, worker.gold(rows), settings, seed)
            return score_rows(Evaluation(self.candidate, Rung.TUNED), worker, self.test, delta, write=False).accuracy


def repeated(task: Task, given: Options) -> dict[str, Any]:
    """``drawn`` prompt -> accuracy in the draws; ``again`` prompt -> rows -> accuracies by seed."""
    place = SCRATCH / "luck" / f"{task.name.replace('/', '-')}.json"
    if given.fresh or not place.is_file():
        stored = drawn(task, given)
        print("  fine-tuning again for", task.name, flush=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        candidates = [Candidate.from_dict(json.loads(one)) for one in stored["candidates"]]
        accuracies = (stored["test"].argmax(2) == stored["tgold"]).mean(1)
        order = [int(number) for number in order_of(stored)]
        chosen = dict(zip(PROMPTS, [0, *[n for n in order if n][:2], order[len(order) // 2]], strict=True))
        corpus = corpus_of(task)
        jobs = [(name, rows, seed) for name in PROMPTS for rows in ROWS for seed in range(SEEDS)]
        with evaluating(corpus, task.seed) as evaluator:
            asked = [Again(candidates[chosen[name]], rows, seed, corpus.test) for name, rows, seed in jobs]
            done = [work.value for work in evaluator.executor.map(perform, asked)]
        again: dict[str, dict[str, list[float]]] = {name: {rows: [] for rows in ROWS} for name in PROMPTS}
        for (name, rows, _), accuracy in zip(jobs, done, strict=True):
            again[name][rows].append(accuracy)
        found = {"drawn": {name: float(accuracies[n]) for name, n in chosen.items()}, "again": again}
        place.write_text(json.dumps(found), encoding="utf-8")
    return dict(json.loads(place.read_text(encoding="utf-8")))


def main() -> None:
    given = options(__doc__)
    lines, spreads = [], []
    for task in tasks_of(given):
        found, stored = repeated(task, given), drawn(task, given)
        for name, of_rows in found["again"].items():
            cells = [f"{fmean(own):.3f} ± {stdev(own):.3f}" for own in of_rows.values()]
            lines.append([task.name, name, f"{found['drawn'][name]:.3f}", *cells])
        within = np.sqrt(fmean(float(np.var(own["training"], ddof=1)) for own in found["again"].values()))
        between = (stored["test"].argmax(2) == stored["tgold"]).mean(1).std(ddof=1)
        spreads.append([task.name, f"{within:.3f}", f"{between:.3f}"])
    table(["task", "prompt", "drawn", *ROWS], lines)
    table(["task", "deviation between seeds of a prompt", "between all draws"], spreads)


if __name__ == "__main__":
    main()
