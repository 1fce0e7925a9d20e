"""How many of the lower layers may go without adapters: test accuracy, and seconds of a fine-tune with validation.

    make bench NAME=layers            about half an hour for three tasks on an idle core (not timed yet)
    make bench NAME=layers QUICK=1    one task, 100 test rows

The default causal model with ``tail`` and the default classifier with ``lora``, the manual template, default settings.
Differences to adapters in all layers are paired by task and test row; intervals (95 %) draw tasks again, and rows
within them. The share is chosen on the embedded corpora, never on data that results are reported on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from statistics import fmean

import torch
from bench import MODELS, Cell, Cells, described, finish, interval, options, outcomes, right, seconds, table
from fine_tunes import gold, scores, tuned
from tasks import MODEL, Task, few_shot, words_of

from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Corpus
from autoprompt.models import LanguageModel, load_model, locate_model
from autoprompt.models.acceleration import layer_replay
from autoprompt.template import LABEL, LabelWords, Template

SHARES = (0.0, 0.2, 0.4, 0.6)
KINDS = {MODEL: "tail", "minilm-l6": "lora"}


@contextmanager
def _without_adapters(share: float) -> Iterator[None]:
    """Models loaded inside the context leave so many of their layers alone."""
    default = layer_replay.LOWER_SHARE
    layer_replay.LOWER_SHARE = share
    try:
        yield
    finally:
        layer_replay.LOWER_SHARE = default


def measured(corpus: Corpus, name: str, share: float, repeats: int) -> Cell:
    """Median seconds, and each test row's outcome."""
    labels = tuple(corpus.labels) if name != MODEL else ()
    template = Template.parse(corpus.manual_template).bind(corpus.fields, LABEL)
    words = LabelWords(()) if labels else words_of(corpus)
    candidate = Candidate(template, words, Settings.default(KINDS[name], len(corpus.train)))
    with _without_adapters(share):
        model = load_model(locate_model(name).folder, labels=labels, family="classifier" if labels else None)
        took = seconds(lambda: predicted(model, candidate, corpus, "validation"), repeats)
        found = predicted(model, candidate, corpus, "test")
    return {"seconds": took, "right": outcomes(found, gold(corpus.test, corpus.labels))}


def predicted(model: LanguageModel, candidate: Candidate, corpus: Corpus, split: str) -> list[int]:
    """A fine-tune, and what it says of a split's rows."""
    delta = tuned(model, candidate, corpus.train, corpus.labels)
    with model.temporary_prefixes():
        found: list[int] = scores(model, candidate, delta, getattr(corpus, split)).argmax(1).tolist()
    return found


def report(tasks: list[str], found: dict[float, list[Cell]]) -> dict[str, list[float]]:
    """One model's table."""
    lines, result = [], {}
    for share, own in found.items():
        pairs = [(right(o["right"]), right(all_["right"])) for o, all_ in zip(own, found[0.0], strict=True)]
        difference = interval([[a - b for a, b in zip(*pair, strict=True)] for pair in pairs])
        mean = fmean(fmean(one) for one, _ in pairs)
        took = fmean(cell["seconds"] for cell in own)
        lines.append([f"{share:.0%}", *(fmean(one) for one, _ in pairs), mean, str(difference), f"{took:.1f}"])
        result[f"{share:g}"] = [mean, took]
    table(["layers without", *tasks, "mean accuracy", "difference to 0%", "seconds"], lines)
    return result


def main() -> None:
    """Measure, print the tables, then one line of JSON."""
    given = options(__doc__)
    torch.set_num_threads(1)
    cells = Cells("layers", given, MODELS)
    tasks: list[Task] = few_shot(given)[: 1 if given.quick else 3]
    found: dict[str, dict[float, list[Cell]]] = {name: {share: [] for share in SHARES} for name in KINDS}
    for task in tasks:
        corpus = task.load(100 if given.quick else 400)
        for name, by_share in found.items():
            for share, own in by_share.items():
                what = {"task": task.name, "rows": len(corpus.test), "model": name, "share": share}
                own.append(cells.get(what, partial(measured, corpus, name, share, 1 if given.quick else 3)))
    print(f"\n{described()}; one thread; {', '.join(task.name for task in tasks)}\n")
    result = {}
    for name, by_share in found.items():
        print(f"{name}, {KINDS[name]}\n")
        result[name] = report([task.name for task in tasks], by_share)
    finish(result)


if __name__ == "__main__":
    main()
