"""Test accuracy at equal time on the same cores: the engine's strategies and what people would use instead.

    make bench NAME=search DATA=FOLDER            not quite four hours; goes on cell by cell
    make bench NAME=search DATA=FOLDER QUICK=1    one task, 90 seconds a run: 2.7 minutes

A cell is one run of 10 minutes on one few-shot task, test rows included, with all cores. Snapshots at 2 and 5 minutes:
what had the lowest validation loss among the fine-tunes done by then, tested afterwards. Hybrid and random run on all
tasks; genetic, gradient, the manual template with full tuning, and SetFit (PyPI, its own environment, with minilm-l6)
on one task a data set. SetFit sees the training rows (``setfit``), or those and the validation rows (``setfit, all
rows``), which the searches select by.

Differences are paired by task and test row, and averaged over the samples of one data set, which share their test rows;
intervals (95 %) draw data sets again, and rows within them. Of three data sets that tells little about a fourth. Cells
of several machines may stand in one table: each task's cells should come from one.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import boards
from bench import SEARCHES, Cell, Cells, Interval, described, finish, interval, options, outcomes, right, table
from peers import ask
from tasks import MODEL, Task, by_group, by_length, evaluating, few_shot, first_of_each

from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Corpus
from autoprompt.evaluator import Evaluation, Evaluator, Rung
from autoprompt.execution import default_workers
from autoprompt.models import locate_model
from autoprompt.optimizer.racing import best, finalists
from autoprompt.progress import Silent
from autoprompt.run import ModelOptions
from autoprompt.run.inputs import prepare

EVERYWHERE = ("hybrid", "random")


@dataclass
class Watch(Silent):
    """A view that keeps every short fine-tune with the second it was done."""

    started: float = field(default_factory=time.monotonic)
    seen: list[tuple[float, Evaluation]] = field(default_factory=list)

    def evaluated(self, evaluation: Evaluation | None, _evaluator: Evaluator) -> None:
        if evaluation is None or not evaluation.complete or evaluation.rung != Rung.TUNED:
            return
        if evaluation.candidate.settings.tuning != "none":
            self.seen.append((time.monotonic() - self.started, evaluation))

    def leader(self, second: float) -> Evaluation | None:
        """What would have been named best then."""
        done = finalists([e for at, e in self.seen if at <= second], 1)
        return best(done) if done else None


def searched(task: Task, corpus: Corpus, strategy: str, minutes: tuple[float, ...]) -> Cell:
    """One run; each row's outcome for the winner, ``manual_tuned``, and the snapshots."""
    watch = Watch()
    result, found = boards.searched(
        task,
        corpus,
        watch,
        ("best", "manual_tuned"),
        strategy=strategy,
        budget=60 * minutes[-1],
        started=watch.started,
    )
    leaders = {f"{m:g}": leader for m in minutes[:-1] if (leader := watch.leader(60 * m)) is not None}
    later = tested(corpus, [e.candidate for e in leaders.values()], task.seed)
    return {
        "right": {
            **{who: outcome for who, (outcome, _) in found.items()},
            **dict(zip((f"at {m}" for m in leaders), later, strict=True)),
        },
        "template": result["best"]["template"],
        "settings": result["best"]["settings"],
        "evaluations": result["evaluations"],
        "seconds": result["seconds"],
        "machine": described(),
    }


def tested(corpus: Corpus, candidates: Sequence[Candidate], seed: int) -> list[str]:
    """Each candidate trained on the training rows as a search trains it."""
    if not candidates:
        return []
    with evaluating(corpus, seed) as evaluator:
        trained = evaluator.fit(list(dict.fromkeys(candidates)))
        done = dict(zip(dict.fromkeys(candidates), evaluator.test(trained, corpus.test), strict=True))
    gold = [row.label for row in corpus.test]
    return [outcomes(done[c].predictions, gold) for c in candidates]


