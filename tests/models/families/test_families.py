"""The contract of every model family in every tuning mode: scores, fine-tunes, token gradients."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import contract
import pytest
import tiny
import torch
from contract import FAMILY, LONG_WORDS, MODES, SETTINGS, TEMPLATES, TRAINED, WORDS
from plain import Plain, parts_of
from torch import Tensor

from autoprompt.candidate import Candidate
from autoprompt.corpus import Corpus, Example
from autoprompt.errors import UsageError
from autoprompt.models import CandidateFailedError, locate_model, propose_tokens
from autoprompt.models.families import registry
from autoprompt.models.families.registry import family_of
from autoprompt.models.token_gradients import literal_gradients
from autoprompt.template import LabelWords, Template

names = pytest.mark.parametrize("name", contract.models(sorted(FAMILY)))


# (a) Which family a checkpoint is of


@names
def test_the_family_is_what_the_checkpoint_was_saved_as(
    family_folder: Callable[[str], Path], shared: Callable[[str], Any], name: str
) -> None:
    assert locate_model(str(family_folder(name))).family == FAMILY[name]
    assert shared(name).family == FAMILY[name]
    assert set(shared(name).tuning_modes) == set(MODES[name])
    assert len(shared(name).tuning_modes) == len(MODES[name])


@pytest.mark.parametrize(
    ("config", "family"),
    [
        ({"model_type": "bert", "architectures": ["BertModel"]}, "classifier"),
        ({"model_type": "mpnet", "architectures": ["MPNetModel"]}, "classifier"),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "masked"),
        ({"model_type": "bert"}, "masked"),
        ({"model_type": "bert", "architectures": ["BertForSequenceClassification"]}, "classifier"),
        ({"model_type": "bert", "architectures": ["BertLMHeadModel"], "is_decoder": True}, "causal"),
        ({"model_type": "electra", "architectures": ["ElectraForPreTraining"]}, "classifier"),
        ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True}, "seq2seq"),
        ({"model_type": "t5", "architectures": ["T5Model"], "is_encoder_decoder": True}, "seq2seq"),
        ({"model_type": "bart", "architectures": ["BartModel"], "is_encoder_decoder": True}, "seq2seq"),
        (
            {"model_type": "bart", "architectures": ["BartForSequenceClassification"], "is_encoder_decoder": True},
            "classifier",
        ),
        ({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}, "causal"),
        ({"model_type": "gpt2", "architectures": ["GPT2Model"]}, "causal"),
        ({"model_type": "llama", "architectures": ["LlamaForSequenceClassification"]}, "classifier"),
        ({"model_type": "vit", "architectures": ["ViTForImageClassification"]}, None),
        (
            {"model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"], "is_encoder_decoder": True},
            None,
        ),
        ({"model_type": "clip", "architectures": ["CLIPModel"]}, None),
        ({}, None),
    ],
)
def test_the_family_of_a_config(config: dict[str, Any], family: str | None) -> None:
    assert family_of(config) == family


@pytest.mark.parametrize("family", tuple(registry.FAMILIES))
def test_the_readmes_table_is_what_models_say_of_themselves(shared: Callable[[str], Any], family: str) -> None:
    """All modes of a row are some model's, and what a model of the family lacks stands under a condition."""
    meets: dict[str | None, Callable[[Any], bool]] = {
        None: lambda _: True,
        "where the checkpoint's head knows the data's labels": lambda model: not model.head.fresh,
        "where every layer keeps keys and values": lambda _: True,
        "where the model has biases": lambda model: any(
            n.endswith(".bias") for n, _ in model.model.named_parameters() if n not in model.tuner.parts.head
        ),
        "where the model is no encoder-decoder": lambda model: not model.model.config.is_encoder_decoder,
    }
    modes = registry.FAMILIES[family].modes
    models = [shared(name) for name in FAMILY if FAMILY[name] == family]
    assert {mode for model in models for mode in model.tuning_modes} == set(modes)
    for model in models:
        assert set(model.tuning_modes) == {m for m in modes if meets[registry.FAMILIES[family].condition(m)](model)}


# (b) Scores


@torch.no_grad()
def _expected(made: Plain, source: str, rows: Sequence[Example], words: LabelWords, demos: str = "") -> Tensor:
    template = Template.parse(source)
    scores = [made.row(parts_of(template, dict(row.fields), demos), words.words)[0] for row in rows]
    return torch.stack(scores).log_softmax(-1)


