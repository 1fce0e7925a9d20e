"""Whether outputs on inputs without targets help to rank prompts that write texts (minimum Bayes risk).

    make bench NAME=texts DATA=FOLDER     16 prompts a task: the embedded headlines, and tasks of FOLDER with targets
    make bench NAME=texts QUICK=1         six prompts for headlines

The prompts are the tuned manual one and draws of ``--strategy random``, each fine-tuned once. Half of the test rows
plays the inputs without targets, the other half the test: means over 40 such halves and draws of candidates. *rho* is
Spearman's rank correlation with the metric on the test rows, *pick* the metric there of the candidate that comes first.
*likelihood*: mean log-probability of the validation targets' tokens; *metric*: its mean over the validation rows;
*consensus*: its mean over the other candidates' outputs, on inputs without targets (Kumar and Byrne 2004); *both*: the
sum of the last two, each standardised.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from statistics import fmean

import numpy as np
from bench import SCRATCH, Options, options, table
from numpy.typing import NDArray
from scipy.stats import spearmanr, zscore
from tasks import MODEL, Task, evaluating

from autoprompt import corpus as corpora
from autoprompt.evaluator import Rung
from autoprompt.metrics import example_values
from autoprompt.registry import STRATEGIES
from autoprompt.run import DataOptions, ModelOptions
from autoprompt.run.inputs import prepare

DRAWS, QUICK_DRAWS, SPLITS = 15, 5, 40
METRIC = "rougeL"
CANDIDATES = (4, 8, 16)
RULES = ("likelihood", "metric", "consensus", "both")

Floats = NDArray[np.float64]


def text_tasks(given: Options) -> list[Task]:
    """The embedded headlines, and folders with target texts."""
    tasks = [Task("headlines", "headlines")]
    if given.data is not None:
        root = given.data.resolve()
        folders = sorted({path.parent for path in root.rglob("train.*")})
        tasks += [
            Task(one.relative_to(root).as_posix(), str(one)) for one in folders if not corpora.load(str(one)).labels
        ]
    return tasks


def drawn(task: Task, given: Options) -> dict[str, Floats]:
    """The task's candidates, fine-tuned where they are not stored.

    ``likelihood``, ``metric`` [candidates]: on validation rows; ``test`` [candidates, rows]: the metric;
    ``pairs`` [candidates, candidates, rows]: the metric of one's output with another's as the reference.
    """
    count = QUICK_DRAWS if given.quick else DRAWS
    place = SCRATCH / "texts" / f"{task.name.replace('/', '-')}-{count}.json"
    if given.fresh or not place.is_file():
        print("  drawing for", task.name, flush=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(_measured(task, count)), encoding="utf-8")
    stored = json.loads(place.read_text(encoding="utf-8"))
    outputs, references = stored["outputs"], stored["references"]
    return {
        "likelihood": np.array(stored["likelihood"]),
        "metric": np.array(stored["metric"]),
        "test": np.array([example_values(METRIC, own, references) for own in outputs]),
        "pairs": np.array([[example_values(METRIC, own, other) for other in outputs] for own in outputs]),
    }


def _measured(task: Task, count: int) -> dict[str, list[object]]:
    corpus = corpora.load(task.source, seed=task.seed)
    space = prepare(task.source, DataOptions(), ModelOptions(MODEL), (), None, None, task.seed).space
    with evaluating(corpus, task.seed, metric=METRIC) as evaluator:
        strategy = STRATEGIES["random"](space, evaluator, random.Random(task.seed))  # noqa: S311
        chosen = [space.manual_tuned]
        while len(chosen) <= count:
            chosen += [p.candidate for p in strategy.ask() if p.candidate not in chosen and not p.candidate.demos]
        fitted = [e for e in evaluator.fit(chosen[: count + 1], rung=Rung.REPEATED) if e.complete]
        tested = evaluator.test(fitted, corpus.test)
    whole = [(own, test) for own, test in zip(fitted, tested, strict=True) if test.complete]
    return {
        "likelihood": [fmean(row[0] for row in own.log_probs) for own, _ in whole],
        "metric": [fmean(example_values(METRIC, own.outputs, own.references)) for own, _ in whole],
        "outputs": [list(test.outputs) for _, test in whole],
        "references": [row.label for row in corpus.test],
        "seconds": [own.seconds for own, _ in whole],
    }


def ranked(found: dict[str, Floats], candidates: int) -> dict[str, tuple[float, float]]:
    """Rank correlation and pick by rule, over ``SPLITS`` halves of the test rows and draws of candidates."""
    generator = np.random.default_rng(0)
    every: dict[str, list[tuple[float, float]]] = {rule: [] for rule in RULES}
    for _ in range(SPLITS):
        order = generator.permutation(found["test"].shape[1])
        chosen = generator.permutation(len(found["test"]))[:candidates]
        played, kept = order[: len(order) // 2], order[len(order) // 2 :]
        truth = found["test"][chosen][:, kept].mean(1)
        pairs = found["pairs"][np.ix_(chosen, chosen)][:, :, played].mean(2)
        others = (pairs.sum(1) - pairs.diagonal()) / (len(chosen) - 1)
        said = {"likelihood": found["likelihood"][chosen], "metric": found["metric"][chosen], "consensus": others}
        said["both"] = zscore(said["metric"]) + zscore(others)
        for rule, values in said.items():
            every[rule].append((float(spearmanr(values, truth)[0]), float(truth[values.argmax()])))
    return {rule: (float(np.nanmean([a for a, _ in own])), fmean(b for _, b in own)) for rule, own in every.items()}


def main() -> None:
    given = options(__doc__)
    found = {task.name: drawn(task, given) for task in text_tasks(given)}
    lines = []
    for name, own in found.items():
        counts: Sequence[int] = [count for count in CANDIDATES if count <= len(own["test"])]
        for count in counts:
            cells = [f"{rho:.2f}, {pick:.3f}" for rho, pick in ranked(own, count).values()]
            each = own["test"].mean(1)
            lines.append([name, str(count), *cells, f"{each.mean():.3f}, {each.max():.3f}"])
    table(["task", "candidates", *(f"{rule}: rho, pick" for rule in RULES), "mean, best of all"], lines)


if __name__ == "__main__":
    main()
