"""What an evaluation costs, beside the plain way, on one thread; and tuned evaluations a minute with two workers.

    make bench NAME=cost            3.1 minutes on two idle cores
    make bench NAME=cost QUICK=1    2.0 minutes

The plain way is what a script without this engine does: whole prompts, padded to a batch, every token through the
model for every candidate, all weights trained. Rows of the first task are cut to 40 tokens; the template is text first.
Medians; nothing else may run.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import torch
from bench import EVALUATIONS, Cell, Cells, described, finish, optimizer_steps, options, seconds, table
from fine_tunes import gold, scores, tuned
from plain_way import Plain
from tasks import MODEL, evaluating, few_shot, with_tail, words_of
from uncached import TAILS, scoring

from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Corpus, Example
from autoprompt.models import LanguageModel, load_model, locate_model

TOKENS = 40
ROWS = 32


def long_rows(corpus: Corpus, tokenizer: Any, count: int) -> tuple[Example, ...]:
    """Rows of at least 40 tokens, which ``max_length`` cuts to exactly 40; the labels alternate."""
    (text,) = corpus.fields
    pool = [*corpus.train, *corpus.validation, *corpus.test]
    rows = [row for row in pool if len(tokenizer(row.fields[text])["input_ids"]) >= TOKENS]
    by_label = [[row for row in rows if row.label == label] for label in corpus.labels]
    found = tuple(row for group in zip(*by_label, strict=False) for row in group)[:count]
    if len(found) < count:
        raise SystemExit(
            f"The data has {len(found)} balanced rows of {TOKENS} tokens or more, not {count}; use other data."
        )
    return found


def candidates_of(corpus: Corpus, settings: Settings) -> list[Candidate]:
    return [with_tail(corpus, tail, settings) for tail in TAILS]


def tuned_cost(engine: LanguageModel, plain: Plain, corpus: Corpus, repeats: int) -> Cell:
    """A fine-tune with validation: as many steps as the engine takes, in both ways."""
    candidate = candidates_of(corpus, Settings.default("tail", ROWS))[0]

    def ours() -> None:
        scores(engine, candidate, tuned(engine, candidate, corpus.train, corpus.labels), corpus.validation)

    steps = optimizer_steps(ours)
    whole = Settings.default("full", ROWS)
    whole = whole.change(epochs=steps * whole.batch_size // ROWS)
    assert whole.steps(ROWS) == steps

    def theirs() -> None:
        plain.fine_tune(candidate.template, corpus.train, gold(corpus.train, corpus.labels), whole, seed=0)
        plain.predict(candidate.template, corpus.validation)

    return {"engine": seconds(ours, repeats), "plain": seconds(theirs, max(1, repeats - 1)), "steps": steps}


def throughput(corpus: Corpus, count: int) -> Cell:
    """Tuned evaluations a minute with two workers, each on one thread, prefixes kept and workers warm."""
    settings = Settings.default("tail", ROWS)
    candidates = [c for rate in (5e-4, 8e-4) for c in candidates_of(corpus, settings.change(learning_rate=rate))]
    with evaluating(corpus, max_length=TOKENS, workers=2) as evaluator:
        evaluator.fit(candidates[-2:])
        started = time.perf_counter()
        evaluator.fit(candidates[:count])
        return {"a minute": count * 60 / (time.perf_counter() - started)}


def main() -> None:
    """Measure, print a table, then one line of JSON."""
    given = options(__doc__)
    torch.set_num_threads(1)
    cells = Cells("cost", given, EVALUATIONS)
    task = few_shot(given)[0]
    corpus = task.load(100_000)
    folder = locate_model(MODEL).folder
    engine = load_model(folder, device="cpu", max_length=TOKENS)
    plain = Plain(folder, words_of(corpus), TOKENS)
    rows = long_rows(corpus, plain.tokenizer, 2 * ROWS)
    cut = replace(corpus, train=rows[:ROWS], validation=rows[ROWS:], test=())
    repeats = 1 if given.quick else 3
    name = {"task": task.name, "rows": ROWS, "tokens": TOKENS, "repeats": repeats}
    frozen = cells.get(name | {"what": "frozen"}, lambda: scoring(cut, engine, plain))
    tune = cells.get(name | {"what": "tuned"}, lambda: tuned_cost(engine, plain, cut, repeats))
    count = 4 if given.quick else 10
    rate = cells.get(name | {"what": "throughput", "count": count}, lambda: throughput(cut, count))["a minute"]
    found = {
        f"frozen score of {ROWS} rows": (frozen["engine"], frozen["uncached"]),
        f"{tune['steps']}-step fine-tune with validation": (tune["engine"], tune["plain"]),
    }
    print(f"\n{described()}; one thread a process; {task.name}\n")
    table(
        ["seconds", "engine", "plain", "ratio"],
        [[what, ours, theirs, theirs / ours] for what, (ours, theirs) in found.items()],
    )
    print(f"tuned evaluations a minute, two workers: {rate:.1f}\n")
    finish(
        {
            "speedup_frozen": frozen["uncached"] / frozen["engine"],
            "speedup_tuned": tune["plain"] / tune["engine"],
            "evaluations_a_minute": rate,
            "n": ROWS,
        }
    )


if __name__ == "__main__":
    main()
