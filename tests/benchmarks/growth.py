"""How the cost grows with candidates, rows, text length and model size, and memory over 500 evaluations.

    make bench NAME=growth            52 minutes on two idle cores
    make bench NAME=growth QUICK=1    over 4 minutes (not timed whole): fewer sizes, 60 evaluations

One size is changed at a time; the others stay at 32 training and 32 validation rows, texts of 32 tokens and
SmolLM2-135M. Models of other sizes have the same kind of layers and random weights: they cost what trained ones do.
Seconds of one thread: the kept prefixes of all rows (once a search, for templates that share their opening), one more
frozen score, one more fine-tune (32 steps) with validation. Memory: what driver and workers hold of their own, and
what is allocated and not freed of it (without Python's small objects), while they fine-tune 500 candidates with ever
new closing words, label words, settings and openings. For Linux with glibc 2.33 or later.
"""

from __future__ import annotations

import itertools
import os
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from allocated import held, used, used_here
from bench import EVALUATIONS, Cell, Cells, Options, described, finish, optimizer_steps, options, seconds, table
from fine_tunes import scores, tuned
from tasks import MODEL, by_length, evaluating, few_shot, with_tail

from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Corpus, Example
from autoprompt.evaluator import Evaluator, ModelCheck
from autoprompt.models import load_model, locate_model
from autoprompt.models.types import Delta
from autoprompt.template import LabelWords, Literal, Slot, Template

SIZES = {"30 M": (320, 12, 5), "135 M": (576, 30, 9), "360 M": (960, 32, 15)}
"""Width, layers, heads; the last two are SmolLM2's."""
TAILS = (" It was ", "\nVerdict: ", " All in all, it is ", "\nAnswer: ")
WORKERS = 2
STEPS = 32
PATIENCE = 0.5
"""Seconds that a worker takes to say what it uses, so that each of them is asked."""


@dataclass(frozen=True)
class Size:
    """What one cell is measured at."""

    rows: int = 32
    tokens: int = 32
    model: str = "135 M"


def sizes(quick: bool) -> Iterator[tuple[str, Size]]:
    """What changes, and to what."""
    base = Size()
    for rows in (32, 64) if quick else (16, 32, 64, 128):
        yield "rows", replace(base, rows=rows)
    for tokens in (32, 128) if quick else (16, 32, 64, 128):
        yield "text length", replace(base, tokens=tokens)
    for model in ("30 M", "135 M") if quick else tuple(SIZES):
        yield "model", replace(base, model=model)


