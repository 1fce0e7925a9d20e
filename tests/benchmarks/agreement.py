"""How well a candidate's scores rank it: by validation loss, by agreement with the others, by the estimate of a search.

    make bench NAME=agreement DATA=FOLDER            36 random draws a task: 10 to 20 minutes each; goes on task by task
    make bench NAME=agreement QUICK=1                film reviews and tickets, embedded, seed 5: some 15 minutes

The draws of a task are those of ``--strategy random``, each fine-tuned once and scored on the validation rows and all
test rows. Half of the test rows plays the rows without labels, whose labels are not looked at, the other half the test;
all figures are means over 40 such halves and, for fewer candidates, draws of them. *rho* is Spearman's rank correlation
with test accuracy, *pick* the test accuracy of the candidate that comes first. *gold* is accuracy on 128 of the rows
without labels, with their labels. *error* is the mean probability left to wrong labels on the validation rows.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from bench import SCRATCH, Options, options, table
from numpy.typing import NDArray
from scipy.stats import spearmanr
from tasks import MODEL, Task, evaluating, few_shot

from autoprompt.optimizer.panel import Panel
from autoprompt.registry import STRATEGIES
from autoprompt.run import DataOptions, ModelOptions
from autoprompt.run.inputs import prepare

DRAWS, SPLITS, GOLD, QUICK_SEED = 36, 40, 128, 5
CANDIDATES, ROWS = (8, 16, 36), (32, 128, 200)
RULES = ("validation loss", "validation error", "agreement", "estimate", "gold")

Floats = NDArray[np.float64]


def drawn(task: Task, place: Path) -> None:
    """Fine-tune the draws, and store log-probabilities and right answers of validation and test rows."""
    data = DataOptions(unlabeled_rows=0, test_rows=500)
    space = prepare(task.source, data, ModelOptions(MODEL), (), None, None, task.seed).space
    corpus = replace(task.load(500), unlabeled=())
    with evaluating(corpus, task.seed) as evaluator:
        strategy = STRATEGIES["random"](space, evaluator, random.Random(task.seed))  # noqa: S311
        chosen = [space.manual_tuned]
        while len(chosen) <= DRAWS:
            chosen += [p.candidate for p in strategy.ask() if p.candidate not in chosen]
        fitted = [e for e in evaluator.fit(chosen[: DRAWS + 1]) if e.complete and not e.candidate.demos]
        tested = evaluator.test(fitted, corpus.test)
    whole = [(own, test) for own, test in zip(fitted, tested, strict=True) if test.complete]
    place.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        place,
        val=np.array([own.log_probs for own, _ in whole], dtype=np.float32),
        vgold=np.array(whole[0][0].gold),
        test=np.array([test.log_probs for _, test in whole], dtype=np.float32),
        tgold=np.array([corpus.labels.index(row.label) for row in corpus.test]),
    )


def scores(
    validation: Floats, gold: NDArray[Any], unlabelled: Floats, hidden: NDArray[Any]
) -> tuple[dict[str, Floats], float]:
    """What each rule says of the candidates, the higher the better, and the weight of the rows without labels."""
    right = np.exp(validation[:, np.arange(len(gold)), gold])
    both = np.concatenate([np.exp(validation), np.exp(unlabelled)], axis=1)
    panel = Panel(tuple(map(str, range(len(both)))), 1 - right, gold, both)
    agreed = (unlabelled.argmax(2) == panel.consensus[:, len(gold) :]).mean(1)
    weight = panel.weight(len(gold))
    votes = weight * panel.vote_errors.mean(1) if weight else 0.0
    return {
        "validation loss": np.log(right).mean(1),
        "validation error": right.mean(1),
        "agreement": agreed,
        "estimate": -((1 - weight) * panel.labelled + votes),
        "gold": (unlabelled[:, -GOLD:].argmax(2) == hidden[-GOLD:]).mean(1),
    }, weight


def measured(place: Path, candidates: int, rows: int) -> dict[str, tuple[float, float]]:
    """Rule -> rank correlation and accuracy of the pick; "weight" -> that of the rows without labels, twice."""
    stored = np.load(place)
    validation, test = stored["val"].astype(float), stored["test"].astype(float)
    generator = np.random.default_rng(0)
    found: dict[str, list[tuple[float, float]]] = {rule: [] for rule in (*RULES, "weight", "mean, best")}
    for _ in range(SPLITS):
        order = generator.permutation(test.shape[1])
        chosen = generator.permutation(len(test))[:candidates]
        half = len(order) // 2
        played, kept = order[: min(rows, half)], order[half:]
        truth = (test[chosen][:, kept].argmax(2) == stored["tgold"][kept]).mean(1)
        said, weight = scores(validation[chosen], stored["vgold"], test[chosen][:, played], stored["tgold"][played])
        for rule, values in said.items():
            found[rule].append((float(spearmanr(values, truth)[0]), float(truth[values.argmax()])))
        found["weight"].append((weight, weight))
        found["mean, best"].append((float(truth.mean()), float(truth.max())))
    return {rule: (fmean(a for a, _ in pairs), fmean(b for _, b in pairs)) for rule, pairs in found.items()}


def tasks_of(given: Options) -> list[Task]:
    if given.quick:
        return [Task(f"{name}/seed-{QUICK_SEED}", name, QUICK_SEED) for name in ("rotten-tomatoes", "tickets")]
    return few_shot(given)


def lines(places: Sequence[Path]) -> list[list[str]]:
    """A line for each number of candidates and rows, means over the tasks; and one a task with all of both."""
    out = []
    sizes = [(place.stem, [place], CANDIDATES[-1], ROWS[-1]) for place in places]
    sizes += [("mean", list(places), count, rows) for count in CANDIDATES for rows in ROWS]
    for name, own, count, rows in sizes:
        each = [measured(place, count, rows) for place in own]
        mean = {rule: [fmean(values[rule][part] for values in each) for part in (0, 1)] for rule in each[0]}
        cells = [f"{mean[rule][0]:.2f}, {mean[rule][1]:.3f}" for rule in RULES]
        out.append([name, str(count), str(rows), *cells, f"{mean['weight'][0]:.2f}",
                    "{:.3f}, {:.3f}".format(*mean["mean, best"])])  # fmt: skip
    return out


def main() -> None:
    given = options(__doc__)
    places = []
    for task in tasks_of(given):
        place = SCRATCH / "agreement" / f"{task.name.replace('/', '-')}.npz"
        if given.fresh or not place.is_file():
            print("  drawing for", task.name, flush=True)
            drawn(task, place)
        places.append(place)
    header = ["task", "candidates", "rows", *(f"{rule}: rho, pick" for rule in RULES), "weight", "mean, best of all"]
    table(header, lines(places))


if __name__ == "__main__":
    main()