@names
@pytest.mark.parametrize("place", sorted(TEMPLATES))
def test_scores_are_those_of_plain_passes(
    shared: Callable[[str], Any], plain: Callable[[str], Plain], name: str, place: str
) -> None:
    model, rows = shared(name), contract.rows()
    for words in (WORDS, LONG_WORDS) if FAMILY[name] != "classifier" else (WORDS,):
        candidate = contract.candidate(name, "none", TEMPLATES[place], words)
        model.check(candidate)
        scores = model.score(model.prompt(candidate, rows))
        torch.testing.assert_close(scores, _expected(plain(name), TEMPLATES[place], rows, words), rtol=0, atol=1e-4)


# (c) Fine-tuning


def _tune(model: Any, name: str, mode: str, rows: Sequence[Example], seed: int = 1, **change: Any) -> Any:
    prompted = model.prompt(contract.candidate(name, mode), rows)
    return model.tune(prompted, tiny.gold(tuple(rows)), SETTINGS[mode].change(**change), seed)


@pytest.fixture(scope="session")
def deltas(fresh: Callable[..., Any], corpus: Corpus) -> Callable[[str, str], Any]:
    """What a model that nothing has touched learns in each mode."""
    return cache(lambda name, mode: _tune(fresh(name), name, mode, contract.few(corpus)))


@pytest.mark.parametrize(("name", "mode"), contract.models(TRAINED))
def test_tuning_learns_and_leaves_no_trace(
    shared: Callable[[str], Any], deltas: Callable[[str, str], Any], corpus: Corpus, name: str, mode: str
) -> None:
    """Also that a delta is the same bits on a model that has been tuned in other modes before."""
    model, rows = shared(name), contract.few(corpus)
    prompted = model.prompt(contract.candidate(name, mode), rows)
    weights, before = contract.weights(model), model.score(prompted)
    delta = _tune(model, name, mode, rows)
    with model.adapted(SETTINGS[mode], delta):
        tuned = model.score(prompted)
    assert contract.loss(tuned, rows) < contract.loss(before, rows) - 0.01
    assert torch.equal(before, model.score(prompted))
    assert contract.same(weights, contract.weights(model))
    assert not any(parameter.requires_grad for parameter in model.model.parameters())
    assert contract.same(delta, deltas(name, mode))
    assert model.micro_batch is None


@pytest.mark.parametrize(("name", "mode"), contract.models(TRAINED))
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
        prompted = model.prompt(contract.candidate(name, mode), corpus.validation)
        with model.adapted(SETTINGS[mode], deltas(name, mode)):
            scores.append(model.score(prompted))
    assert torch.equal(*scores)
    assert not contract.same(deltas(name, mode), _tune(there, name, mode, contract.few(corpus), seed=2))


@pytest.mark.parametrize(("name", "mode"), contract.models(TRAINED))
def test_fault_23_an_absurd_learning_rate_fails_and_harms_nothing(
    shared: Callable[[str], Any], corpus: Corpus, name: str, mode: str
) -> None:
    model, rows = shared(name), contract.few(corpus)
    prompted = model.prompt(contract.candidate(name, mode), rows)
    weights, before = contract.weights(model), model.score(prompted)
    with pytest.raises(CandidateFailedError, match=r"finite|training loss is (nan|inf)"):
        _tune(model, name, mode, rows, learning_rate=3e38)
    assert torch.equal(before, model.score(prompted))
    assert contract.same(weights, contract.weights(model))


@names
def test_modes_one_after_the_other_are_as_on_a_fresh_model(
    shared: Callable[[str], Any], deltas: Callable[[str, str], Any], corpus: Corpus, name: str
) -> None:
    model = shared(name)
    modes = [mode for mode in MODES[name] if mode != "none"]
    for mode in (*reversed(modes), *modes):
        if mode in ("tail", "lora"):
            _tune(model, name, mode, contract.few(corpus), rank=2)
    for mode in reversed(modes):
        assert contract.same(deltas(name, mode), _tune(model, name, mode, contract.few(corpus)))


@names
def test_other_modes_are_refused(shared: Callable[[str], Any], corpus: Corpus, name: str) -> None:
    model, rows = shared(name), contract.few(corpus)
    for mode in set(SETTINGS) - set(MODES[name]):
        prompted = model.prompt(contract.candidate(name, "full"), rows)
        with pytest.raises(UsageError, match=f"cannot be tuned with '{mode}'"):
            model.tune(prompted, tiny.gold(rows), SETTINGS[mode], 0)


