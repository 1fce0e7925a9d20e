"""Whether a bred prompt takes after its parents: searches whose candidates are all judged on further rows.

    make bench NAME=heredity DATA=FOLDER     searches of 64 fine-tunes, hybrid and random; goes on search by search
    make bench NAME=heredity QUICK=1         two samples of film reviews, embedded, 32 fine-tunes

The rows without labels of a search are rows whose labels are known here: each candidate's answers to them, which the
leaderboard holds, give its accuracy on rows that nothing was chosen by. *slope*: by how much a child's accuracy on one
half of these rows rises with its parents' on the other half (mean parent, least squares), so that luck on rows that
both share counts for nothing; over all children, with 95 % of a bootstrap over them. *children - parents*: their mean
difference, which regression to the mean makes negative where parents are chosen by noise. *drawn* are prompts that were
not bred: the library's, immigrants. Label words vary in these searches, which by default they do not.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from bench import SCRATCH, Options, interval, options, table
from draws import corpus_of
from numpy.typing import NDArray
from tasks import MODEL, Task, few_shot

import autoprompt
from autoprompt.corpus import UNLABELED, Corpus
from autoprompt.evaluator import Rung
from autoprompt.leaderboard import DataRow, Leaderboard, Origin

FINE_TUNES, QUICK_FINE_TUNES = 64, 32
STRATEGIES = ("hybrid", "random")
TEST_ROWS, SPLITS, RESAMPLES = 16, 40, 1000

Floats = NDArray[np.float64]
Pair = tuple[str, Floats, Floats]
"""An operator, whether its child is right on each row, and the same of the parents' mean."""


