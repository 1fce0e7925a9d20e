"""Candidates scored without training: the engine beside an uncached pass, and beside nanoGCG.

    make bench NAME=frozen            2.5 minutes on an idle core, and the peer's installation
    make bench NAME=frozen QUICK=1    about 2 minutes, likewise

Uncached: transformers scores the whole prompts of all rows, padded to a batch, anew for each candidate. nanoGCG (PyPI,
its own environment) searches the closing words of one prompt, its prefix kept; the engine scores each candidate on all
rows, so that both are counted in candidates times rows a second. Both have the same model, text, number of closing
tokens and answer, one thread, and are timed over whole rounds: gradients, proposals that survive the tokenizer, scores.
nanoGCG is timed with all of a round's candidates in a batch, its default, and with eight; the faster one counts.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from bench import MODELS, Cell, Cells, described, finish, options, seconds, table
from fine_tunes import gold
from peers import ask
from plain_way import Plain
from tasks import MODEL, few_shot, with_tail, words_of
from uncached import scoring

from autoprompt.corpus import Corpus
from autoprompt.evaluator.proxy import proxy_of
from autoprompt.evaluator.worker import FROZEN
from autoprompt.models import LanguageModel, load_model, locate_model, propose_tokens

TOKENS = 40
ROWS = 32
PROPOSALS = 12
START = " Overall the answer to this question is"
AFTER = ":"
WIDTH = 64


def rounds(corpus: Corpus, model: LanguageModel, repeats: int) -> Cell:
    """Whole rounds as a search makes them: token edits from gradients, each scored as on rung 0."""
    true = gold(corpus.train, corpus.labels)
    current = with_tail(corpus, START + AFTER + " ", FROZEN)
    tried = 0

    def one_round() -> None:
        nonlocal current, tried
        features = model.features(model.prompt(current, corpus.train))
        loss = proxy_of(features, true, len(corpus.labels)).training_loss(slice(0, len(true)))
        edits = propose_tokens(model, current, corpus.train, loss, replacements=PROPOSALS, infills=0).replacements
        scored = []
        for template, _ in edits:
            candidate = replace(current, template=template)
            found = model.features(model.prompt(candidate, corpus.train))
            proxy = proxy_of(found, true, len(corpus.labels))
            scored.append((float(proxy.losses(found.hidden, found.label_scores).mean()), candidate.id, candidate))
        tried += len(scored)
        current = min(scored)[2]

    one_round()
    tried = 0
    took = seconds(one_round, repeats) * repeats
    return {"seconds": took, "candidates": tried, "rows": len(corpus.train)}


def main() -> None:
    """Measure, print the tables, then one line of JSON."""
    given = options(__doc__)
    torch.set_num_threads(1)
    cells = Cells("frozen", given, (*MODELS, "evaluator", "metrics"))
    task = few_shot(given)[0]
    corpus = task.load()
    folder = locate_model(MODEL).folder
    corpus = replace(corpus, train=(*corpus.train, *corpus.validation)[:ROWS], validation=(), test=())
    model = load_model(folder, max_length=TOKENS)
    plain = Plain(folder, words_of(corpus), TOKENS)
    name = {"task": task.name, "tokens": TOKENS}
    repeats = 2 if given.quick else 5
    single = cells.get(name | {"what": "scores"}, lambda: scoring(corpus, model, plain))
    whole = cells.get(name | {"what": "rounds", "repeats": repeats}, lambda: rounds(corpus, model, repeats))
    text = max((plain.cut(row)[corpus.fields[0]] for row in corpus.train), key=len)
    question = {
        "model": str(folder),
        "text": text,
        "start": START,
        "after": AFTER,
        "target": " " + words_of(corpus).words[0],
        "width": WIDTH,
        "steps": 2 if given.quick else 6,
    }
    gcg = {
        batch: cells.get(
            name | {"what": "nanogcg", "batch": batch, "steps": question["steps"]},
            lambda b=batch: ask("nanogcg", question | {"batch": b}),
        )
        for batch in (WIDTH, 8)
    }
    rate = whole["candidates"] * whole["rows"] / whole["seconds"]
    theirs = {batch: cell["candidates"] / cell["seconds"] for batch, cell in gcg.items()}
    print(f"\n{described()}; one thread; {len(corpus.train)} rows of at most {TOKENS} tokens of {task.name}\n")
    table(
        ["scores of one more candidate", "seconds", "candidates a second"],
        [[way, single[way], 1 / single[way]] for way in ("engine", "uncached")],
    )
    table(
        ["whole rounds", "candidates x rows a second"],
        [["engine", rate], *([f"nanoGCG, {batch} in a batch", value] for batch, value in theirs.items())],
    )
    finish(
        {
            "speedup_uncached": single["uncached"] / single["engine"],
            "speedup_nanogcg": rate / max(theirs.values()),
        }
    )


if __name__ == "__main__":
    main()
