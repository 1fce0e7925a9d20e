"""The contract of every model family in every tuning mode: scores, fine-tunes, gradients, vectors, written texts."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_families
import torch
from plain import Plain, parts_of
from torch import Tensor

from autoprompt.candidate import Candidate, Demo, Settings
from autoprompt.corpus import Corpus, Example
from autoprompt.errors import InputError, UsageError
from autoprompt.models import FitFailedError, load_model, locate_model
from autoprompt.models.gradients import over_rows
from autoprompt.template import LabelWords, Literal, Template

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
}
"""No ``none`` for a head that knows nothing; no ``bias`` where a model has none."""
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

names = pytest.mark.parametrize("name", sorted(FAMILY))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of each model, made on first use."""
    root = tmp_path_factory.mktemp("families")
    return cache(lambda name: tiny_families.save(name, root / name))


@pytest.fixture(scope="session")
def fresh(folder: Callable[[str], Path]) -> Callable[..., Any]:
    """A model that nothing has touched."""

    def load(name: str, **options: Any) -> Any:
        return load_model(folder(name), **{"labels": tiny.LABELS, "max_length": 64} | options)

    return load


@pytest.fixture(scope="session")
def shared(fresh: Callable[..., Any]) -> Callable[[str], Any]:
    """One resident model of each name, which all tests use one after the other."""
    return cache(fresh)


@pytest.fixture(scope="session")
def plain(folder: Callable[[str], Path], shared: Callable[[str], Any]) -> Callable[[str], Plain]:
    """transformers alone; a head that the checkpoint lacks is the resident model's."""

    @cache
    def load(name: str) -> Plain:
        made = Plain.of(FAMILY[name], folder(name))
        if name in CLASSIFIERS:
            model = shared(name)
            made.columns = (1, 0) if "none" in MODES[name] else (0, 1)
            if "none" not in MODES[name]:
                made.network = type(made.network).from_pretrained(
                    folder(name), num_labels=2, ignore_mismatched_sizes=True, dtype=torch.float32
                ).eval()  # fmt: skip
                own = dict(model.model.named_parameters())
                made.network.load_state_dict({n: own[n].detach() for n in model.head.names}, strict=False)
                made.network.config.pad_token_id = model.pad
        return made

    return load


def _words(name: str, words: LabelWords = WORDS) -> LabelWords:
    return LabelWords(()) if name in CLASSIFIERS else words


def _candidate(
    name: str, mode: str = "none", source: str = TEMPLATES["end"], words: LabelWords = WORDS, demos: Sequence[Demo] = ()
) -> Candidate:
    settings = SETTINGS[mode] if mode != "none" else Settings("none")
    return Candidate(Template.parse(source), _words(name, words), settings, tuple(demos))


def _weights(model: Any) -> dict[str, Tensor]:
    return {n.replace(".base_layer", ""): v.clone() for n, v in model.model.state_dict().items() if "lora_" not in n}


def _same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def _few(corpus: Corpus) -> tuple[Example, ...]:
    return corpus.train[:ROWS]


def _loss(scores: Tensor, rows: Sequence[Example]) -> float:
    return float(torch.nn.functional.nll_loss(scores, torch.tensor(tiny.gold(tuple(rows)))))


# (a) Which family a checkpoint is of


@names
def test_the_family_is_what_the_checkpoint_was_saved_as(
    folder: Callable[[str], Path], shared: Callable[[str], Any], name: str
) -> None:
    assert locate_model(str(folder(name))).family == FAMILY[name]
    assert shared(name).family == FAMILY[name]
    assert set(shared(name).tuning_modes) == set(MODES[name])
    assert len(shared(name).tuning_modes) == len(MODES[name])


# (b) Scores


@torch.no_grad()
def _expected(made: Plain, source: str, rows: Sequence[Example], words: LabelWords, demos: str = "") -> Tensor:
    template = Template.parse(source)
    scores = [made.row(parts_of(template, dict(row.fields), demos), words.words)[0] for row in rows]
    return torch.stack(scores).log_softmax(-1)


def _rows() -> list[Example]:
    texts = ["The soup was a joy from start to end.", "x", "The lamp is lovely and well made. " * 2, "it was goo"]
    return [Example(f"r{n}", {"text": text, "title": f"the {n} lamp"}, "positive") for n, text in enumerate(texts)]


