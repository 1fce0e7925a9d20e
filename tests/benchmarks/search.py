"""Test accuracy at equal time on the same cores: the engine's strategies and what people would use instead.

    make bench NAME=search DATA=FOLDER            some seven hours; goes on cell by cell, the most telling first
    make bench NAME=search DATA=FOLDER STORED=1   the tables of what was measured so far
    make bench NAME=search DATA=FOLDER QUICK=1    one task, 90 seconds a run: five minutes

A cell is one run of 2, 5 or 10 minutes on one few-shot task, test rows included, with all cores. *before* is the
default strategy of another checkout of this project, whose folder stands in BEFORE; without that it is left out.
Hybrid, before and random run on all tasks; genetic, gradient, the manual template with full tuning, and SetFit (PyPI,
its own environment, with minilm-l6) on one task a data set. SetFit sees the training rows (``setfit``), or those and
the validation rows (``setfit, all rows``), which the searches select by.

Differences are paired by task and test row, and averaged over the samples of one data set, which share their test rows;
intervals (95 %) draw data sets again, and rows within them. Of three data sets that tells little about a fourth. Cells
of several machines may stand in one table: each task's cells should come from one.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import boards
from bench import SCRATCH, SEARCHES, Cell, Cells, Interval, described, finish, interval, options, outcomes, right, table
from peers import ask, ask_checkout
from tasks import MODEL, Task, by_group, by_length, evaluating, few_shot, first_of_each

from autoprompt.candidate import Settings
from autoprompt.corpus import Corpus
from autoprompt.errors import UsageError
from autoprompt.execution import default_workers
from autoprompt.models import locate_model
from autoprompt.progress import Silent
from autoprompt.run import ModelOptions
from autoprompt.run.inputs import prepare

Way = tuple[str, float]
"""A method, and its minutes; 0 where it takes as long as it takes."""
BEFORE = "before"
EVERYWHERE: tuple[tuple[Way, ...], ...] = (
    (("hybrid", 5), (BEFORE, 5)),
    (("hybrid", 2),),
    (("random", 5),),
    ((BEFORE, 2), ("random", 2)),
    (("hybrid", 10), (BEFORE, 10), ("random", 10)),
)
"""In turn on all tasks."""
ON_ONE: tuple[Way, ...] = (
    ("genetic", 10), ("gradient", 10), ("manual, full tuning", 0), ("setfit", 0), ("setfit, all rows", 0),
)  # fmt: skip
QUICK: tuple[tuple[Way, ...], ...] = ((("hybrid", 1.5), ("random", 1.5)),)


def searched(task: Task, corpus: Corpus, strategy: str, minutes: float) -> Cell:
    """One run; each row's outcome for the winner, the winner as it was before it was trained once more (``single``),
    and ``manual_tuned``. The leaderboard is kept among what need not be kept. A short budget may be ``refused``."""
    board = _board(task, strategy, minutes)
    try:
        result = boards.searched_into(
            board, task, corpus, Silent(), strategy=strategy, budget=60 * minutes, started=time.monotonic()
        )
    except UsageError as error:
        print(f"  refused: {error}", flush=True)
        return {"refused": str(error), "machine": described()}
    return _cell(board, corpus, result)


def before(task: Task, corpus: Corpus, minutes: float) -> Cell:
    """The same with the default strategy of the other checkout."""
    board = _board(task, BEFORE, minutes)
    with tempfile.TemporaryDirectory() as name:
        source, data = task.options(corpus, Path(name))
        question = {
            "corpus": source, "test_rows": data.test_rows if source == task.source else None, "model": MODEL,
            "seed": task.seed, "budget": 60 * minutes, "leaderboard": str(board),
        }  # fmt: skip
        return _cell(board, corpus, ask_checkout(Path(os.environ["BEFORE"]), question))


def _board(task: Task, name: str, minutes: float) -> Path:
    place = SCRATCH / "search" / f"{task.name.replace('/', '-')}-{name}-{minutes:g}.sqlite"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    return place


def _cell(board: Path, corpus: Corpus, result: Mapping[str, Any]) -> Cell:
    best, manual = (result["best"]["entry"], result["baselines"]["manual_tuned"]["entry"])
    return {
        "right": {
            "best": boards.tested(board, best, corpus, first=False)[0],
            "single": boards.tested(board, best, corpus, first=True)[0],
            "manual_tuned": boards.tested(board, manual, corpus, first=True)[0],
        },
        "template": result["best"]["template"],
        "settings": result["best"]["settings"],
        "evaluations": result["evaluations"],
        "left_out": result["left_out"],
        "seconds": result["seconds"],
        "machine": described(),
    }


def manual_full(task: Task, corpus: Corpus) -> Cell:
    """The manual template, all weights tuned with that mode's defaults."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        source, data = task.options(corpus, Path(name))
        prepared = prepare(source, data, ModelOptions(MODEL, tuning="full"), (), None, None, task.seed)
    candidate = prepared.manual
    assert candidate.settings == Settings.default("full", len(corpus.train))
    with evaluating(corpus, task.seed) as evaluator:
        (done,) = evaluator.test(evaluator.fit([candidate]), corpus.test)
    hits = outcomes(done.predictions, [row.label for row in corpus.test])
    return {"right": {"best": hits}, "seconds": time.monotonic() - started, "machine": described()}


def setfit(_: Task, corpus: Corpus, *, everything: bool = False) -> Cell:
    (text,) = corpus.fields
    rows = [*corpus.train, *(corpus.validation if everything else ())]
    answer = ask(
        "setfit",
        {
            "model": str(locate_model("minilm-l6").folder),
            "train": [[row.fields[text], row.label] for row in rows],
            "test": [row.fields[text] for row in corpus.test],
            "seed": 0,
        },
    )
    hits = outcomes(answer["predictions"], [row.label for row in corpus.test])
    return {"right": {"best": hits}, "seconds": answer["seconds"], "machine": described()}


