"""What each part of the search is worth: operators, the ladder, racing and the surrogate switched off in turn.

    make bench NAME=ablation DATA=FOLDER            about an hour and a half; goes on cell by cell
    make bench NAME=ablation DATA=FOLDER QUICK=1    one task, a few parts, 12 evaluations (not timed yet)

A cell is one hybrid search of 40 fine-tunes; two tasks, those with the shortest texts. Test accuracy and test log-loss
of the winner, as differences to the whole search, paired by task and test row; intervals (95 %) draw tasks again, and
rows within them. Two tasks settle little: an interval that holds zero says that the part's worth was not shown, not
that it has none. What halving saves is time: stopped fine-tunes count among the 40, so that its worth shows in the
seconds alone. Operators of genes that a search leaves alone unless told otherwise (solved examples, trainable
vectors, the label's place) are left out.
"""

from __future__ import annotations

import json
from functools import partial
from statistics import fmean

import boards
from bench import SEARCHES, Cell, Cells, described, finish, interval, options, right, table
from tasks import Task, by_length, few_shot, first_of_each

from autoprompt.corpus import Corpus
from autoprompt.progress import Silent
from autoprompt.registry import OPERATORS

TEST_ROWS = 400


def variants() -> dict[str, str]:
    """The [search] section of each."""
    names = [name for name in OPERATORS if name not in ("demos", "soft", "label")]
    found = {"whole": ""}
    for name in names:
        found[f"no {name}"] = f"operators = {json.dumps([n for n in names if n != name])}"
    return found | {
        f"no {part}": f"{part} = false" for part in ("immigrants", "ladder", "halving", "racing", "surrogate")
    }


def searched(task: Task, corpus: Corpus, rules: str, evaluations: int) -> Cell:
    """One search; its winner's loss and outcome on each test row."""
    result, found = boards.searched(task, corpus, Silent(), ("best",), rules, max_evaluations=evaluations)
    outcome, losses = found["best"]
    return {
        "right": outcome,
        "losses": [round(loss, 4) for loss in losses],
        "validation": result["best"]["validation"]["loss"],
        "seconds": result["seconds"],
        "template": result["best"]["template"],
    }


def main() -> None:
    """Measure, print the table, then one line of JSON."""
    given = options(__doc__)
    cells = Cells("ablation", given, SEARCHES)
    tasks = by_length(first_of_each(few_shot(given)))[: 1 if given.quick else 2]
    evaluations = 12 if given.quick else 40
    chosen = variants()
    if given.quick:
        chosen = {name: chosen[name] for name in ("whole", "no ladder", "no surrogate")}
    found: dict[str, list[Cell]] = {name: [] for name in chosen}
    for task in tasks:
        corpus = task.load(TEST_ROWS)
        for name, rules in chosen.items():
            what = {"task": task.name, "rows": len(corpus.test), "part": name, "of": evaluations}
            found[name].append(cells.get(what, partial(searched, task, corpus, rules, evaluations), of_machine=False))
    print(f"\n{described()}; {len(tasks)} tasks, {evaluations} fine-tunes a search\n")
    lines, result = [], {}
    for name, own in found.items():
        pairs = list(zip(own, found["whole"], strict=True))
        accuracy = interval(
            [[a - b for a, b in zip(right(o["right"]), right(w["right"]), strict=True)] for o, w in pairs]
        )
        loss = interval([[a - b for a, b in zip(o["losses"], w["losses"], strict=True)] for o, w in pairs])
        mean = fmean(fmean(right(cell["right"])) for cell in own)
        took = fmean(cell["seconds"] for cell in own)
        lines.append([name, f"{mean:.3f}", str(accuracy), str(loss), f"{took:.0f}"])
        result[name] = {"accuracy": mean, "difference": [accuracy.mean, accuracy.low, accuracy.high]}
    table(["search", "test accuracy", "difference", "difference in loss", "seconds"], lines)
    finish(result)


if __name__ == "__main__":
    main()
