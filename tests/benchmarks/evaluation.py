"""One short fine-tune plus validation, and the test accuracy after it: the engine beside the plain way.

    make bench NAME=evaluation DATA=FOLDER            65 minutes for six tasks on an idle core
    make bench NAME=evaluation DATA=FOLDER QUICK=1    6.4 minutes: the two with the shortest texts, 100 rows

Engine: tail tuning with its defaults, which ends a fine-tune when it has learnt its rows. Plain: full fine-tuning with
transformers at that mode's default learning rate, whole prompts padded to a batch, the same template and row order, and
as many steps as the engine took. One thread each; nothing else may run. The engine's accuracy is the mean of three
fine-tunes with different seeds, the plain way's that of one.
Shapes of templates:

    text first    ends in words of its own after the text: what is kept of the texts serves every candidate
    new opening   words of its own before the text and none after it: nothing kept by another candidate serves it
    label first   the label stands before the text, so that there is nothing to keep, and each label has a whole pass;
                  no search proposes it to a causal model, and it is so dear that one task has to do

The last line's ``speedup_other`` is the median over all cells that are not text first.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial

import torch
from bench import (
    MODELS,
    Cell,
    Cells,
    Options,
    described,
    finish,
    interval,
    optimizer_steps,
    options,
    outcomes,
    right,
    seconds,
    table,
)
from fine_tunes import gold, scores, tuned
from plain_way import Plain
from tasks import MODEL, Task, by_group, by_length, few_shot, first_of_each, words_of

from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Corpus
from autoprompt.models import LanguageModel, load_model, locate_model
from autoprompt.models.types import Delta
from autoprompt.template import LABEL, Template

MAX_LENGTH = 128
TEST_BLOCK = 50


def shapes(corpus: Corpus) -> dict[str, Template]:
    """The same question in other places."""
    (text,) = corpus.fields
    asked = corpus.label_column.replace("_", " ").capitalize()
    found = {
        "text first": f"{{{text}}}\n{asked}: {{label}}",
        "new opening": f"{asked} of this text: {{{text}}} {{label}}",
        "label first": f"{asked}: {{label}}\n{{{text}}}",
    }
    return {name: Template.parse(template).bind(corpus.fields, LABEL) for name, template in found.items()}


def engine_cell(corpus: Corpus, template: Template, repeats: int, *, kept: bool) -> Cell:
    """The median time of ``repeats``; ``kept``: what is kept of the texts serves other candidates, and is not timed.

    ``right``: the outcomes of as many fine-tunes with different seeds, of which the first was timed.
    """
    model = load_model(locate_model(MODEL).folder, max_length=MAX_LENGTH)
    candidate = Candidate(template, words_of(corpus), Settings.default("tail", len(corpus.train)))

    def evaluate() -> None:
        delta = tuned(model, candidate, corpus.train, corpus.labels)
        scores(model, candidate, delta, corpus.validation)

    def evaluate_anew() -> None:
        with model.temporary_prefixes():
            evaluate()

    steps = optimizer_steps(evaluate)
    took = seconds(evaluate if kept else evaluate_anew, repeats)
    deltas = [tuned(model, candidate, corpus.train, corpus.labels, seed) for seed in range(repeats)]
    return {"seconds": took, "steps": steps, "right": tested(model, candidate, deltas, corpus)}


def tested(model: LanguageModel, candidate: Candidate, deltas: Sequence[Delta], corpus: Corpus) -> list[str]:
    """For each fine-tune the outcomes of all test rows."""
    predicted: list[list[int]] = [[] for _ in deltas]
    for start in range(0, len(corpus.test), TEST_BLOCK):
        block = corpus.test[start : start + TEST_BLOCK]
        with model.temporary_prefixes():
            for found, delta in zip(predicted, deltas, strict=True):
                found += scores(model, candidate, delta, block).argmax(1).tolist()
    return [outcomes(found, gold(corpus.test, corpus.labels)) for found in predicted]


def plain_cell(corpus: Corpus, template: Template, steps: int) -> Cell:
    """The fine-tune with its whole decay of the learning rate."""
    plain = Plain(locate_model(MODEL).folder, words_of(corpus), MAX_LENGTH)
    settings = Settings.default("full", len(corpus.train))
    settings = settings.change(epochs=steps // -(-len(corpus.train) // settings.batch_size))
    assert settings.steps(len(corpus.train)) == steps

    def evaluate() -> None:
        plain.fine_tune(template, corpus.train, gold(corpus.train, corpus.labels), settings, seed=0)
        plain.predict(template, corpus.validation)

    took = seconds(evaluate)
    predicted = plain.predict(template, corpus.test)
    return {"seconds": took, "right": [outcomes(predicted, gold(corpus.test, corpus.labels))]}


def both(corpus: Corpus, template: Template, repeats: int, *, kept: bool) -> Cell:
    """One cell, so that both ways are timed by one run: machines of one name differ in speed."""
    engine = engine_cell(corpus, template, repeats, kept=kept)
    return {"engine": engine, "plain": plain_cell(corpus, template, engine["steps"])}


def measured(given: Options, cells: Cells, tasks: Sequence[Task]) -> list[Cell]:
    rows = 100 if given.quick else 400
    repeats = 1 if given.quick else 3
    out = []
    (short, *_) = by_length(tasks)
    for task in tasks:
        corpus = task.load(rows)
        for shape, template in shapes(corpus).items():
            if shape == "label first" and (given.quick or task != short):
                continue
            name = {"task": task.name, "shape": shape, "rows": len(corpus.test)}
            # With an opening of its own a candidate pays for what is kept, whatever came before it.
            cell = cells.get(name, partial(both, corpus, template, repeats, kept=shape == "text first"))
            engine, plain = cell["engine"], cell["plain"]
            ratio = plain["seconds"] / engine["seconds"]
            out.append({"task": task.name, "shape": shape, "engine": engine, "plain": plain, "ratio": ratio})
    return out


def rows_right(cell: Cell) -> list[float]:
    """For each test row how often it was right."""
    return [statistics.fmean(row) for row in zip(*map(right, cell["right"]), strict=True)]


def speedup(found: Sequence[Cell]) -> float:
    """The median."""
    return statistics.median(cell["ratio"] for cell in found)


def main() -> None:
    """Measure, print the tables, then one line of JSON."""
    given = options(__doc__)
    torch.set_num_threads(1)
    cells = Cells("evaluation", given, MODELS)
    tasks = few_shot(given)
    found = measured(given, cells, by_length(first_of_each(tasks))[:2] if given.quick else tasks)
    print(f"\n{described()}; one thread, one short fine-tune plus validation; test accuracy after it\n")
    table(
        ["task", "template", "steps", "engine s", "plain s", "ratio", "engine accuracy", "plain accuracy", "n"],
        [
            [f["task"], f["shape"], f["engine"]["steps"], f["engine"]["seconds"], f["plain"]["seconds"], f["ratio"],
             *(statistics.fmean(rows_right(f[way])) for way in ("engine", "plain")), len(rows_right(f["plain"]))]
            for f in found
        ],
    )  # fmt: skip
    for shape in dict.fromkeys(f["shape"] for f in found):
        own = [f for f in found if f["shape"] == shape]
        pairs = {f["task"]: (rows_right(f["engine"]), rows_right(f["plain"])) for f in own}
        difference = interval(by_group({t: [a - b for a, b in zip(*p, strict=True)] for t, p in pairs.items()}))
        print(f"{shape}: {speedup(own):.1f} times faster (median); accuracy engine - plain {difference}")
    everything = {way: [statistics.fmean(rows_right(f[way])) for f in found] for way in ("engine", "plain")}
    finish(
        {
            "speedup_text_first": speedup([f for f in found if f["shape"] == "text first"]),
            "speedup_other": speedup([f for f in found if f["shape"] != "text first"]),
            "accuracy_engine": statistics.fmean(everything["engine"]),
            "accuracy_plain": statistics.fmean(everything["plain"]),
            "n": sum(len(rows_right(f["plain"])) for f in found),
        }
    )


if __name__ == "__main__":
    main()
