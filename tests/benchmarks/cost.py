"""What an evaluation costs, beside the plain way, on one thread; and tuned evaluations a minute with two workers.

    make bench NAME=cost            about 6 minutes on two idle cores
    make bench NAME=cost QUICK=1    about 3 minutes

The plain way is what a script without this engine does: whole prompts, padded to a batch, every token through the
model for every candidate, all weights trained. Rows are film reviews cut to 40 tokens; the template is text first.
Medians; nothing else may run. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from typing import Any

import torch
from bench import described, optimizer_steps, seconds
from plain_way import Plain
from tasks import MODEL, evaluating

from autoprompt import corpus as corpora
from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Corpus, Example
from autoprompt.models import load_model, locate_model
from autoprompt.template import LabelWords, Template

TOKENS = 40
TEMPLATES = tuple(Template.parse("{text}" + tail) for tail in (
    "\nSentiment: {label}", " It was {label}", "\nVerdict: {label}", " In summary, it is {label}", "\nAnswer: {label}",
    "\nThe review is {label}"))  # fmt: skip


def long_rows(corpus: Corpus, tokenizer: Any, count: int) -> tuple[Example, ...]:
    """Rows of at least 40 tokens, which ``max_length`` cuts to exactly 40; the labels alternate."""
    pool = [*corpus.train, *corpus.validation, *corpus.test]
    rows = [row for row in pool if len(tokenizer(row.fields["text"])["input_ids"]) >= TOKENS]
    by_label = [[row for row in rows if row.label == label] for label in corpus.labels]
    found = tuple(row for group in zip(*by_label, strict=False) for row in group)[:count]
    if len(found) < count:
        raise SystemExit(
            f"The data has {len(found)} balanced rows of {TOKENS} tokens or more, not {count}; use other data."
        )
    return found


def main() -> None:
    """Measure, print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="rotten-tomatoes")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    corpus = corpora.load(options.data, shots=16, test_rows=100_000)
    folder = locate_model(MODEL).folder
    words = LabelWords.of(corpus.label_words, corpus.labels)
    engine = load_model(folder, device="cpu", max_length=TOKENS)
    plain = Plain(folder, words, TOKENS)
    rows = long_rows(corpus, plain.tokenizer, 64)
    cut = replace(corpus, train=rows[:32], validation=rows[32:], test=())
    repeats = 1 if options.quick else 3
    result = frozen_cost(engine, plain, words, cut) | tuned_cost(engine, plain, words, cut, repeats)
    result |= throughput(cut, words, 4 if options.quick else 10)
    result |= {"rows": 32, "tokens": TOKENS, "repeats": repeats}
    table(result)
    print(json.dumps(result))


def _frozen(template: Template, words: LabelWords) -> Candidate:
    return Candidate(template, words, Settings("none"))


def frozen_cost(engine: Any, plain: Plain, words: LabelWords, corpus: Corpus) -> dict[str, float]:
    """Scoring 32 rows with one more template, the first one's prefixes being kept."""
    rows = corpus.validation
    engine.score(engine.prompt(_frozen(TEMPLATES[0], words), rows))
    others = iter(TEMPLATES[1:])
    ours = seconds(lambda: engine.score(engine.prompt(_frozen(next(others), words), rows)), len(TEMPLATES) - 1)
    others = iter(TEMPLATES[1:])
    with torch.no_grad():
        theirs = seconds(lambda: plain.scores(next(others), rows), len(TEMPLATES) - 1)
    return {"frozen_engine": ours, "frozen_plain": theirs, "frozen_ratio": theirs / ours}


def tuned_cost(engine: Any, plain: Plain, words: LabelWords, corpus: Corpus, repeats: int) -> dict[str, float]:
    """A fine-tune on 32 rows with validation on 32 others: as many steps as the engine takes, in both ways."""
    template, settings = TEMPLATES[0], Settings.default("tail", 32)
    candidate = Candidate(template, words, settings)
    gold = [corpus.labels.index(row.label) for row in corpus.train]
    train, validation = (engine.prompt(candidate, part) for part in (corpus.train, corpus.validation))

    def ours() -> None:
        delta = engine.tune(train, gold, settings, seed=0)
        with engine.adapted(settings, delta):
            engine.score(validation)

    steps = optimizer_steps(ours)
    whole = Settings.default("full", 32).change(epochs=steps * 8 // 32)

    def theirs() -> None:
        plain.fine_tune(template, corpus.train, gold, whole, seed=0)
        plain.predict(template, corpus.validation)

    assert whole.steps(32) == steps
    engine_seconds, plain_seconds = seconds(ours, repeats), seconds(theirs, max(1, repeats - 1))
    return {"tune_engine": engine_seconds, "tune_plain": plain_seconds, "tune_ratio": plain_seconds / engine_seconds,
            "steps": steps}  # fmt: skip


def throughput(corpus: Corpus, words: LabelWords, count: int) -> dict[str, float]:
    """Tuned evaluations a minute with two workers, each on one thread, prefixes kept and workers warm."""
    settings = Settings.default("tail", len(corpus.train))
    candidates = [
        Candidate(template, words, settings.change(learning_rate=rate))
        for template in TEMPLATES
        for rate in (5e-4, 8e-4)
    ]
    with evaluating(corpus, max_length=TOKENS, workers=2) as evaluator:
        evaluator.fit(candidates[-2:])
        started = time.perf_counter()
        evaluator.fit(candidates[:count])
        minutes = (time.perf_counter() - started) / 60
    return {"evaluations_a_minute": count / minutes}


def table(result: dict[str, float]) -> None:
    """For people."""
    print(f"{described()}, one thread a process")
    print(f"{'':34}{'engine':>10}{'plain':>10}{'ratio':>8}")
    for name, title in (
        ("frozen", "frozen score of 32 rows, seconds"),
        ("tune", f"fine-tune of {result['steps']} steps, seconds"),
    ):
        ours, theirs, ratio = (result[f"{name}_{key}"] for key in ("engine", "plain", "ratio"))
        print(f"{title:34}{ours:>10.2f}{theirs:>10.2f}{ratio:>8.1f}")
    print(f"tuned evaluations a minute, two workers: {result['evaluations_a_minute']:.1f}")


if __name__ == "__main__":
    main()