# (d) Token gradients

STEP = 5e-4
"""Some networks compute their norms in float32 whatever the weights are: a smaller step drowns in that."""
GRADIENT_SOURCES = ("{text}\nSentiment: {label}", "Review: {text} It was {label} . The end")


def _loss_of(rows: Sequence[Example], dtype: torch.dtype = torch.float32) -> Callable[[Tensor, Tensor], Tensor]:
    """Cross-entropy over the labels and something of the hidden state; of a classifier that alone."""
    gold = torch.tensor(tiny.gold(tuple(rows)))

    def loss(hidden: Tensor, scores: Tensor) -> Tensor:
        judged = torch.nn.functional.cross_entropy(scores.cpu(), gold) if scores.shape[1] else 0.0
        return judged + (hidden.cpu()[:, :3] * torch.tensor([0.3, -0.2, 0.1], dtype=dtype)).sum(1).mean()

    return loss


def _double(made: Plain) -> Plain:
    vectors = made.vectors.double() if made.vectors is not None else None
    return replace(made, network=copy.deepcopy(made.network).double(), vectors=vectors)


@torch.no_grad()
def _moved(
    made: Plain, candidate: Candidate, rows: Sequence[Example], at: Callable[[int, int], Tensor | None]
) -> float:
    """The loss of plain passes where ``at(row, label)`` is added to the embeddings."""
    hidden, scores = [], []
    words = candidate.label_words.words
    for number, row in enumerate(rows):
        parts = parts_of(candidate.template, dict(row.fields))
        made.stand_in = words[0] if words else ""
        found = []
        for label, word in enumerate(words or ("",)):
            moved = at(number, label)

            def change(embeds: Tensor, moved: Tensor | None = moved) -> Tensor:
                return embeds if moved is None else embeds + moved

            found.append(made.score(parts, word, change=change) if words else made.logits(parts, change))
        hidden.append(found[0][1])
        scores.append(torch.stack([score for score, _ in found]) if words else found[0][0][:0])
    return float(_loss_of(rows, torch.float64)(torch.stack(hidden), torch.stack(scores)))


@pytest.mark.parametrize("name", contract.models(sorted(set(FAMILY) - {"bart-head"})))  # it takes no embeddings
@pytest.mark.parametrize("source", GRADIENT_SOURCES)
def test_gradients_are_those_of_the_loss(
    shared: Callable[[str], Any], plain: Callable[[str], Plain], corpus: Corpus, name: str, source: str
) -> None:
    model, rows = shared(name), corpus.train[:3]
    made = _double(plain(name))
    candidate = contract.candidate(name, "full", source, LONG_WORDS)
    prompted = model.prompt(candidate, rows)
    places = [model.literal_places(candidate, row, own) for row, own in zip(rows, prompted.rows, strict=True)]
    gradient = literal_gradients(model, prompted, places, range(len(rows)), _loss_of(rows))
    assert gradient.shape == (len(places[0][0]), 32)
    assert len(places[0][0]) >= 2
    generator = torch.Generator().manual_seed(0)
    for number in range(0, len(gradient), 2):
        literal = places[0][0][number][1]
        step = torch.randn(32, generator=generator).double()

        def at(row: int, label: int, literal: Any = literal, step: Tensor = step, sign: float = 1.0) -> Tensor:
            encoded = prompted.rows[row]
            own = encoded.targets[label].input if encoded.targets else 0
            length = len(encoded.context or encoded.inputs[own]) + (model.family == "causal")
            moved = torch.zeros(length, 32, dtype=torch.float64)
            for index, token in places[row][own]:
                if (token.segment, token.start) == (literal.segment, literal.start):
                    moved[index] += sign * STEP * step
            return moved

        up = _moved(made, candidate, rows, at)
        down = _moved(made, candidate, rows, lambda row, label, at=at: at(row, label, sign=-1.0))
        assert float(gradient[number].double() @ step) == pytest.approx((up - down) / (2 * STEP), rel=5e-3, abs=2e-3)


def _literal_tokens(model: Any, candidate: Candidate, row: Example) -> tuple[tuple[int, ...], list[Any]]:
    answers = [own[:1] for own in model.encoder.answers(candidate, [row])]
    ((rendered,),) = model.encoder.render(candidate, [row], answers, closing_tokens=True)
    return rendered.ids, rendered.literals(after_answer=True)


