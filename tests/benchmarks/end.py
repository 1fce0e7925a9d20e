"""What the end of a search can make of its candidates: the winner as it is, trained once more; ensembles.

    make bench NAME=end DATA=FOLDER            36 random draws a task, those of *agreement*; goes on task by task
    make bench NAME=end QUICK=1                film reviews and tickets, embedded, seed 5

The winner is the candidate with the lowest estimated error beside the manual prompt, *second* the next one. *refit*
trains a prompt again on training and validation rows, and on up to 128 rows without labels with the answers of the
best third. *teacher* averages the test probabilities of that third, *N together* those of the first N by the
estimate. Cells: accuracy on at most 256 test rows, seconds of the fine-tune in one of two workers, MB of its weights;
then differences, with 95 % of a bootstrap over data sets and rows.
"""

from __future__ import annotations

import json

import numpy as np
from bench import interval, options, table
from draws import VERSIONS, Stored, drawn, tasks_of
from numpy.typing import NDArray
from tasks import by_group

from autoprompt.candidate import Candidate
from autoprompt.optimizer.panel import MIN_TEACHERS, Panel

TOGETHER = (3, 5, 10)
MB = 2**20


def order_of(stored: Stored) -> NDArray[np.int64]:
    """Candidates by their estimated error, the lowest first."""
    validation, gold = np.exp(stored["val"].astype(float)), stored["vgold"]
    errors = 1 - validation[:, np.arange(len(gold)), gold]
    ids = tuple(Candidate.from_dict(json.loads(one)).id for one in stored["candidates"])
    panel = Panel(ids, errors, gold, np.concatenate([validation, stored["votes"]], axis=1))
    weight = panel.weight(len(gold))
    return np.asarray(((1 - weight) * panel.labelled + weight * panel.vote_errors.mean(1)).argsort(kind="stable"))


def outcomes(stored: Stored) -> dict[str, list[float]]:
    """Version -> whether each test row is right, as 1 and 0."""
    gold, order = stored["tgold"], order_of(stored)
    test = np.exp(stored["test"].astype(float))
    best = max(MIN_TEACHERS, -(-len(order) // 3))
    found = dict(zip(VERSIONS, stored["versions"], strict=True))
    found["teacher"] = test[order[:best]].mean(0)
    found |= {f"{count} together": test[order[:count]].mean(0) for count in TOGETHER}
    return {name: (values.argmax(1) == gold).astype(float).tolist() for name, values in found.items()}


def main() -> None:
    given = options(__doc__)
    lines, rows = [], {}
    for task in tasks_of(given):
        stored = drawn(task, given)
        rows[task.name] = own = outcomes(stored)
        cost = [
            f", {seconds:.0f} s, {size / MB:.1f} MB"
            for seconds, size in zip(stored["version_seconds"], stored["version_bytes"], strict=True)
        ]
        shown = [f"{np.mean(values):.3f}" for values in own.values()]
        lines.append(
            [task.name, str(len(stored["tgold"])), *(a + b for a, b in zip(shown, [*cost, *[""] * 9], strict=False))]
        )
    names = list(next(iter(rows.values())))
    means = [f"{np.mean([np.mean(own[name]) for own in rows.values()]):.3f}" for name in names]
    table(["task", "n", *names], [*lines, ["mean", "", *means]])

    def difference(one: str, other: str) -> str:
        apart = {task: (np.array(own[one]) - np.array(own[other])).tolist() for task, own in rows.items()}
        return str(interval(by_group(apart)))

    pairs = [(name, "single") for name in names if name != "single" and not name.startswith(("manual", "second"))]
    pairs += [("second, refit", "second")]
    pairs += [(name, "manual") for name in ("manual, refit", "single", "refit")] + [("refit", "manual, refit")]
    table(["difference", "mean [95 % interval]"], [[f"{a} - {b}", difference(a, b)] for a, b in pairs])


if __name__ == "__main__":
    main()