def manual_full(task: Task, corpus: Corpus) -> Cell:
    """The manual template, all weights tuned with that mode's defaults."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        source, data = task.options(corpus, Path(name))
        prepared = prepare(source, data, ModelOptions(MODEL, tuning="full"), (), None, None, task.seed)
    candidate = prepared.manual
    assert candidate.settings == Settings.default("full", len(corpus.train))
    (right,) = tested(corpus, [candidate], task.seed)
    return {"right": {"best": right}, "seconds": time.monotonic() - started, "machine": described()}


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
    right = outcomes(answer["predictions"], [row.label for row in corpus.test])
    return {"right": {"best": right}, "seconds": answer["seconds"], "machine": described()}


OTHERS: dict[str, Callable[[Task, Corpus], Cell]] = {
    "manual, full tuning": manual_full,
    "setfit": setfit,
    "setfit, all rows": partial(setfit, everything=True),
}
PEERS = ("genetic", "gradient", *OTHERS)

Found = dict[tuple[str, str], Cell]
"""By task and method."""


def measured(cells: Cells, tasks: Sequence[Task], minutes: tuple[float, ...], rows: int | None, quick: bool) -> Found:
    """Cells of another day's machine will do: these are hours of runs. A task's cells follow one another."""
    asked: list[tuple[Task, str]] = []
    for task in tasks:
        compared = task in first_of_each(tasks) and not quick
        asked += [(task, way) for way in (*EVERYWHERE, *(PEERS if compared else ()))]
    found: Found = {}
    for task, way in asked:
        corpus = task.load(rows)
        what = {"task": task.name, "rows": len(corpus.test), "way": way}
        if way in OTHERS:
            run, ours = partial(OTHERS[way], task, corpus), not way.startswith("setfit")
        else:
            run, ours = partial(searched, task, corpus, way, minutes), True
            what |= {"minutes": list(minutes)}
        found[task.name, way] = cells.get(what, run, of_engine=ours, of_machine=False)
    return found


def rows_right(cell: Cell, who: str = "best") -> list[int]:
    return right(cell["right"][who])


def difference(found: Found, one: tuple[str, str], other: tuple[str, str]) -> tuple[Interval, int] | None:
    """Of two (method, who), over the tasks that both have: their number stands beside. None where there are none: a
    snapshot may come before the first fine-tune's end."""
    values = {}
    for task, method in found:
        if method != one[0] or (task, other[0]) not in found:
            continue
        a, b = found[task, one[0]], found[task, other[0]]
        if one[1] in a["right"] and other[1] in b["right"]:
            values[task] = [x - y for x, y in zip(rows_right(a, one[1]), rows_right(b, other[1]), strict=True)]
    return (interval(by_group(values)), len(values)) if values else None


def _cost(cell: Cell) -> str:
    return f"{cell['seconds']:.0f}" + (f" ({cell['evaluations']})" if "evaluations" in cell else "")


def report(found: Found, minutes: tuple[float, ...]) -> dict[str, Any]:
    methods = list(dict.fromkeys(method for _, method in found))
    shown = ["manual_tuned", *methods]
    lines, costs = [], []
    for task in dict.fromkeys(task for task, _ in found):
        cells = {method: found[task, method] for method in methods if (task, method) in found}
        values: list[Any] = [statistics.fmean(rows_right(cells["hybrid"], "manual_tuned"))]
        values += [statistics.fmean(rows_right(cells[m])) if m in cells else "" for m in methods]
        lines.append([task, len(rows_right(cells["hybrid"])), *values])
        costs.append([task, *(_cost(cells[m]) if m in cells else "" for m in methods)])
    print(f"Test accuracy after {minutes[-1]:g} minutes\n")
    table(["task", "n", *shown], lines)
    print("Seconds, and fine-tunes of the search\n")
    table(["task", *methods], costs)
    result: dict[str, Any] = {}
    rows = []
    pairs = [(("hybrid", "best"), ("hybrid", "manual_tuned"))]
    pairs += [(("hybrid", "best"), (method, "best")) for method in methods if method != "hybrid"]
    pairs += [(("hybrid", "best"), ("hybrid", f"at {m:g}")) for m in minutes[:-1]]
    pairs += [(("hybrid", f"at {m:g}"), ("random", f"at {m:g}")) for m in minutes[:-1]]
    pairs += [(("random", "best"), ("random", "manual_tuned"))]
    for one, other in pairs:
        compared = difference(found, one, other)
        if compared is None:
            continue
        value, count = compared
        name = " - ".join(who[0] if who[1] == "best" else " ".join(who) for who in (one, other))
        rows.append([name, str(value), count])
        result[name] = [value.mean, value.low, value.high]
    table(["difference in accuracy", "mean [95 %]", "tasks"], rows)
    return result


def main() -> None:
    """Measure, print the tables, then one line of JSON."""
    given = options(__doc__)
    minutes: tuple[float, ...] = (1.0, 1.5) if given.quick else (2.0, 5.0, 10.0)
    tasks = few_shot(given)
    found = measured(
        Cells("search", given, SEARCHES),
        by_length(tasks)[:1] if given.quick else tasks,
        minutes,
        200 if given.quick else None,
        given.quick,
    )
    print("\n" + "; ".join(sorted({cell["machine"] for cell in found.values()})) + f"; {default_workers()} workers\n")
    finish(report(found, minutes))


if __name__ == "__main__":
    main()
