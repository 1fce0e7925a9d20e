"""Label scores of one more template, beside an uncached pass over the whole prompts."""

from __future__ import annotations

import torch
from bench import Cell, seconds
from plain_way import Plain
from tasks import with_tail

from autoprompt.corpus import Corpus
from autoprompt.evaluator.worker import FROZEN
from autoprompt.models import LanguageModel

TAILS = ("\nSentiment: ", " It was ", "\nVerdict: ", " In summary, it is ", "\nAnswer: ", "\nThe answer is ")


def scoring(corpus: Corpus, model: LanguageModel, plain: Plain) -> Cell:
    """Label scores of the rows for one more template; what precedes its closing words is kept."""
    candidates = [with_tail(corpus, tail, FROZEN) for tail in TAILS]
    model.score(model.prompt(candidates[0], corpus.train))
    others = iter(candidates[1:])
    ours = seconds(lambda: model.score(model.prompt(next(others), corpus.train)), len(candidates) - 1)
    again = iter(candidates[1:])
    with torch.no_grad():
        theirs = seconds(lambda: plain.scores(next(again).template, corpus.train), len(candidates) - 1)
    return {"engine": ours, "uncached": theirs}