def searched(task: Task, given: Options, strategy: str) -> dict[str, Any]:
    """The task's search: ``right`` entry -> whether it is right on each row without a label, in fine-tuned order;
    ``origins`` entry -> its operator and parents; ``errors`` entry -> its estimated error."""
    limit = QUICK_FINE_TUNES if given.quick else FINE_TUNES
    place = SCRATCH / "heredity" / f"{task.name.replace('/', '-')}-{strategy}-{limit}.json"
    if given.fresh or not place.is_file():
        print("  searching", task.name, strategy, flush=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            found = _searched(task, limit, strategy, Path(folder) / "board.sqlite")
        place.write_text(json.dumps(found), encoding="utf-8")
    return dict(json.loads(place.read_text(encoding="utf-8")))


def _searched(task: Task, limit: int, strategy: str, board: Path) -> dict[str, Any]:
    corpus = corpus_of(task)
    # The test rows play the rows without labels, of which no gold label is in the corpus.
    known = {json.dumps(row.fields, sort_keys=True): row.label for row in corpus.test}
    shown = {
        "train": _rows(corpus, corpus.train),
        "validation": _rows(corpus, corpus.validation),
        "test": _rows(corpus, corpus.test[:TEST_ROWS]),
        "unlabeled": [dict(row.fields) for row in corpus.test[TEST_ROWS:]],
    }
    result = autoprompt.search(
        shown, label_column=corpus.label_column, text_column=",".join(corpus.fields), model=MODEL, leaderboard=board,
        strategy=strategy, max_evaluations=limit, config=_words_vary(board.parent), unlabeled_rows=len(known),
        seed=task.seed, progress=False,
    )  # fmt: skip
    with Leaderboard.open(board, read_only=True) as opened:
        origins = opened.attached(Origin, str(result.run))
        # As the search saw it: finalists have votes of further fine-tunes as well.
        voted = [e for e in opened.evaluations(result.run) if e.votes and (e.rung, e.fold) == (Rung.TUNED, 0)]
        labels = opened.run(str(result.run)).config.labels or []
        # In an order of the run's own, and each text once.
        bare = [row for row in opened.attached(DataRow, str(result.run)) if row.split == UNLABELED]
    gold = [known[json.dumps(row.fields, sort_keys=True)] for row in bare]
    return {
        "right": {
            e.entry: [float(labels[int(np.argmax(vote))] == label) for vote, label in zip(e.votes, gold, strict=True)]
            for e in voted
        },
        "roles": {e.entry: e.role for e in voted},
        "candidates": {e.entry: e.candidate.to_dict() for e in voted},
        "origins": {origin.entry: [origin.operator, list(origin.parents)] for origin in origins},
        "errors": {row.entry: row.estimate.error for row in (e.row for e in result.entries) if row.estimate},
    }


def _words_vary(folder: Path) -> Path:
    path = folder / "search.toml"
    path.write_text("[template]\nlabel_words = true\n", encoding="utf-8")
    return path


def _rows(corpus: Corpus, rows: Sequence[Any]) -> list[dict[str, Any]]:
    return [{**row.fields, corpus.label_column: row.label} for row in rows]


def pairs(found: dict[str, Any]) -> list[Pair]:
    """Bred candidates that were fine-tuned, with their parents."""
    right = {entry: np.array(rows) for entry, rows in found["right"].items()}
    made = []
    for entry, (operator, parents) in found["origins"].items():
        known = [right[parent] for parent in parents if parent in right]
        if entry in right and known:
            made.append((operator, right[entry], np.mean(known, axis=0)))
    return made


def slope(own: Sequence[Pair]) -> tuple[float, float, float]:
    """Least squares slope of children on parents, on separate halves of the rows, with 95 % of a bootstrap."""
    generator = np.random.default_rng(0)
    children, parents = np.array([one[1] for one in own]), np.array([one[2] for one in own])

    def fitted(chosen: NDArray[np.int64]) -> float:
        slopes = []
        for _ in range(SPLITS):
            order = generator.permutation(children.shape[1])
            one, other = order[: len(order) // 2], order[len(order) // 2 :]
            x, y = parents[chosen][:, one].mean(1), children[chosen][:, other].mean(1)
            # Parents' spread without its noise: the covariance of the two halves.
            spread = np.cov(x, parents[chosen][:, other].mean(1))[0, 1]
            slopes.append(np.cov(x, y)[0, 1] / spread)
        return float(np.median(slopes))

    resampled = [fitted(generator.integers(0, len(own), len(own))) for _ in range(RESAMPLES // 10)]
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    return fitted(np.arange(len(own))), float(low), float(high)


def chosen(found: dict[str, Any], accuracy: Mapping[str, float]) -> tuple[float, list[str]]:
    """Mean accuracy of the five with the lowest estimate, and who they are."""
    best = sorted(found["errors"], key=found["errors"].get)[:5]
    return fmean(accuracy[entry] for entry in best if entry in accuracy), best


def by_words(found: dict[str, Any], accuracy: Mapping[str, float]) -> list[object]:
    """Mean accuracy of the draws that have the manual label words, and of those that have others."""
    words = {entry: values["label_words"] for entry, values in found["candidates"].items()}
    manual = next(words[entry] for entry, role in found["roles"].items() if role == "manual_tuned")
    drawn = [entry for entry, role in found["roles"].items() if role == "search" and not _parents(found, entry)]
    groups = [[accuracy[e] for e in drawn if (words[e] == manual) == same] for same in (True, False)]
    return [f"{fmean(group):.3f} ({len(group)})" if group else "" for group in groups]


def _parents(found: dict[str, Any], entry: str) -> list[str]:
    return list(found["origins"].get(entry, ["", []])[1])


def main() -> None:
    given = options(__doc__)
    tasks = (
        [Task(f"rotten-tomatoes/seed-{n}", "rotten-tomatoes", n) for n in (5, 6)] if given.quick else few_shot(given)
    )
    bred_lines: list[list[object]] = []
    drawn_lines: list[list[object]] = []
    operators: dict[str, list[float]] = {}
    for task in tasks:
        for strategy in STRATEGIES:
            found = searched(task, given, strategy)
            accuracy = {entry: fmean(rows) for entry, rows in found["right"].items()}
            drawn = [a for e, a in accuracy.items() if not _parents(found, e) and found["roles"][e] == "search"]
            mean, best = chosen(found, accuracy)
            drawn_lines.append([task.name, strategy, len(drawn), f"{fmean(drawn):.3f}, {max(drawn):.3f}",
                                *by_words(found, accuracy), f"{mean:.3f}",
                                f"{sum(bool(_parents(found, e)) for e in best)} of {len(best)}"])  # fmt: skip
            own = pairs(found)
            if not own:
                continue
            children = [fmean(child) for _, child, _ in own]
            apart = interval([[float(child.mean() - parent.mean()) for _, child, parent in own]])
            bred_lines.append([task.name, len(own), f"{fmean(children):.3f}, {max(children):.3f}", str(apart),
                               "{:.2f} [{:.2f}, {:.2f}]".format(*slope(own))])  # fmt: skip
            for operator, child, parent in own:
                operators.setdefault(operator, []).append(float(child.mean() - parent.mean()))
    table(["task", "strategy", "drawn", "accuracy: mean, best", "with manual label words", "with others",
           "five with the lowest estimate", "of which bred"], drawn_lines)  # fmt: skip
    table(["task", "bred", "accuracy: mean, best", "children - parents", "slope"], bred_lines)
    table(["operator", "children", "child - parents"],
          [[name, len(values), str(interval([values]))] for name, values in sorted(operators.items())])  # fmt: skip


if __name__ == "__main__":
    main()
