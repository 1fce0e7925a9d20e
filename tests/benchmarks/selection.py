"""What validation loss says of the prompts that a search found: why one strategy's winner is better than another's.

    make bench NAME=selection DATA=FOLDER            46 minutes; goes on cell by cell
    make bench NAME=selection DATA=FOLDER QUICK=1    90 seconds a search, 100 test rows: 5.1 minutes

A cell is one search of 10 minutes on the task with the shortest texts, after which all that it fine-tuned is trained
again as the search trained it and tested on the first 200 test rows: once, so that a prompt's test accuracy is that of
one fine-tune. *Bred* prompts come from others of the same run, *drawn* ones from the library and at random. Each group
has the mean and the best test accuracy of its prompts, Spearman's rank correlation of validation loss with test loss
and with test accuracy (with 95 % of a bootstrap over the prompts), the mean validation and test loss of the five
prompts with the lowest validation loss, and the test accuracy of these and of the first of them. A second table has the
mean test accuracy, with its standard error, by what made a prompt.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import boards
from bench import SEARCHES, Cell, Cells, correlation, described, finish, options, table
from tasks import Task, by_length, evaluating, few_shot, first_of_each

from autoprompt.candidate import Candidate
from autoprompt.corpus import Corpus
from autoprompt.evaluator import Rung
from autoprompt.execution import default_workers
from autoprompt.leaderboard import Leaderboard, Origin

STRATEGIES = ("hybrid", "random")
TEST_ROWS = 200
TOP = 5


@dataclass(frozen=True)
class Prompt:
    """A fine-tuned prompt; ``operator``: what made it, "" for a baseline."""

    candidate: Candidate
    operator: str
    bred: bool
    validation: float


def searched(task: Task, corpus: Corpus, strategy: str, minutes: float) -> Cell:
    """One search, and the test of all that it fine-tuned."""
    with tempfile.TemporaryDirectory() as name:
        board = Path(name) / "board.sqlite"
        result = boards.searched_into(board, task, corpus, strategy=strategy, budget=60 * minutes)
        prompts = fine_tuned(board)
    with evaluating(corpus, task.seed) as evaluator:
        tested = evaluator.test(evaluator.fit([p.candidate for p in prompts]), corpus.test)
    return {
        "template": result["best"]["template"],
        "seconds": result["seconds"],
        "machine": described(),
        "prompts": [
            {
                "template": str(prompt.candidate.template),
                "operator": prompt.operator,
                "bred": prompt.bred,
                "validation": round(prompt.validation, 5),
                "loss": round(test.loss, 5),
                "accuracy": fmean(p == row.label for p, row in zip(test.predictions, corpus.test, strict=True)),
            }
            for prompt, test in zip(prompts, tested, strict=True)
        ],
    }


def fine_tuned(path: Path) -> list[Prompt]:
    """In the order of the run; those that halving stopped have no score and are left out."""
    with Leaderboard.open(path, read_only=True) as board:
        (run,) = board.runs()
        origins = {origin.entry: origin for origin in board.attached(Origin, run.id)}
        found = {}
        for record in board.evaluations(run.id):
            if (record.rung, record.split, record.fold, record.repeat) != (Rung.TUNED, "validation", 0, 0):
                continue
            if record.score is None or record.candidate.settings.tuning == "none":
                continue
            origin = origins.get(record.entry)
            operator, bred = (origin.operator, bool(origin.parents)) if origin else ("", False)
            found[record.entry] = Prompt(record.candidate, operator, bred, record.score.loss)
    return list(found.values())


def summary(prompts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a line of the table says."""
    losses = [p["validation"] for p in prompts]
    first = sorted(prompts, key=lambda p: p["validation"])[:TOP]
    return {
        "n": len(prompts),
        "mean": fmean(p["accuracy"] for p in prompts),
        "best": max(p["accuracy"] for p in prompts),
        "with loss": correlation(losses, [p["loss"] for p in prompts]),
        "with accuracy": correlation(losses, [-p["accuracy"] for p in prompts]),
        "validation loss": fmean(p["validation"] for p in first),
        "test loss": fmean(p["loss"] for p in first),
        "five": fmean(p["accuracy"] for p in first),
        "first": first[0]["accuracy"],
    }


def lines(cells: dict[str, Cell]) -> dict[str, dict[str, Any]]:
    """By strategy and group; groups too small to rank are left out."""
    out = {}
    for strategy, cell in cells.items():
        prompts = cell["prompts"]
        groups = {
            strategy: prompts,
            f"{strategy}, bred": [p for p in prompts if p["bred"]],
            f"{strategy}, drawn": [p for p in prompts if p["operator"] and not p["bred"]],
        }
        out |= {name: summary(own) for name, own in groups.items() if len(own) > TOP}
    return out


def by_operator(cells: dict[str, Cell]) -> list[list[str]]:
    """Mean test accuracy and its standard error by strategy and origin; those with one prompt are left out."""
    out = []
    for strategy, cell in cells.items():
        groups: dict[str, list[float]] = {}
        for prompt in cell["prompts"]:
            for name in (prompt["operator"] or "baseline", *(["all bred"] if prompt["bred"] else [])):
                groups.setdefault(name, []).append(prompt["accuracy"])
        for name, own in groups.items():
            if len(own) > 1:
                out.append([strategy, name, str(len(own)), f"{fmean(own):.3f}", f"{stdev(own) / len(own) ** 0.5:.3f}"])
    return out


def main() -> None:
    """Measure, print the table, then one line of JSON."""
    given = options(__doc__)
    cells = Cells("selection", given, SEARCHES)
    task = by_length(first_of_each(few_shot(given)))[0]
    minutes, corpus = (1.5, task.load(100)) if given.quick else (10.0, task.load(TEST_ROWS))
    found = {}
    for strategy in STRATEGIES:
        what = {"task": task.name, "rows": len(corpus.test), "strategy": strategy, "minutes": minutes}
        found[strategy] = cells.get(what, partial(searched, task, corpus, strategy, minutes), of_machine=False)
    machines = "; ".join(sorted({cell["machine"] for cell in found.values()}))
    print(f"\n{machines}; {default_workers()} workers; {task.name}, {len(corpus.test)} test rows\n")
    result = lines(found)
    table(
        ["prompts", *next(iter(result.values()))],
        [[name, *(_shown(value) for value in line.values())] for name, line in result.items()],
    )
    table(["search", "made by", "n", "mean accuracy", "standard error"], by_operator(found))
    finish(result)


def _shown(value: Any) -> str:
    if isinstance(value, int):
        return str(value)
    return f"{value:.3f}" if isinstance(value, float) else "{:.2f} [{:.2f}, {:.2f}]".format(*value)


if __name__ == "__main__":
    main()
