"""How well each cheap score foretells the loss after a short fine-tune, for the seconds that it costs.

    make bench NAME=proxies DATA=FOLDER            52 minutes for three tasks on two idle cores
    make bench NAME=proxies DATA=FOLDER QUICK=1    one task, 12 candidates: 3.9 minutes

Forty candidates a task (random draws of all genes) are scored in each way; what is to be foretold is the log-loss on
200 test rows after a fine-tune, with the default settings in the first table, with the candidates' own in the second.
Rank correlation (Spearman) with 95 % of a bootstrap over the candidates, and seconds of one worker for one candidate,
what is kept of the texts not counted.

    frozen loss      log-loss of the frozen label scores, validation rows
    calibrated loss  log-loss of the label scores less their means, training and validation rows: rung 0
    rung 1           validation loss after a fine-tune with the default settings, ended when the rows are learnt
    n steps          the same of at most so many steps
    half the rows    the same, of half of the validation rows
    swapped          rung 1 with training and validation rows in each other's place
    both folds       the mean of both ways: rung 2
    another seed     rung 1 with another initialisation and order of the rows
    both seeds       the mean of both seeds
    test, that seed  the test loss after that other fine-tune: about the most that a score could reach
    own settings     rung 1 with the candidate's own settings
    surrogate        what the search's regression expects of that, from rung 0, the settings, and the fine-tunes of the
                     other three quarters of the candidates
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from bench import SEARCHES, Cell, Cells, correlation, described, finish, options, table
from fine_tunes import scores, tuned
from scipy.stats import rankdata
from tasks import MODEL, Task, by_length, evaluating, few_shot, first_of_each

from autoprompt.candidate import Candidate, Settings
from autoprompt.errors import InputError
from autoprompt.evaluator import ModelCheck
from autoprompt.evaluator.worker import FROZEN, Worker, perform
from autoprompt.execution import default_workers
from autoprompt.models import CandidateFailedError
from autoprompt.optimizer.draws import random_candidate
from autoprompt.optimizer.space import flaw
from autoprompt.optimizer.surrogate import Known, predict_losses
from autoprompt.run import ModelOptions
from autoprompt.run.inputs import prepare

TEST_ROWS = 200
EPOCHS = (1, 2, 4)
"""Of the shortened fine-tunes; the default has at most 20 on 32 rows."""
ORDER = (
    "frozen loss", "calibrated loss", "steps", "rung 1", "half the rows", "swapped", "both folds", "another seed",
    "both seeds", "test, that seed", "surrogate", "own settings", "test", "own test",
)  # fmt: skip

Scores = dict[str, tuple[float, float]]
"""Score and seconds by name."""


@dataclass(frozen=True)
class Measure:
    """All scores of one candidate, with the seconds of each."""

    candidate: Candidate
    default: Settings
    test: tuple[Any, ...]

    def __call__(self, worker: Worker) -> Scores:
        """Nothing where the candidate cannot be scored."""
        try:
            worker.model.check(self.candidate)
            return self._frozen(worker) | self._fine_tuned(worker)
        except (CandidateFailedError, InputError):
            return {}

    def _frozen(self, worker: Worker) -> Scores:
        train, validation = worker.splits
        for rows in worker.splits:  # what is kept of the texts, once
            worker.model.prompt(replace(self.candidate, settings=FROZEN), rows)
        started = time.perf_counter()
        features = worker.features(self.candidate)
        passed = time.perf_counter() - started
        own = features.label_scores[len(train) :].log_softmax(-1)
        losses = worker.proxy(self.candidate).losses(features.hidden, features.label_scores)
        return {
            "frozen loss": (_loss(own, worker.gold(validation)), passed / 2),
            "calibrated loss": (float(losses.mean()), passed),
        }

    def _fine_tuned(self, worker: Worker) -> Scores:
        out: Scores = {}
        train, validation = worker.splits
        default, own = self.default, self.candidate.settings
        for epochs in (e for e in EPOCHS if e < default.epochs):
            settings = default.change(epochs=epochs)
            losses, _, took = self._tuned(worker, train, validation, settings)
            out[f"{settings.steps(len(train))} steps"] = (fmean(losses), took)
        losses, delta, took = self._tuned(worker, train, validation, default)
        out["rung 1"] = (fmean(losses), took)
        out["half the rows"] = (fmean(losses[::2]), took)
        swapped, _, more = self._tuned(worker, validation, train, default)
        out["swapped"] = (fmean(swapped), more)
        out["both folds"] = (fmean([*losses, *swapped]), took + more)
        out["test"] = (self._tested(worker, default, delta), 0.0)
        again, delta, more = self._tuned(worker, train, validation, default, seed=1)
        out["another seed"] = (fmean(again), more)
        out["both seeds"] = (fmean([*losses, *again]), took + more)
        started = time.perf_counter()
        tested = self._tested(worker, default, delta)
        out["test, that seed"] = (tested, more + time.perf_counter() - started)
        losses, delta, took = self._tuned(worker, train, validation, own)
        out["own settings"] = (fmean(losses), took)
        out["own test"] = (self._tested(worker, own, delta), 0.0)
        return out

    def _tested(self, worker: Worker, settings: Settings, delta: Any) -> float:
        candidate = replace(self.candidate, settings=settings)
        return _loss(scores(worker.model, candidate, delta, self.test), worker.gold(self.test))

    def _tuned(
        self, worker: Worker, train: Any, held_out: Any, settings: Settings, seed: int = 0
    ) -> tuple[list[float], Any, float]:
        started = time.perf_counter()
        candidate = replace(self.candidate, settings=settings)
        delta = tuned(worker.model, candidate, train, worker.labels, seed)
        found = scores(worker.model, candidate, delta, held_out)
        took = time.perf_counter() - started
        gold = torch.tensor(worker.gold(held_out))
        return (-found[torch.arange(len(gold)), gold]).tolist(), delta, took


def _loss(log_probs: torch.Tensor, gold: Sequence[int]) -> float:
    return float(torch.nn.functional.nll_loss(log_probs, torch.tensor(gold)))


def measured(task: Task, count: int) -> Cell:
    corpus = task.load(TEST_ROWS)
    with tempfile.TemporaryDirectory() as scratch:
        source, data = task.options(corpus, Path(scratch) / "data")
        space = prepare(source, data, ModelOptions(MODEL), (), None, None, task.seed).space
    with evaluating(corpus, task.seed) as evaluator:
        ready = ModelCheck(evaluator.executor, evaluator.costs).check(space.start)
        space = replace(space, vocabulary=ready.vocabulary, label_anywhere=ready.label_anywhere)
        words = evaluator.rank_words([space.start], 4)[0]
        rng = random.Random(0)  # noqa: S311
        drawn: dict[str, Candidate] = {}
        while len(drawn) < count:
            candidate = random_candidate(space, rng, words)
            if flaw(candidate, space) is None:
                drawn.setdefault(candidate.id, candidate)
        asked = [Measure(c, space.start.settings, corpus.test) for c in drawn.values()]
        done = [work.value for work in evaluator.executor.map(perform, asked)]
    found = {c: own for c, own in zip(drawn.values(), done, strict=True) if own}
    names = list(next(iter(found.values())))
    return {
        "candidates": [c.to_dict() for c in found],
        "values": {name: [own[name][0] for own in found.values()] for name in names},
        "seconds": {name: fmean(own[name][1] for own in found.values()) for name in names},
    }


def main() -> None:
    """Measure, print the tables, then one line of JSON."""
    given = options(__doc__)
    cells = Cells("proxies", given, SEARCHES)
    tasks = first_of_each(few_shot(given))
    tasks = by_length(tasks)[:1] if given.quick else tasks[:3]
    count = 12 if given.quick else 40
    found = {
        task.name: _with_surrogate(
            cells.get({"task": task.name, "candidates": count}, lambda t=task: measured(t, count))
        )
        for task in tasks
    }
    print(f"\n{described()}; {default_workers()} workers; {count} prompts a task, {TEST_ROWS} test rows\n")
    result = {
        target: ranks(found, target, left_out)
        for target, left_out in (("test", ("surrogate", "own settings", "own test")), ("own test", ("test",)))
    }
    finish(result)


def _with_surrogate(cell: Cell) -> Cell:
    """The cell with one more score: places within each quarter of the candidates, which is foretold from the others
    (the levels of four regressions do not compare). As it is where there are too few for the search's surrogate."""
    values = cell["values"]
    known = [
        Known(Candidate.from_dict(candidate), frozen, None)
        for candidate, frozen in zip(cell["candidates"], values["calibrated loss"], strict=True)
    ]
    expected = [0.0] * len(known)
    for quarter in range(4):
        new = range(quarter, len(known), 4)
        others = [(known[i], values["own settings"][i]) for i in range(len(known)) if i not in new]
        found = predict_losses(others, [known[i] for i in new])
        if found is None:
            return cell
        for place, rank in zip(new, rankdata(found), strict=True):
            expected[place] = float(rank)
    seconds = cell["seconds"] | {"surrogate": cell["seconds"]["calibrated loss"]}
    return cell | {"values": values | {"surrogate": expected}, "seconds": seconds}


