"""What the tests of all families share: modes, settings, templates, candidates."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest
import tiny
import tiny_families
import torch
from torch import Tensor

from autoprompt.candidate import Candidate, Demo, Settings
from autoprompt.corpus import Corpus, Example
from autoprompt.template import LabelWords, Template

FAMILY = tiny_families.FAMILY
CLASSIFIERS = [name for name, family in FAMILY.items() if family == "classifier"]
WRITERS = [name for name, family in FAMILY.items() if family in ("causal", "seq2seq")]
_SHARED = ("lora", "soft", "bias", "full")
MODES: Mapping[str, tuple[str, ...]] = {
    "llama": ("tail", "lora", "soft", "full", "none"),
    "gpt2": ("tail", *_SHARED, "none"),
    **dict.fromkeys(("bert", "roberta", "deberta", "modernbert"), (*_SHARED, "none")),
    "t5": ("lora", "soft", "full", "none"),
    "bart": (*_SHARED, "none"),
    **dict.fromkeys(("bert-head", "roberta-head"), ("head", *_SHARED, "none")),
    **dict.fromkeys(("encoder", "distilbert-head", "gpt2-head"), ("head", *_SHARED)),
    "llama-head": ("head", "lora", "soft", "full", "none"),
    "bart-head": ("head", "lora", "bias", "full", "none"),
}
"""No ``none`` for a head that knows nothing; no ``bias`` where a model has none; no vectors in what a decoder reads."""
SETTINGS = {
    "tail": Settings("tail", 3e-3, 6, 6, 4),
    "lora": Settings("lora", 4e-3, 6, 6, 8),
    "soft": Settings("soft", 0.02, 6, 6),
    "bias": Settings("bias", 0.01, 6, 6),
    "head": Settings("head", 0.01, 6, 6),
    "full": Settings("full", 1e-3, 6, 6),
}
ROWS = 12
TRAINED = [(name, mode) for name, modes in MODES.items() for mode in modes if mode != "none"]
TEMPLATES = {
    "end": "{text}\nSentiment: {label}",
    "middle": "Review: {text} It was {label} . The end",
    "start": "{label} is what I say of {text}",
    "fields": "{title} , {text} , again {title} : {label}",
}
WORDS = LabelWords.of(tiny.WORDS, tiny.LABELS)
LONG_WORDS = LabelWords((("positive", "good and warm"), ("negative", "bad")))


FURTHER = (
    "gpt2",
    "t5",
    "roberta",
    "deberta",
    "modernbert",
    "bert-head",
    "roberta-head",
    "distilbert-head",
    "llama-head",
    "gpt2-head",
    "bart-head",
)
"""Models of which another one of their family is tested in the same way: these are left to the slow tests."""


def models(cases: Iterable[Any]) -> list[Any]:
    """Parameters of tests, names of models or tuples that begin with one; those of further models are slow."""
    slow = {"marks": pytest.mark.slow}
    split = [case if isinstance(case, tuple) else (case,) for case in cases]
    return [pytest.param(*case, **(slow if case[0] in FURTHER else {})) for case in split]


def words_of(name: str, words: LabelWords = WORDS) -> LabelWords:
    return LabelWords(()) if name in CLASSIFIERS else words


def candidate(
    name: str, mode: str = "none", source: str = TEMPLATES["end"], words: LabelWords = WORDS, demos: Sequence[Demo] = ()
) -> Candidate:
    settings = SETTINGS[mode] if mode != "none" else Settings("none")
    return Candidate(Template.parse(source), words_of(name, words), settings, tuple(demos))


def weights(model: Any) -> dict[str, Tensor]:
    return {n.replace(".base_layer", ""): v.clone() for n, v in model.model.state_dict().items() if "lora_" not in n}


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def few(corpus: Corpus) -> tuple[Example, ...]:
    return corpus.train[:ROWS]


def loss(scores: Tensor, judged: Sequence[Example]) -> float:
    return float(torch.nn.functional.nll_loss(scores, torch.tensor(tiny.gold(tuple(judged)))))


def rows() -> list[Example]:
    """Short and long texts with a title."""
    texts = ["The soup was a joy from start to end.", "x", "The lamp is lovely and well made. " * 2, "it was goo"]
    return [Example(f"r{n}", {"text": text, "title": f"the {n} lamp"}, "positive") for n, text in enumerate(texts)]