OTHERS: dict[str, Callable[[Task, Corpus], Cell]] = {
    "manual, full tuning": manual_full,
    "setfit": setfit,
    "setfit, all rows": partial(setfit, everything=True),
}

Found = dict[Way, dict[str, Cell]]
"""Cells by way and task."""


def measured(cells: Cells, tasks: Sequence[Task], rows: int | None, *, quick: bool, stored: bool) -> Found:
    """Cells of another day's machine will do: these are hours of runs. ``stored``: those that are, and no others."""
    asked = [(task, way) for ways in (QUICK if quick else EVERYWHERE) for task in tasks for way in ways]
    asked += [] if quick else [(task, way) for task in first_of_each(tasks) for way in ON_ONE]
    found: Found = {}
    for task, (name, minutes) in asked:
        corpus = task.load(rows)
        what: dict[str, Any] = {"task": task.name, "rows": len(corpus.test), "way": name}
        what |= {"minutes": minutes} if minutes else {}
        run: Callable[[], Cell]
        if name in OTHERS:
            run, ours = partial(OTHERS[name], task, corpus), not name.startswith("setfit")
        elif name == BEFORE:
            run, ours = partial(before, task, corpus, minutes), False
        else:
            run, ours = partial(searched, task, corpus, name, minutes), True
        if stored or (name == BEFORE and BEFORE.upper() not in os.environ):
            cell = cells.known(what, of_engine=ours, of_machine=False)
        else:
            cell = cells.get(what, run, of_engine=ours, of_machine=False)
        if cell is not None and "refused" not in cell:
            found.setdefault((name, minutes), {})[task.name] = cell
    return found


def difference(found: Found, one: tuple[Way, str], other: tuple[Way, str]) -> tuple[Interval, int] | None:
    """Of two (way, who), over the tasks that both have: their number stands beside."""
    ours, theirs = found.get(one[0], {}), found.get(other[0], {})
    values = {
        task: [a - b for a, b in zip(_right(ours[task], one[1]), _right(theirs[task], other[1]), strict=True)]
        for task in ours
        if task in theirs
    }
    return (interval(by_group(values)), len(values)) if values else None


def _right(cell: Cell, who: str) -> list[int]:
    return right(cell["right"][who])


def _named(way: Way) -> str:
    return f"{way[0]}, {way[1]:g} min" if way[1] else way[0]


def _accuracy(cell: Cell, who: str) -> str:
    return f"{statistics.fmean(_right(cell, who)):.3f}"


def _cost(cell: Cell) -> str:
    return f"{cell['seconds']:.0f}" + (f" ({cell['evaluations']})" if "evaluations" in cell else "")


def report(found: Found) -> dict[str, Any]:
    ways = sorted(found, key=lambda way: (-way[1], way[0]))
    names = list(dict.fromkeys(task for cells in found.values() for task in cells))
    manual = {task: _accuracy(c, "manual_tuned") for w in ways if w[0] == "hybrid" for task, c in found[w].items()}
    shown = [[t, manual.get(t, ""), *(_accuracy(found[w][t], "best") if t in found[w] else "" for w in ways)]
             for t in names]  # fmt: skip
    rows = {len(next(iter(cell["right"].values()))) for cells in found.values() for cell in cells.values()}
    print(f"Test accuracy, n = {', '.join(map(str, sorted(rows)))}\n")
    table(["task", "manual_tuned", *map(_named, ways)], shown)
    print("Seconds, and fine-tunes of the search\n")
    table(["task", *map(_named, ways)], [[t, *(_cost(found[w][t]) if t in found[w] else "" for w in ways)]
                                         for t in names])  # fmt: skip
    result: dict[str, Any] = {}
    lines = []
    for one, other in _pairs(ways):
        compared = difference(found, one, other)
        if compared is None:
            continue
        value, count = compared
        name = " - ".join(_named(way) if who == "best" else f"{_named(way)}: {who}" for way, who in (one, other))
        lines.append([name, str(value), count])
        result[name] = [value.mean, value.low, value.high]
    table(["difference in accuracy", "mean [95 %]", "tasks"], lines)
    return result


def _pairs(ways: Sequence[Way]) -> list[tuple[tuple[Way, str], tuple[Way, str]]]:
    """What is compared: each length of hybrid with all others of that length, with its parts, and with its lengths."""
    hybrid = [way for way in ways if way[0] == "hybrid"]
    out: list[tuple[tuple[Way, str], tuple[Way, str]]] = []
    for way in hybrid:
        out += [((way, "best"), (way, who)) for who in ("manual_tuned", "single")]
        out += [((way, "best"), (other, "best")) for other in ways if other[1] in {way[1], 0} and other != way]
        out += [((way, "best"), (shorter, "best")) for shorter in hybrid if shorter[1] < way[1]]
    others = [way for way in ways if way[0] in {BEFORE, "random"}]
    return out + [((way, "best"), (way, "manual_tuned")) for way in others]


def main() -> None:
    """Measure, print the tables, then one line of JSON."""
    given = options(__doc__)
    tasks = few_shot(given)
    found = measured(
        Cells("search", given, SEARCHES),
        by_length(tasks)[:1] if given.quick else tasks,
        200 if given.quick else None,
        quick=given.quick,
        stored=given.stored,
    )
    machines = sorted({cell["machine"] for cells in found.values() for cell in cells.values()})
    print("\n" + "; ".join(machines) + f"; {default_workers()} workers\n")
    finish(report(found))


if __name__ == "__main__":
    main()
