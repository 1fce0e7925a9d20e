"""How well a candidate's scores rank it: by validation loss, by agreement with the others, by the estimate of a search.

    make bench NAME=agreement DATA=FOLDER            36 random draws a task: 10 to 30 minutes each; goes on task by task
    make bench NAME=agreement QUICK=1                film reviews and tickets, embedded, seed 5: some 15 minutes

Half of the test rows plays the rows without labels, whose labels are not looked at, the other half the test; all
figures are means over 40 such halves and, for fewer candidates, draws of them. *rho* is Spearman's rank correlation
with test accuracy, *pick* the test accuracy of the candidate that comes first. *error* is the mean probability left to
wrong labels on the validation rows, *sharpened* that of squared probabilities; *both folds* is that of both fine-tunes,
with training and validation rows in each other's place as well (one task a data set). With the labels of the rows
without labels, *gold* is accuracy on at most 128 of them, and *labelled* the error on them all and the validation
rows: what more validation rows would be worth.

The last tables are of scores before a fine-tune, on training and validation rows: *loss* and *error* of the label
scores, the same of *calibrated* ones (less each label's mean over the rows: batch calibration, Zhou et al. 2023), whose
loss is rung 0; and of the test accuracy of the pick by the estimate where so many draws are fine-tuned, chosen by rung
0 among four times as many, or as they come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
from bench import options, table
from draws import Stored, drawn, swapped, tasks_of
from numpy.typing import NDArray
from scipy.special import log_softmax
from scipy.stats import rankdata, spearmanr
from tasks import Task, first_of_each

from autoprompt.optimizer.panel import Panel

SPLITS, GOLD = 40, 128
CANDIDATES, ROWS = (8, 16, 36), (32, 64, 128)
RULES = (
    "validation loss", "validation error", "sharpened error", "accuracy", "both folds", "agreement", "estimate", "gold",
    "labelled",
)  # fmt: skip
BEFORE = ("loss", "error", "calibrated loss", "calibrated error")
SCREENED = (4, 9)
RESAMPLES = 2000

Floats = NDArray[np.float64]
Split = tuple[dict[str, Floats], Floats, float]
"""What each rule says of the candidates (the higher the better), their test accuracy, the weight of rows without
labels."""


def right(log_probs: Floats, gold: Floats) -> Floats:
    """The probability of the right label [candidates, rows]."""
    return np.exp(log_probs[:, np.arange(len(gold)), gold.astype(int)])


def splits(stored: Stored, other: Stored | None, candidates: int, rows: int) -> list[Split]:
    """One a half of the test rows."""
    validation, test = stored["val"].astype(float), stored["test"].astype(float)
    gold, hidden = stored["vgold"], stored["tgold"]
    generator = np.random.default_rng(0)
    found = []
    for _ in range(SPLITS):
        order = generator.permutation(test.shape[1])
        chosen = generator.permutation(len(test))[:candidates]
        half = len(order) // 2
        played, kept = order[: min(rows, half)], order[half:]
        own = right(validation[chosen], gold)
        both = np.concatenate([np.exp(validation[chosen]), np.exp(test[chosen][:, played])], axis=1)
        panel = Panel(tuple(map(str, chosen)), 1 - own, gold, both)
        answers = test[chosen].argmax(2)
        weight = panel.weight(len(gold))
        said = {
            "validation loss": np.log(own).mean(1),
            "validation error": own.mean(1),
            "sharpened error": right(log_softmax(2 * validation[chosen], 2), gold).mean(1),
            "accuracy": (validation[chosen].argmax(2) == gold).mean(1),
            "agreement": (answers[:, played] == panel.consensus[:, len(gold) :]).mean(1),
            "estimate": -((1 - weight) * panel.labelled + (weight * panel.vote_errors.mean(1) if weight else 0.0)),
            "gold": (answers[:, played[-GOLD:]] == hidden[played[-GOLD:]]).mean(1),
        }
        more = right(test[chosen][:, played], hidden[played])
        said["labelled"] = np.concatenate([own, more], axis=1).mean(1)
        if other is not None:
            second = right(other["val"].astype(float)[chosen], other["vgold"])
            said["both folds"] = (own.mean(1) + second.mean(1)) / 2
        found.append((said, (answers[:, kept] == hidden[kept]).mean(1), weight))
    return found


def summary(found: Sequence[Split], rule: str) -> tuple[float, float]:
    """Rank correlation and accuracy of the pick."""
    each = [(spearmanr(said[rule], truth)[0], truth[said[rule].argmax()]) for said, truth, _ in found]
    return fmean(float(rho) for rho, _ in each), fmean(float(accuracy) for _, accuracy in each)


def gain(found: Mapping[str, Sequence[Split]]) -> tuple[float, float, float]:
    """By how much the estimate's rank correlation is above the validation loss's, with 95 % of a bootstrap over the
    data sets, their samples' candidates and the halves of rows."""
    generator = np.random.default_rng(0)
    groups: dict[str, list[Sequence[Split]]] = {}
    for name, own in found.items():
        groups.setdefault(Task(name, "").group, []).append(own)

    def difference(split: Split, rows: NDArray[np.int64]) -> float:
        said, truth, _ = split
        wanted = rankdata(truth[rows])
        ours, theirs = (rankdata(said[rule][rows]) for rule in ("estimate", "validation loss"))
        return float(np.corrcoef(ours, wanted)[0, 1] - np.corrcoef(theirs, wanted)[0, 1])

    means = []
    for _ in range(RESAMPLES):
        values = []
        for place in generator.integers(0, len(groups), len(groups)):
            for own in list(groups.values())[place]:
                split = own[generator.integers(0, len(own))]
                values.append(difference(split, generator.integers(0, len(split[1]), len(split[1]))))
        means.append(fmean(values))
    low, high = np.nanquantile(means, [0.025, 0.975])
    whole = [fmean(difference(split, np.arange(len(split[1]))) for split in own) for own in found.values()]
    return fmean(whole), float(low), float(high)


