"""What each part of the search is worth: operators, the ladder, racing and the surrogate switched off in turn.

    make bench NAME=ablation DATA=FOLDER            about 100 minutes on two idle cores; goes on cell by cell
    make bench NAME=ablation DATA=FOLDER QUICK=1    about 6 minutes: one task, a few parts, 12 evaluations

A cell is one hybrid search of 40 fine-tunes on one task, two tasks and two seeds of the search. Test accuracy and test
log-loss of the winner, as differences to the whole search, paired by task, seed and test row; intervals (95 %) draw
tasks and seeds again, and rows within them. Two tasks and two seeds settle little: an interval that holds zero says
that the part's worth was not shown, not that it has none.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from functools import partial
from pathlib import Path
from statistics import fmean

from bench import Cell, Cells, finish, interval, machine, options, table
from tasks import Task, few_shot, first_of_each

from autoprompt.api import Silent
from autoprompt.corpus import Corpus
from autoprompt.run import ModelOptions, SearchOptions
from autoprompt.run import search as run_search
from autoprompt.search.operators import HYBRID

MODEL = "smollm2-135m"
TEST_ROWS = 400


def variants() -> dict[str, str]:
    """The [search] section of each."""
    names = [operator.name for operator in HYBRID]
    found = {"whole": ""}
    for name in names:
        found[f"no {name}"] = f"operators = {json.dumps([n for n in names if n != name])}"
    return found | {f"no {part}": f"{part} = false" for part in ("ladder", "racing", "surrogate")}


def searched(task: Task, corpus: Corpus, rules: str, seed: int, evaluations: int) -> Cell:
    """One search; its winner's loss and outcome on each test row."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "search.toml").write_text(f"[search]\n{rules}\n", encoding="utf-8")
        source, data = task.options(corpus, folder / "data")
        result = run_search(
            SearchOptions(
                corpus=source,
                data=data,
                model=ModelOptions(MODEL),
                max_evaluations=evaluations,
                seed=seed,
                config=folder / "search.toml",
                leaderboard=folder / "board.sqlite",
            ),
            Silent(),
        )
        with sqlite3.connect(folder / "board.sqlite") as connection:
            ((log_probs, predictions),) = connection.execute(
                "SELECT log_probs, predictions FROM examples JOIN evaluations ON number = evaluation "
                "WHERE split = 'test' AND entry = ?",
                (result["best"]["entry"],),
            ).fetchall()
    gold = [row.label for row in corpus.test]
    places = [corpus.labels.index(label) for label in gold]
    return {
        "right": "".join(str(int(p == g)) for p, g in zip(json.loads(predictions), gold, strict=True)),
        "losses": [round(-row[place], 4) for row, place in zip(json.loads(log_probs), places, strict=True)],
        "validation": result["best"]["validation"]["loss"],
        "seconds": result["seconds"],
        "template": result["best"]["template"],
    }


def main() -> None:
    """Measure, print the table, then one line of JSON."""
    given = options(__doc__)
    cells = Cells("ablation", given)
    tasks = first_of_each(few_shot(given))[: 1 if given.quick else 2]
    evaluations, seeds = (12, (0,)) if given.quick else (40, (0, 1))
    chosen = variants()
    if given.quick:
        chosen = {name: chosen[name] for name in ("whole", "no ladder", "no surrogate")}
    found: dict[str, list[Cell]] = {name: [] for name in chosen}
    for task in tasks:
        corpus = task.load(TEST_ROWS)
        for seed in seeds:
            for name, rules in chosen.items():
                what = {"task": task.name, "rows": len(corpus.test), "part": name, "seed": seed, "of": evaluations}
                run = partial(searched, task, corpus, rules, seed, evaluations)
                found[name].append(cells.get(what, run, of_machine=False))
    print(f"\n{machine()}; {len(tasks)} tasks, {len(seeds)} seeds, {evaluations} fine-tunes a search\n")
    lines, result = [], {}
    for name, own in found.items():
        pairs = list(zip(own, found["whole"], strict=True))
        accuracy = interval([[int(a) - int(b) for a, b in zip(o["right"], w["right"], strict=True)] for o, w in pairs])
        loss = interval([[a - b for a, b in zip(o["losses"], w["losses"], strict=True)] for o, w in pairs])
        mean = fmean(fmean(map(int, cell["right"])) for cell in own)
        took = fmean(cell["seconds"] for cell in own)
        lines.append([name, f"{mean:.3f}", str(accuracy), str(loss), f"{took:.0f}"])
        result[name] = {"accuracy": mean, "difference": [accuracy.mean, accuracy.low, accuracy.high]}
    table(["search", "test accuracy", "difference", "difference in loss", "seconds"], lines)
    finish(result)


if __name__ == "__main__":
    main()