def ranks(found: Mapping[str, Cell], target: str, left_out: Sequence[str]) -> dict[str, dict[str, float]]:
    """The table of one target."""
    print("with the default settings\n" if target == "test" else "with the candidates' own settings\n")
    names = _in_order(name for cell in found.values() for name in cell["values"])
    lines, result = [], {}
    for name in [name for name in names if name not in (*left_out, target)]:
        cells = {task: cell for task, cell in found.items() if name in cell["values"]}
        own = {task: correlation(c["values"][name], c["values"][target]) for task, c in cells.items()}
        shown = [f"{own[t][0]:.2f} [{own[t][1]:.2f}, {own[t][2]:.2f}]" if t in own else "" for t in found]
        mean = fmean(value for value, _, _ in own.values())
        took = fmean(cell["seconds"][name] for cell in cells.values())
        result[name] = {"rank_correlation": mean, "seconds": took}
        lines.append([name, *shown, f"{mean:.2f}", f"{took:.2f}", f"{mean / took:.2f}"])
    table(["score", *found, "mean", "seconds", "mean / second"], lines)
    return result


def _in_order(names: Iterable[str]) -> list[str]:
    """Each once, as listed above; numbers of steps, which differ by task, from few to many."""

    def place(name: str) -> tuple[int, int]:
        steps = int(name.split()[0]) if name.endswith(" steps") else 0
        return ORDER.index("steps" if steps else name), steps

    return sorted(set(names), key=place)


if __name__ == "__main__":
    main()