def before(stored: Stored) -> dict[str, Floats]:
    """What scores say before a fine-tune, the lower the better."""
    scores, gold = stored["frozen"].astype(float), stored["fgold"]
    plain, calibrated = log_softmax(scores, 2), log_softmax(scores - scores.mean(1, keepdims=True), 2)
    return {
        "loss": -np.log(right(plain, gold)).mean(1),
        "error": 1 - right(plain, gold).mean(1),
        "calibrated loss": -np.log(right(calibrated, gold)).mean(1),
        "calibrated error": 1 - right(calibrated, gold).mean(1),
    }


def screened(stored: Stored, count: int) -> tuple[float, float]:
    """Test accuracy of the pick by the estimate: of ``count`` draws that rung 0 chose, and of as many as they come."""
    generator = np.random.default_rng(0)
    first = before(stored)["calibrated loss"]
    gold, truth = stored["vgold"], (stored["test"].argmax(2) == stored["tgold"]).mean(1)
    probabilities = np.concatenate([np.exp(stored["val"].astype(float)), stored["votes"]], axis=1)
    errors = 1 - right(stored["val"].astype(float), gold)

    def pick(chosen: NDArray[np.int64]) -> float:
        panel = Panel(tuple(map(str, chosen)), errors[chosen], gold, probabilities[chosen])
        weight = panel.weight(len(gold))
        estimate = (1 - weight) * panel.labelled + (weight * panel.vote_errors.mean(1) if weight else 0.0)
        return float(truth[chosen[estimate.argmin()]])

    picks = []
    for _ in range(SPLITS * 5):
        order = generator.permutation(len(truth))
        among = order[: 4 * count]
        picks.append((pick(among[np.argsort(first[among])][:count]), pick(order[:count])))
    return fmean(one for one, _ in picks), fmean(other for _, other in picks)


def main() -> None:
    given = options(__doc__)
    tasks = tasks_of(given)
    stored = {task.name: drawn(task, given) for task in tasks}
    others = {task.name: swapped(task, given) for task in first_of_each(tasks)}
    sizes = [(name, [name], CANDIDATES[-1], ROWS[-1]) for name in stored]
    sizes += [("mean", list(stored), count, rows) for count in CANDIDATES for rows in ROWS]
    lines, gains = [], {}
    for name, names, count, rows in sizes:
        found = {one: splits(stored[one], others.get(one), count, rows) for one in names}
        cells = []
        for rule in RULES:
            known = [summary(own, rule) for own in found.values() if rule in own[0][0]]
            cells.append(f"{fmean(a for a, _ in known):.2f}, {fmean(b for _, b in known):.3f}" if known else "")
        weight = fmean(weight for own in found.values() for *_, weight in own)
        truths = [truth for own in found.values() for _, truth, _ in own]
        lines.append([name, str(count), str(rows), *cells, f"{weight:.2f}",
                      f"{fmean(map(np.mean, truths)):.3f}, {fmean(map(np.max, truths)):.3f}"])  # fmt: skip
        if (count, rows) == (CANDIDATES[-1], ROWS[-1]):
            gains[name] = "{:+.2f} [{:+.2f}, {:+.2f}]".format(*gain(found))
    table(
        ["task", "candidates", "rows", *(f"{rule}: rho, pick" for rule in RULES), "weight", "mean, best of all"], lines
    )
    table(["task", "rho of the estimate - rho of the validation loss"], [list(pair) for pair in gains.items()])

    ranks = {name: _foretold(own) for name, own in stored.items()}
    ranks["mean"] = {rule: fmean(own[rule] for own in ranks.values()) for rule in BEFORE}
    table(["task", *BEFORE], [[name, *(f"{own[rule]:.2f}" for rule in BEFORE)] for name, own in ranks.items()])
    picks = {name: [screened(own, count) for count in SCREENED] for name, own in stored.items()}
    picks["mean"] = [tuple(map(fmean, zip(*own, strict=True))) for own in zip(*picks.values(), strict=True)]
    table(
        ["task", *(f"{count} fine-tunes: screened, as they come" for count in SCREENED)],
        [[name, *(f"{one:.3f}, {other:.3f}" for one, other in own)] for name, own in picks.items()],
    )


def _foretold(stored: Stored) -> dict[str, float]:
    """Rank correlations of the scores before a fine-tune with test accuracy after it."""
    truth = (stored["test"].argmax(2) == stored["tgold"]).mean(1)
    return {rule: float(spearmanr(-values, truth)[0]) for rule, values in before(stored).items()}


if __name__ == "__main__":
    main()