@names
@pytest.mark.parametrize("source", GRADIENT_SOURCES)
def test_every_proposal_is_text_that_tokenises_back(
    shared: Callable[[str], Any], corpus: Corpus, name: str, source: str
) -> None:
    model, rows = shared(name), corpus.train[:6]
    candidate = contract.candidate(name, "none", source)
    proposals = propose_tokens(model, candidate, rows, _loss_of(rows), replacements=6, infills=6)
    assert 0 < len(proposals.replacements) <= 6
    assert bool(proposals.infills) == (model.family in ("causal", "masked"))
    values = [value for _, value in proposals.replacements]
    assert values == sorted(values)
    assert all(value <= 0 for _, value in proposals.infills)
    for child, _ in [*proposals.replacements, *proposals.infills]:
        assert child != candidate.template
        assert child.slots == candidate.template.slots
        assert Template.parse(child.format()) == child
        written = replace(candidate, template=child)
        model.check(written)
        assert any(_one_token_differs(model, candidate, written, row) for row in rows)
        for word in (*candidate.label_words.words, *candidate.label_words.labels):
            assert word not in " ".join(child.literals).lower().split()
    assert propose_tokens(model, candidate, rows, _loss_of(rows), replacements=6, infills=6) == proposals


def _one_token_differs(model: Any, old: Candidate, new: Candidate, row: Example) -> bool:
    """Whether one literal token of the child is new, put in or in place of some text of its segment."""
    _, tokens = _literal_tokens(model, new, row)
    changed = [
        (number, a, b)
        for number, (a, b) in enumerate(zip(old.template.segments, new.template.segments, strict=True))
        if a != b
    ]
    ((number, before, after),) = changed
    return any(
        token.segment == number
        and before.text.startswith(after.text[: token.start].rstrip())
        and before.text.endswith(after.text[token.end :].lstrip())
        for token in tokens
    )


@torch.no_grad()
@pytest.mark.parametrize("name", contract.models(n for n, family in FAMILY.items() if family == "masked"))
def test_infills_of_a_masked_model_are_what_it_expects_there(
    shared: Callable[[str], Any], plain: Callable[[str], Plain], corpus: Corpus, name: str
) -> None:
    """Each literal token masked in turn beside the answer's mask: the infill's value is its mean log-probability."""
    model, made, rows = shared(name), plain(name), corpus.train[:3]
    candidate = contract.candidate(name, "none", "Review: {text} It was {label} . The end")
    prompted = model.prompt(candidate, rows)
    places = [model.literal_places(candidate, row, own)[0] for row, own in zip(rows, prompted.rows, strict=True)]
    likelihoods = model.likelihoods(candidate, rows, prompted, places)
    for number in range(len(places[0])):
        total = torch.zeros(likelihoods.shape[1])
        for row, found in zip(prompted.rows, places, strict=True):
            ids = list(row.inputs[0])
            ids[found[number][0]] = made.tokenizer.mask_token_id
            total += made.network(**made.read(ids)).logits[0, found[number][0]].log_softmax(-1)
        torch.testing.assert_close(likelihoods[number], total / len(rows), rtol=0, atol=1e-3)


@names
def test_a_template_without_literal_text_has_no_proposals(
    shared: Callable[[str], Any], corpus: Corpus, name: str
) -> None:
    proposals = propose_tokens(
        shared(name),
        contract.candidate(name, "none", "{text}{label}"),
        corpus.train[:4],
        _loss_of(corpus.train[:4]),
        replacements=4,
        infills=4,
    )
    assert (proposals.replacements, proposals.infills) == ([], [])


@pytest.mark.parametrize("name", contract.models(sorted(n for n, family in FAMILY.items() if family != "classifier")))
def test_word_tokens_are_what_a_word_is_predicted_as(shared: Callable[[str], Any], corpus: Corpus, name: str) -> None:
    model = shared(name)
    found = sorted(model.word_tokens().items())
    assert len(found) >= 5
    for (token, word), (other, another) in zip(found[::3], found[1::3], strict=False):
        words = LabelWords((("positive", word), ("negative", another)))
        (row,) = model.prompt(contract.candidate(name, words=words), corpus.train[:1]).rows
        assert [target.ids for target in row.targets] == [(token,), (other,)]