def model_folder(name: str, scratch: Path) -> Path:
    """A folder with a Llama of that size, random weights, and the default model's tokenizer."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = scratch / name.replace(" ", "")
    if not folder.is_dir():
        width, layers, heads = SIZES[name]
        torch.manual_seed(0)
        tokenizer = AutoTokenizer.from_pretrained(locate_model(MODEL).folder)
        config = LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=width, intermediate_size=width * 8 // 3, num_hidden_layers=layers,
            num_attention_heads=heads, num_key_value_heads=heads // 3 or 1 if heads % 3 == 0 else 1,
            tie_word_embeddings=True,
        )  # fmt: skip
        LlamaForCausalLM(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def rows_of(corpus: Corpus, count: int) -> tuple[Example, ...]:
    """So many rows of long text, the labels in turn. Raises ValueError where there are fewer."""
    pool = [*corpus.train, *corpus.validation, *corpus.test]
    (text,) = corpus.fields
    pool.sort(key=lambda row: -len(row.fields[text]))
    by_label = [[row for row in pool if row.label == label] for label in corpus.labels]
    found = tuple(itertools.islice((row for rows in zip(*by_label, strict=False) for row in rows), count))
    if len(found) < count:
        raise ValueError(f"The data have {len(found)} rows with each label as often; {count} are needed.")
    return found


def cost(corpus: Corpus, size: Size, scratch: Path, repeats: int) -> Cell:
    """Seconds of prefixes, of one more frozen score, of one more fine-tune."""
    model = load_model(model_folder(size.model, scratch), max_length=size.tokens)
    rows = rows_of(corpus, 2 * size.rows)
    train, validation = rows[: size.rows], rows[size.rows :]
    settings = Settings("tail", 5e-4, 8, max(1, STEPS * 8 // size.rows), 8)
    candidates = [with_tail(corpus, tail, settings) for tail in TAILS]
    deltas: list[Delta] = []
    frozen = [replace(candidate, settings=Settings("none")) for candidate in candidates]
    prefixes = seconds(lambda: [model.prompt(frozen[0], part) for part in (train, validation)])

    def score(candidate: Candidate) -> None:
        for part in (train, validation):
            model.features(model.prompt(candidate, part))

    def tune() -> None:
        deltas.append(tuned(model, candidates[0], train, corpus.labels))

    def validate() -> None:
        scores(model, candidates[0], deltas[-1], validation)

    score(frozen[0])
    ways = iter(frozen[1:])
    scored = seconds(lambda: score(next(ways)), 3)
    # What is learnt early ends early: the cost is that of 32 steps, whatever the rows teach.
    steps = optimizer_steps(tune)
    took = seconds(tune, repeats) * STEPS / steps
    return {"prefixes": prefixes, "frozen": scored, "tuned": took + seconds(validate, repeats)}


def memory(corpus: Corpus, count: int, every: int) -> Cell:
    """MiB of driver and workers after each ``every`` fine-tunes of four steps."""
    rng = random.Random(0)  # noqa: S311
    found = []
    with evaluating(corpus, max_length=64, workers=WORKERS) as evaluator:
        check = ModelCheck(evaluator.executor, evaluator.costs)
        ready = check.check(with_tail(corpus, TAILS[0], Settings("none")))
        for _ in range(0, count, every):
            evaluator.fit([_drawn(corpus, ready.vocabulary, rng) for _ in range(every)])
            found.append({"evaluations": evaluator.fitted} | _memory(evaluator))
    return {"memory": found}


def _drawn(corpus: Corpus, vocabulary: tuple[str, ...], rng: random.Random) -> Candidate:
    """A new opening with every fifth candidate: its prefixes take the place of older ones."""
    (text,) = corpus.fields
    opening = (Literal(rng.choice(vocabulary) + ": "),) if rng.random() < 0.2 else ()
    tail = " " + " ".join(rng.sample(vocabulary, rng.randint(1, 5))) + " "
    words = LabelWords(tuple(zip(corpus.labels, rng.sample(vocabulary, len(corpus.labels)), strict=True)))
    settings = Settings("tail", rng.choice((3e-4, 5e-4)), 8, 1, rng.choice((4, 8, 16)))
    return Candidate(Template((*opening, Slot(text), Literal(tail), Slot("label"))), words, settings)


def _memory(evaluator: Evaluator) -> dict[str, float]:
    """MiB that the driver and all workers hold, and that they use of it."""
    workers = dict(evaluator.executor.map(used_here, [PATIENCE] * WORKERS))
    if len(workers) != WORKERS:
        raise RuntimeError(f"{len(workers)} of {WORKERS} workers said what they use: one was asked twice.")
    return {
        "driver": held(os.getpid()),
        "driver_uses": used(),
        "workers": sum(held(pid) for pid in workers),
        "workers_use": sum(workers.values()),
    }


def measured(given: Options, cells: Cells, corpus: Corpus) -> list[tuple[str, Size, Cell]]:
    out = []
    with tempfile.TemporaryDirectory() as name:
        for what, size in sizes(given.quick):
            key = {"rows": size.rows, "tokens": size.tokens, "model": size.model}
            cell = cells.get(key, lambda s=size: cost(corpus, s, Path(name), 1 if given.quick else 3))
            out.append((what, size, cell))
    return out


def main() -> None:
    """Measure, print the tables, then one line of JSON."""
    given = options(__doc__)
    torch.set_num_threads(1)
    cells = Cells("growth", given, EVALUATIONS)
    corpus = by_length(few_shot(given))[-1].load()
    found = measured(given, cells, corpus)
    count, every = (60, 20) if given.quick else (500, 50)
    rows = cells.get({"evaluations": count}, lambda: memory(corpus, count, every))["memory"]
    print(f"\n{described()}; one thread; seconds\n")
    table(
        ["what grows", "rows", "tokens", "model", "kept prefixes", "frozen score", "fine-tune", "ten candidates"],
        [[what, size.rows, size.tokens, size.model, cell["prefixes"], cell["frozen"], cell["tuned"],
          cell["prefixes"] + 10 * (cell["frozen"] + cell["tuned"])] for what, size, cell in found],
    )  # fmt: skip
    names = ("driver", "driver_uses", "workers", "workers_use")
    table(
        ["evaluations", "driver holds, MiB", "driver uses", "two workers hold", "two workers use"],
        [[row["evaluations"], *(round(row[name]) for name in names)] for row in rows],
    )
    first, last = rows[1], rows[-1]
    growth = {name: last[name] - first[name] for name in names}
    finish({"evaluations": count, "mebibytes_grown": growth, "from": first["evaluations"]})


if __name__ == "__main__":
    main()
