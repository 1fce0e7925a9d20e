"""What a search that begins with another search's prompts saves: fine-tunes until it is as good as one from nothing.

    make bench NAME=warm_start DATA=FOLDER            twelve searches, some three minutes each on two cores
    make bench NAME=warm_start DATA=FOLDER QUICK=1    one pair and one control, 12 fine-tunes (not timed yet)

For each pair of corpora a search of 24 fine-tunes on the first; then on the second one from nothing (cold) and one
that begins with what the first found (warm), with the same seed. The target is the lowest validation loss of a short
fine-tune that the cold search came to; the figure is how many fine-tunes each took until it was there (one more than
it made, where it never was). Controls are pairs that have nothing to do with each other: there a warm start should
cost little. Test accuracy of both winners stands beside it, since a lower validation loss on few rows may be luck.
Intervals (95 %) draw pairs again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench import SEARCHES, Cell, Cells, described, finish, interval, options, table
from boards import searched_into
from tasks import Task, few_shot

from autoprompt.leaderboard import Leaderboard
from autoprompt.transfer import sources_of, write_bundle

MODULES = (*SEARCHES, "leaderboard", "transfer")
EVALUATIONS = 24
TEST_ROWS = 400


class Pair(NamedTuple):
    """Names of tasks; ``alike``: whether the first should help with the second."""

    source: str
    target: str
    alike: bool


WITH_DATA = (
    Pair("sst-2/seed-13", "cr/seed-21", True),
    Pair("agnews/seed-13", "cr/seed-21", False),
    Pair("cr/seed-13", "rotten-tomatoes", True),
    Pair("rotten-tomatoes", "sst-2/seed-21", True),
    Pair("cr/seed-21", "sst-2/seed-13", True),
    Pair("agnews/seed-13", "sst-2/seed-21", False),
)
EMBEDDED = (
    Pair("rotten-tomatoes/seed-13", "rotten-tomatoes/seed-21", True),
    Pair("bbc-news/seed-13", "rotten-tomatoes/seed-21", False),
    Pair("bbc-news/seed-13", "bbc-news/seed-21", True),
    Pair("tickets/seed-13", "tickets/seed-21", True),
    Pair("tickets/seed-13", "bbc-news/seed-21", False),
)
"""Other samples of the same data, as when new rows are labelled."""


def cold(task: Task, evaluations: int) -> Cell:
    """A search from nothing: its course, and what it can hand over."""
    with tempfile.TemporaryDirectory() as name:
        board = Path(name) / "board.sqlite"
        found = _course(task, board, evaluations)
        bundle = Path(name) / "bundle.json"
        with Leaderboard.open(board, read_only=True) as opened:
            write_bundle(sources_of(opened), bundle)
        return found | {"bundle": bundle.read_text(encoding="utf-8")}


def warm(task: Task, bundle: str, evaluations: int) -> Cell:
    """One that begins with another's bundle."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "bundle.json"
        path.write_text(bundle, encoding="utf-8")
        return _course(task, Path(name) / "board.sqlite", evaluations, path)


def _course(task: Task, board: Path, evaluations: int, *bundles: Path) -> Cell:
    """The validation loss of each short fine-tune in its turn, None for one that was stopped or failed; the winner."""
    corpus = task.load(TEST_ROWS)
    result = searched_into(board, task, corpus, max_evaluations=evaluations, warm_start=bundles)
    with Leaderboard.open(board, read_only=True) as opened:
        tuned = [e for e in opened.evaluations(result["run"]) if (e.rung, e.fold, e.repeat) == (1, 0, 0)]
    losses = [e.score.loss if e.score and e.status == "complete" else None for e in tuned if e.role != "manual"]
    return {
        "losses": losses,
        "accuracy": result["best"]["test"]["accuracy"],
        "similarity": [source["similarity"] for source in result["warm_start"]],
        "seconds": result["seconds"],
    }


def needed(losses: Sequence[float | None], target: float) -> int:
    """Fine-tunes until the target is reached; one more than were made, where it is not."""
    return next((n for n, loss in enumerate(losses, 1) if loss is not None and loss <= target), len(losses) + 1)


def main() -> None:
    """Measure, print the table, then one line of JSON."""
    given = options(__doc__)
    cells = Cells("warm_start", given, MODULES)
    pairs = WITH_DATA if given.data else EMBEDDED
    pairs = pairs[:2] if given.quick else pairs
    evaluations = 12 if given.quick else EVALUATIONS
    known = {task.name: task for task in few_shot(given)}
    lines: list[list[object]] = []
    ratios: dict[bool, list[float]] = {True: [], False: []}
    differences: dict[bool, list[float]] = {True: [], False: []}
    for pair in pairs:
        source, target = (known.get(name) or Task(name, name) for name in (pair.source, pair.target))
        first, from_nothing = (
            cells.get({"cold": task.name, "of": evaluations}, partial(cold, task, evaluations), of_machine=False)
            for task in (source, target)
        )
        begun = cells.get(
            {"warm": target.name, "source": source.name, "of": evaluations},
            partial(warm, target, first["bundle"], evaluations),
            of_machine=False,
        )
        best = min(loss for loss in from_nothing["losses"] if loss is not None)
        counts = [needed(cell["losses"], best) for cell in (from_nothing, begun)]
        ratios[pair.alike].append(counts[1] / counts[0])
        differences[pair.alike].append(begun["accuracy"] - from_nothing["accuracy"])
        lines.append(
            [pair.source, pair.target, "" if pair.alike else "control", f"{begun['similarity'][0]:.2f}", best,
             min(loss for loss in begun["losses"] if loss is not None), *counts,
             f"{from_nothing['accuracy']:.3f}", f"{begun['accuracy']:.3f}"]
        )  # fmt: skip
    print(f"\n{described()}; {evaluations} fine-tunes a search\n")
    head = ["found on", "used for", "", "similarity", "cold: lowest loss", "warm", "cold: fine-tunes until it", "warm",
            "cold: test accuracy", "warm"]  # fmt: skip
    table(head, lines)
    result = {}
    for alike, name in ((True, "alike"), (False, "control")):
        if ratios[alike]:
            ratio, gain = interval([[r] for r in ratios[alike]]), interval([[d] for d in differences[alike]])
            result[name] = {"ratio": [ratio.mean, ratio.low, ratio.high], "accuracy": [gain.mean, gain.low, gain.high],
                            "n": len(ratios[alike])}  # fmt: skip
    table(
        ["pairs", "n", "fine-tunes, warm / cold", "test accuracy, warm - cold"],
        [[name, found["n"], f"{found['ratio'][0]:.2f} [{found['ratio'][1]:.2f}, {found['ratio'][2]:.2f}]",
          f"{found['accuracy'][0]:+.3f} [{found['accuracy'][1]:+.3f}, {found['accuracy'][2]:+.3f}]"]
         for name, found in result.items()],
    )  # fmt: skip
    finish(result)


if __name__ == "__main__":
    main()
