"""What the end of a search can make of its candidates: the winner as it is, refitted, taught; ensembles.

    make bench NAME=end DATA=FOLDER            36 random draws a task; goes on task by task
    make bench NAME=end QUICK=1                film reviews and tickets, embedded, seed 5, 12 draws each

The draws of a task are those of ``--strategy random``, each fine-tuned once; the winner is the one with the lowest
estimated error. *refit* trains it again on training and validation rows, *taught* on up to 128 rows without labels as
well, with the answers of the best third. *N together* averages the test probabilities of the first N by the estimate.
Cells: accuracy on at most 400 test rows, seconds of the fine-tune in one of two workers, MB of its weights.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from bench import EVALUATIONS, Cells, Options, options, table
from tasks import MODEL, Task, evaluating, few_shot

from autoprompt.corpus import Corpus
from autoprompt.evaluator import Evaluation, Rung
from autoprompt.optimizer import judged, teach
from autoprompt.registry import STRATEGIES
from autoprompt.run import DataOptions, ModelOptions
from autoprompt.run.inputs import prepare

DRAWS, QUICK_DRAWS, QUICK_SEED = 36, 12, 5
TEST, UNLABELLED = 400, 128
TOGETHER = (3, 5, 10)
VERSIONS = ("manual", "manual, refit", "single", "refit", "taught")


def corpus_of(task: Task) -> Corpus:
    """With rows without labels; where the task has none, the rest of the test rows plays them."""
    corpus = task.load()
    half = min(TEST, len(corpus.test) // 2) if not corpus.unlabeled else TEST
    unlabelled = corpus.unlabeled or tuple(replace(row, label="") for row in corpus.test[half:])
    return replace(corpus, test=corpus.test[:half], unlabeled=unlabelled[:UNLABELLED])


def measured(task: Task, draws: int) -> dict[str, Any]:
    """Version -> accuracy, seconds and MB; number of candidates together -> accuracy."""
    corpus = corpus_of(task)
    space = prepare(task.source, DataOptions(), ModelOptions(MODEL), (), None, None, task.seed).space
    with evaluating(corpus, task.seed) as evaluator:
        strategy = STRATEGIES["random"](space, evaluator, random.Random(task.seed))  # noqa: S311
        chosen = [space.manual_tuned]
        while len(chosen) <= draws:
            chosen += [p.candidate for p in strategy.ask() if p.candidate not in chosen]
        fitted = [e for e in evaluator.fit(chosen[: draws + 1]) if e.complete]
        order = sorted(judged(fitted, fitted), key=lambda evaluation: evaluation.fitness)
        winner, manual = order[0], next(e for e in order if e.candidate == space.manual_tuned)
        wanted = [(winner.candidate, Rung.TAUGHT), (winner.candidate, Rung.REFITTED), (manual.candidate, Rung.REFITTED)]
        taught, refit, manual_refit = evaluator.retrain(wanted, teach(order))
        versions = dict(
            zip(VERSIONS, evaluator.with_weights([manual, manual_refit, winner, refit, taught]), strict=True)
        )
        tests = evaluator.test(list(versions.values()), corpus.test)
        together = evaluator.test(order[: max(TOGETHER)], corpus.test)
        found = {
            name: [test.accuracy, round(one.seconds, 1), round(Path(str(one.weights)).stat().st_size / 2**20, 2)]
            for (name, one), test in zip(versions.items(), tests, strict=True)
        }
    return {
        "versions": found,
        "together": {str(count): accuracy_of(together[:count]) for count in TOGETHER},
        "n": len(corpus.test),
        "unlabelled": len(corpus.unlabeled),
    }


def accuracy_of(tests: Sequence[Evaluation]) -> float:
    """Of the mean probabilities."""
    mean = np.mean([np.exp(one.log_probs) for one in tests], axis=0)
    return float((mean.argmax(axis=1) == np.asarray(tests[0].gold)).mean())


def tasks_of(given: Options) -> list[Task]:
    if given.quick:
        return [Task(f"{name}/seed-{QUICK_SEED}", name, QUICK_SEED) for name in ("rotten-tomatoes", "tickets")]
    return few_shot(given)


def main() -> None:
    given = options(__doc__)
    draws = QUICK_DRAWS if given.quick else DRAWS
    cells = Cells("end", given, EVALUATIONS)
    lines = []
    for task in tasks_of(given):
        found = cells.get({"task": task.name, "draws": draws}, lambda task=task: measured(task, draws))  # type: ignore[misc]
        shown = [f"{accuracy:.3f}, {seconds} s, {size} MB" for accuracy, seconds, size in found["versions"].values()]
        together = [f"{value:.3f}" for value in found["together"].values()]
        lines.append([task.name, str(found["n"]), str(found["unlabelled"]), *shown, *together])
    table(["task", "n", "unlabelled", *VERSIONS, *(f"{count} together" for count in TOGETHER)], lines)


if __name__ == "__main__":
    main()