@names
@pytest.mark.parametrize("place", sorted(TEMPLATES))
def test_scores_are_those_of_plain_passes(
    shared: Callable[[str], Any], plain: Callable[[str], Plain], name: str, place: str
) -> None:
    model, rows = shared(name), _rows()
    for words in (WORDS, LONG_WORDS) if name not in CLASSIFIERS else (WORDS,):
        candidate = _candidate(name, "none", TEMPLATES[place], words)
        model.check(candidate)
        scores = model.score(model.prompt(candidate, rows))
        torch.testing.assert_close(scores, _expected(plain(name), TEMPLATES[place], rows, words), rtol=0, atol=1e-4)


# (c) Fine-tuning


def _tune(model: Any, name: str, mode: str, rows: Sequence[Example], seed: int = 1, **change: Any) -> Any:
    prompted = model.prompt(_candidate(name, mode), rows)
    return model.tune(prompted, tiny.gold(tuple(rows)), SETTINGS[mode].change(**change), seed)


@pytest.fixture(scope="session")
def deltas(fresh: Callable[..., Any], corpus: Corpus) -> Callable[[str, str], Any]:
    """What a model that nothing has touched learns in each mode."""
    return cache(lambda name, mode: _tune(fresh(name), name, mode, _few(corpus)))


@pytest.mark.parametrize(("name", "mode"), TRAINED)
def test_tuning_learns_and_leaves_no_trace(
    shared: Callable[[str], Any], deltas: Callable[[str, str], Any], corpus: Corpus, name: str, mode: str
) -> None:
    """Also that a delta is the same bits on a model that has been tuned in other modes before."""
    model, rows = shared(name), _few(corpus)
    prompted = model.prompt(_candidate(name, mode), rows)
    weights, before = _weights(model), model.score(prompted)
    delta = _tune(model, name, mode, rows)
    with model.adapted(SETTINGS[mode], delta):
        tuned = model.score(prompted)
    assert _loss(tuned, rows) < _loss(before, rows) - 0.01
    assert torch.equal(before, model.score(prompted))
    assert _same(weights, _weights(model))
    assert not any(parameter.requires_grad for parameter in model.model.parameters())
    assert _same(delta, deltas(name, mode))
    assert model.micro_batch == 6


@pytest.mark.parametrize(("name", "mode"), TRAINED)
def test_a_delta_reproduces_in_another_process(
    shared: Callable[[str], Any],
    fresh: Callable[..., Any],
    deltas: Callable[[str, str], Any],
    corpus: Corpus,
    name: str,
    mode: str,
) -> None:
    here, there = shared(name), fresh(name)
    scores = []
    for model in (here, there):
        prompted = model.prompt(_candidate(name, mode), corpus.validation)
        with model.adapted(SETTINGS[mode], deltas(name, mode)):
            scores.append(model.score(prompted))
    assert torch.equal(*scores)
    assert not _same(deltas(name, mode), _tune(there, name, mode, _few(corpus), seed=2))


@pytest.mark.parametrize(("name", "mode"), TRAINED)
def test_fault_23_an_absurd_learning_rate_fails_and_harms_nothing(
    shared: Callable[[str], Any], corpus: Corpus, name: str, mode: str
) -> None:
    model, rows = shared(name), _few(corpus)
    prompted = model.prompt(_candidate(name, mode), rows)
    weights, before = _weights(model), model.score(prompted)
    with pytest.raises(FitFailedError, match="finite|training loss is (nan|inf)"):
        _tune(model, name, mode, rows, learning_rate=3e38)
    assert torch.equal(before, model.score(prompted))
    assert _same(weights, _weights(model))


@names
def test_modes_one_after_the_other_are_as_on_a_fresh_model(
    shared: Callable[[str], Any], deltas: Callable[[str, str], Any], corpus: Corpus, name: str
) -> None:
    model = shared(name)
    modes = [mode for mode in MODES[name] if mode != "none"]
    for mode in (*reversed(modes), *modes):
        if mode in ("tail", "lora"):
            _tune(model, name, mode, _few(corpus), rank=2)
    for mode in reversed(modes):
        assert _same(deltas(name, mode), _tune(model, name, mode, _few(corpus)))


@names
def test_other_modes_are_refused(shared: Callable[[str], Any], corpus: Corpus, name: str) -> None:
    model, rows = shared(name), _few(corpus)
    for mode in set(SETTINGS) - set(MODES[name]):
        prompted = model.prompt(_candidate(name, "full"), rows)
        with pytest.raises(UsageError, match=f"cannot be tuned with '{mode}'"):
            model.tune(prompted, tiny.gold(rows), SETTINGS[mode], 0)
