"""Training settings of the default mode: test accuracy and loss of the manual template over a grid.

    make bench NAME=settings DATA=FOLDER            about 50 minutes for six tasks on two idle cores
    make bench NAME=settings DATA=FOLDER QUICK=1    one task, a part of the grid (not timed yet)

Learning rate, batch size and passes over the training rows, each fine-tune with validation, then all of them on the
test rows. Differences to the defaults are paired by task and row; intervals (95 %) draw tasks again, and rows within
them. Defaults are chosen on the embedded corpora, never on data that results are reported on.
"""

from __future__ import annotations

import itertools
from statistics import fmean

from bench import EVALUATIONS, Cell, Cells, described, finish, interval, options, outcomes, right, table
from tasks import Task, evaluating, few_shot, words_of

from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Corpus
from autoprompt.template import LABEL, Template

RATES = (3e-4, 5e-4, 8e-4, 1.2e-3, 2e-3)
BATCHES = (4, 8, 16)
PASSES = (0.2, 0.4, 1.0)
"""Of the default's, at most: a fine-tune ends when it has learnt its rows."""


def grid(default: Settings, quick: bool) -> dict[str, Settings]:
    """By name; the default is among them."""
    rates, batches, passes = (RATES[1:4:2], BATCHES[:2], (1.0,)) if quick else (RATES, BATCHES, PASSES)
    return {
        f"{rate:g}, batch {batch}, passes x {factor:g}": default.change(
            learning_rate=rate, batch_size=batch, epochs=max(1, round(default.epochs * factor))
        )
        for rate, batch, factor in itertools.product(rates, batches, passes)
    }


def measured(task: Task, corpus: Corpus, quick: bool) -> Cell:
    """For each of the settings each test row's outcome, the mean losses, and the seconds of its fine-tune."""
    template = Template.parse(corpus.manual_template).bind(corpus.fields, LABEL)
    named = grid(Settings.default("tail", len(corpus.train)), quick)
    candidates = [Candidate(template, words_of(corpus), settings) for settings in named.values()]
    with evaluating(corpus, task.seed) as evaluator:
        trained = evaluator.fit(candidates)
        done = evaluator.test(trained, corpus.test)
    gold = [row.label for row in corpus.test]
    return {
        name: {
            "loss": tested.loss,
            "right": outcomes(tested.predictions, gold),
            "validation": fit.loss,
            "seconds": fit.seconds,
        }
        for name, fit, tested in zip(named, trained, done, strict=True)
    }


def main() -> None:
    """Measure, print the table, then one line of JSON."""
    given = options(__doc__)
    cells = Cells("settings", given, EVALUATIONS)
    tasks = few_shot(given)[: 1 if given.quick else None]
    found = {}
    for task in tasks:
        corpus = task.load(200 if given.quick else 400)
        what = {"task": task.name, "rows": len(corpus.test), "template": corpus.manual_template}
        found[task.name] = cells.get(what, lambda t=task, c=corpus: measured(t, c, given.quick))
    default = "0.0005, batch 8, passes x 1"
    lines = []
    for name in next(iter(found.values())):
        own = [(cell[name], cell[default]) for cell in found.values()]
        pairs = [(right(o["right"]), right(d["right"])) for o, d in own]
        accuracy = interval([[a - b for a, b in zip(*pair, strict=True)] for pair in pairs])
        mean = fmean(fmean(right(o["right"])) for o, _ in own)
        took = fmean(o["seconds"] for o, _ in own)
        loss = fmean(o["loss"] for o, _ in own)
        lines.append((mean, [name, f"{mean:.3f}", str(accuracy), f"{loss:.3f}", f"{took:.1f}"]))
    print(f"\n{described()}; {len(found)} tasks; differences to {default}\n")
    head = ["learning rate, batch size, passes", "accuracy", "difference", "loss", "seconds"]
    table(head, [line for _, line in sorted(lines, key=lambda line: -line[0])])
    finish({"best": max(lines)[1][0], "accuracy": max(lines)[0], "tasks": len(found)})


if __name__ == "__main__":
    main()
