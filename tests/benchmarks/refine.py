"""A stream of new labelled rows: refining an entry batch by batch, against tuning it from nothing each time.

    make bench NAME=refine            two samples of rotten-tomatoes, ten batches of eight rows
    make bench NAME=refine QUICK=1    one sample, two batches, 100 test rows

A search of 8 fine-tunes finds the first entry. Then each batch goes to ``refine``, from loading the model to the stored
entry; and the same prompt is tuned from the pretrained weights on all rows so far and scored on the validation rows,
from loading the model as well. Accuracy of both on one test sample, and on the rows known before the batch; rows of a
batch that was not kept stay out of what the next one knows, but not of what is tuned from nothing.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bench import SEARCHES, Cell, Cells, described, finish, interval, options, table
from tasks import MODEL

from autoprompt import corpus as corpora
from autoprompt import run
from autoprompt.corpus import Corpus, Example
from autoprompt.evaluator import Evaluation, Rung, WorkerSpec
from autoprompt.evaluator.scoring import score_rows
from autoprompt.evaluator.worker import Worker
from autoprompt.leaderboard import Leaderboard, kept_weights
from autoprompt.models import locate_model
from autoprompt.models.adaptation.peft_io import load_delta
from autoprompt.models.types import Delta
from autoprompt.progress import Silent
from autoprompt.run.refine_inputs import Parent

NAME, SEEDS, BATCHES, ROWS, TEST, SEARCH = "rotten-tomatoes", (1, 2), 10, 8, 200, 8


def stream(seed: int, batches: int, test_rows: int) -> Cell:
    """One sample's batches, in turn."""
    drawn = corpora.load(NAME, seed=seed, test_rows=test_rows + batches * ROWS)
    test, rest = drawn.test[:test_rows], drawn.test[test_rows:]
    with tempfile.TemporaryDirectory() as name:
        board = Path(name) / "board.sqlite"
        asked = run.SearchOptions(NAME, model=run.ModelOptions(MODEL), seed=seed, max_evaluations=SEARCH,
                                  data=run.DataOptions(test_rows=test_rows), leaderboard=board)  # fmt: skip
        entry = run.search(asked, Silent()).to_dict()["best"]["entry"]
        judge = _worker(replace(drawn, test=(), fingerprint=""), Path(name))
        rows = [_batch(board, judge, entry, drawn, test, (), ())]
        for number in range(batches):
            new = rest[number * ROWS : (number + 1) * ROWS]
            started = time.perf_counter()
            given = [{**row.fields, drawn.label_column: row.label} for row in new]
            data = run.DataOptions(text_column=drawn.fields[0], label_column=drawn.label_column, rows={"train": given})
            done = run.refine(entry, f"batch {number + 1}", board, Silent(), data=data, device="cpu").to_dict()
            took = time.perf_counter() - started
            entry = done["best"]["entry"] if done["refine"]["kept"] else entry
            found = _batch(board, judge, entry, drawn, test, rest[: number * ROWS], new)
            rows.append(found | {"seconds": took, "kept": done["refine"]["kept"]})
    return {"batches": rows}


def _batch(
    board: Path, judge: Worker, entry: str, drawn: Corpus, test: Sequence[Example], before: Sequence[Example],
    new: Sequence[Example],
) -> dict[str, Any]:  # fmt: skip
    """The entry's accuracies, and those of its prompt tuned from nothing. ``judge``: keeps the test rows' prefixes."""
    with Leaderboard.open(board, read_only=True) as opened:
        parent = Parent.of(opened, entry)
        weights = load_delta(kept_weights(board, parent.weights))
    known = (*drawn.train, *before)
    with tempfile.TemporaryDirectory() as scratch:
        started = time.perf_counter()
        worker = _worker(replace(drawn, train=(*known, *new), test=(), fingerprint=""), Path(scratch))
        taught = worker.without_demos(parent.candidate, worker.splits[0])
        prompted = worker.model.prompt(parent.candidate, taught)
        tuned = worker.model.tune(prompted, worker.gold(taught), parent.candidate.settings, 0)
        _right(worker, parent, drawn.validation, tuned)
        took = time.perf_counter() - started
    right = partial(_right, judge, parent)
    return {
        "test": right(test, weights), "known": right(known, weights),
        "anew test": right(test, tuned), "anew known": right(known, tuned), "anew seconds": took,
    }  # fmt: skip


def _worker(corpus: Corpus, scratch: Path) -> Worker:
    return Worker(WorkerSpec(locate_model(MODEL).folder, corpus, 0, "cpu", 128, scratch, scratch))


def _right(worker: Worker, parent: Parent, rows: Sequence[Example], weights: Delta) -> list[int]:
    judged = worker.without_demos(parent.candidate, rows)
    scored = score_rows(Evaluation(parent.candidate, Rung.TUNED), worker, judged, weights, write=False)
    return [int(said == row.label) for said, row in zip(scored.predictions, judged, strict=True)]


def main() -> None:
    """Measure, print the table, then one line of JSON."""
    given = options(__doc__)
    cells = Cells("refine", given, (*SEARCHES, "leaderboard"))
    seeds, batches, test_rows = (SEEDS[:1], 2, 100) if given.quick else (SEEDS, BATCHES, TEST)
    asked = {"batches": batches, "test": test_rows}
    found = [cells.get({"seed": seed, **asked}, partial(stream, seed, batches, test_rows))["batches"] for seed in seeds]
    print(f"\n{described()}; {len(seeds)} samples of {NAME}, {test_rows} test rows each\n")
    lines = []
    for number, samples in enumerate(zip(*found, strict=True)):
        accuracies = [statistics.fmean(statistics.fmean(one[name]) for one in samples)
                      for name in ("test", "anew test", "known", "anew known")]  # fmt: skip
        seconds = [statistics.median(one[name] for one in samples) if name in samples[0] else ""
                   for name in ("seconds", "anew seconds")]  # fmt: skip
        kept = f"{sum(one['kept'] for one in samples)} of {len(samples)}" if number else ""
        lines.append([number, kept, *(f"{value:.3f}" for value in accuracies), *seconds])
    head = ["batch", "kept", "test: refined", "from nothing", "known rows: refined", "from nothing",
            "seconds: refined", "from nothing"]  # fmt: skip
    table(head, lines)
    last, first = [samples[-1] for samples in found], [samples[0] for samples in found]
    pairs = {
        "refined - from nothing": [(one["test"], one["anew test"]) for one in last],
        "refined - before the stream": [(one["test"], two["test"]) for one, two in zip(last, first, strict=True)],
        "from nothing - before the stream": [
            (one["anew test"], two["test"]) for one, two in zip(last, first, strict=True)
        ],
    }
    result: dict[str, Any] = {}
    for name, sides in pairs.items():
        value = interval([[a - b for a, b in zip(*side, strict=True)] for side in sides])
        result[name] = [value.mean, value.low, value.high]
    table(["test accuracy after the last batch", "mean [95 %]"],
          [[name, f"{v[0]:+.3f} [{v[1]:+.3f}, {v[2]:+.3f}]"] for name, v in result.items()])  # fmt: skip
    taken = {name: statistics.median(one[name] for samples in found for one in samples[1:])
             for name in ("seconds", "anew seconds")}  # fmt: skip
    finish(result | taken | {"n": sum(len(one["test"]) for one in last)})


if __name__ == "__main__":
    main()
