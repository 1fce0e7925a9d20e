"""Leaving the lower layers out of the training passes changes nothing but their cost."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import contract
import pytest
import tiny
import tiny_families
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, T5Config, T5EncoderModel

from autoprompt.candidate import Settings
from autoprompt.corpus import Corpus
from autoprompt.models import LanguageModel, load_model
from autoprompt.models.acceleration.layer_replay import LayerStack
from autoprompt.models.types import Delta
from autoprompt.template import LabelWords, Template

SIZES = {
    "llama": {"num_key_value_heads": 2, "intermediate_size": 64},
    "gemma2": {"num_key_value_heads": 2, "intermediate_size": 64, "head_dim": 8},
    "gpt2": {"n_positions": 256},
    "gpt_neox": {"intermediate_size": 64},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 16},
    "bloom": {},
    "gptj": {"rotary_dim": 4, "n_positions": 256},
}
"""Positions in the input, in every layer or in the attention; layers that return a tensor or a tuple."""
SETTINGS = Settings("tail", 5e-3, 8, 2, 4)
TEMPLATE = Template.parse("{text}\nSentiment: {label}")


def _save(folder: Path, kind: Any, config: Any, tokenizer: Any) -> None:
    """A model whose layers differ, with weights far enough from zero to tell."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind.from_config(config)
        for parameter in model.parameters():
            parameter.data.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


FURTHER = ("gemma2", "gpt_neox", "gptj", "deberta-v2", "bert")
"""Networks of which another one hands on its positions and its layers' values alike: left to the slow tests."""


def kinds(names: Iterable[str]) -> list[Any]:
    """Parameters, of which the further ones are slow."""
    return [pytest.param(n, marks=pytest.mark.slow) if n in FURTHER else n for n in sorted(names)]


@pytest.fixture(params=kinds(SIZES))
def deep_model(request: pytest.FixtureRequest, tmp_path: Path) -> LanguageModel:
    tokenizer = tiny.byte_level(None)
    sizes = {"hidden_size": 32, "num_hidden_layers": 5, "num_attention_heads": 4, "vocab_size": len(tokenizer)}
    config = AutoConfig.for_model(request.param, **sizes, **SIZES[request.param], bos_token_id=1, eos_token_id=2)
    _save(tmp_path, AutoModelForCausalLM, config, tokenizer)
    return load_model(tmp_path)


def _tuned(model: LanguageModel, corpus: Corpus, words: dict[str, str], template: Template) -> Delta:
    prompted = model.prompt(tiny.prompt_of(template, LabelWords.of(words, tiny.LABELS), "tail"), corpus.train)
    return model.tune(prompted, tiny.gold(corpus.train), SETTINGS, 1)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{text}\nSentiment: {label}", tiny.WORDS),
        pytest.param(
            "{text}\nSentiment: {label}", {"positive": "good and warm", "negative": "bad"}, marks=pytest.mark.slow
        ),
        ("{label} is what I say of {text}", tiny.WORDS),
    ],
)
def test_a_fine_tune_is_the_same_without_them(
    deep_model: LanguageModel, corpus: Corpus, template: str, words: dict[str, str]
) -> None:
    layers = deep_model.layers  # type: ignore[attr-defined]
    assert layers.replayable
    assert deep_model.frozen_layers(SETTINGS) == 2  # type: ignore[attr-defined]
    quick = _tuned(deep_model, corpus, words, Template.parse(template))
    layers.replayable = False
    slow = _tuned(deep_model, corpus, words, Template.parse(template))
    assert quick.keys() == slow.keys()
    assert any(float(values.abs().max()) > 0 for name, values in quick.items() if "lora_B" in name)
    assert all(torch.allclose(quick[name], slow[name], atol=2e-3) for name in quick)


def test_adapters_sit_in_the_upper_layers(deep_model: LanguageModel, corpus: Corpus) -> None:
    delta = _tuned(deep_model, corpus, tiny.WORDS, TEMPLATE)
    lower, upper = deep_model.layers.lower, deep_model.layers.upper  # type: ignore[attr-defined]
    assert (len(lower), len(upper)) == (2, 3)
    tuned = sum(p.numel() for layer in upper for name, p in layer.named_parameters() if "lora_" in name)
    assert tuned == sum(values.numel() for values in delta.values()) > 0
    assert not any("lora_" in name for layer in lower for name, _ in layer.named_parameters())


def test_a_pass_is_whole_again_afterwards(deep_model: LanguageModel, corpus: Corpus) -> None:
    prompted = deep_model.prompt(
        tiny.prompt_of(TEMPLATE, LabelWords.of(tiny.WORDS, tiny.LABELS), "tail"), corpus.validation
    )
    before = deep_model.score(prompted)
    _tuned(deep_model, corpus, tiny.WORDS, TEMPLATE)
    assert torch.equal(before, deep_model.score(prompted))


def test_a_model_that_counts_columns_keeps_no_prefixes(tmp_path: Path, corpus: Corpus) -> None:
    """MPT's ALiBi knows no positions: beside a longer prefix a row would get other scores."""
    tokenizer = tiny.byte_level(None)
    config = AutoConfig.for_model("mpt", d_model=32, n_layers=2, n_heads=4, vocab_size=len(tokenizer), max_seq_len=256)
    _save(tmp_path, AutoModelForCausalLM, config, tokenizer)
    loaded = load_model(tmp_path)
    assert "tail" not in loaded.tuning_modes
    assert "lora" in loaded.tuning_modes
    candidate = tiny.prompt_of(TEMPLATE, LabelWords.of(tiny.WORDS, tiny.LABELS), "none")
    rows = sorted(corpus.validation, key=lambda row: len(str(row.fields)))
    beside = loaded.score(loaded.prompt(candidate, [rows[0], rows[-1]]))[0]
    torch.testing.assert_close(beside, loaded.score(loaded.prompt(candidate, rows[:1]))[0], rtol=0, atol=1e-4)


def test_a_model_of_one_layer_is_tuned_whole(tmp_path: Path, corpus: Corpus) -> None:
    tokenizer = tiny.byte_level(None)
    config = AutoConfig.for_model("gpt2", n_embd=32, n_layer=1, n_head=4, vocab_size=len(tokenizer))
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = load_model(tmp_path)
    assert model.frozen_layers(SETTINGS) == 0  # type: ignore[attr-defined]
    delta = _tuned(model, corpus, tiny.WORDS, TEMPLATE)
    assert any(float(values.abs().max()) > 0 for name, values in delta.items() if "lora_B" in name)


_SIDES = {f"{side}_{name}": value for side in ("encoder", "decoder")
          for name, value in (("layers", 5), ("attention_heads", 4), ("ffn_dim", 64))}  # fmt: skip
_WIDTH = {"hidden_size": 32, "num_hidden_layers": 5, "num_attention_heads": 4, "intermediate_size": 64}
CLASSIFIERS = {
    "bert": (tiny_families.wordpiece, _WIDTH),
    "modernbert": (tiny_families.modern, _WIDTH | {"global_attn_every_n_layers": 2, "local_attention": 8}),
    "deberta-v2": (tiny_families.deberta, _WIDTH | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}),
    "llama": (lambda: tiny.byte_level("<s> $A"), _WIDTH | {"num_key_value_heads": 2}),
    "bart": (tiny_families.roberta, _SIDES | {"d_model": 32}),
    "longformer": (tiny_families.roberta, _WIDTH | {"attention_window": 8}),
}


@pytest.fixture(params=kinds(CLASSIFIERS))
def classifier(request: pytest.FixtureRequest, tmp_path: Path) -> LanguageModel:
    make, sizes = CLASSIFIERS[request.param]
    tokenizer = make()
    special = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = AutoConfig.for_model(request.param, vocab_size=len(tokenizer), **sizes, **special)
    _save(tmp_path, AutoModelForSequenceClassification, config, tokenizer)
    return load_model(tmp_path, labels=("a", "b"))


@pytest.mark.parametrize("mode", ["head", "lora"])
def test_a_classifiers_fine_tune_is_the_same_without_them(classifier: LanguageModel, corpus: Corpus, mode: str) -> None:
    settings = contract.SETTINGS[mode].change(epochs=2)
    prompted = classifier.prompt(contract.candidate("encoder", mode), corpus.train)
    padded = classifier.model.config.model_type == "longformer"  # its layers see padding that it adds by itself
    left_out = 0 if padded else {"head": 5, "lora": 2}[mode]
    assert classifier.frozen_layers(settings) == left_out  # type: ignore[attr-defined]
    before = classifier.score(prompted)
    quick = classifier.tune(prompted, tiny.gold(corpus.train), settings, 1)
    assert torch.equal(before, classifier.score(prompted))
    classifier.frozen_layers = lambda _: 0  # type: ignore[attr-defined]
    slow = classifier.tune(prompted, tiny.gold(corpus.train), settings, 1)
    assert quick.keys() == slow.keys()
    assert all(torch.allclose(quick[name], slow[name], atol=2e-3) for name in quick)


def test_a_classifiers_adapters_leave_the_lower_layers_alone(classifier: LanguageModel, corpus: Corpus) -> None:
    delta = classifier.tune(
        classifier.prompt(contract.candidate("encoder", "lora"), corpus.train),
        tiny.gold(corpus.train), contract.SETTINGS["lora"].change(epochs=1), 1,
    )  # fmt: skip
    layers = classifier.layers  # type: ignore[attr-defined]
    assert (len(layers.lower), len(layers.upper)) == (2, 3)
    assert not any("lora_" in name for layer in layers.lower for name, _ in layer.named_parameters())
    assert all(any("lora_" in name for name, _ in layer.named_parameters()) for layer in layers.upper)
    decoders = [name for name in delta if ".decoder." in name and "lora_" in name]
    assert bool(decoders) == bool(classifier.model.config.is_encoder_decoder)  # type: ignore[attr-defined]


class _Handing(nn.Module):
    """A layer that makes something for all layers where it gets nothing, as T5's first does its positions' bias."""

    def __init__(self, *, more: bool) -> None:
        super().__init__()
        self.more = more

    def forward(self, hidden: Tensor, made: Tensor | None) -> tuple[Tensor, Tensor]:
        made = hidden if made is None or not self.more else made
        return hidden * 2 + made, made


class _Stack(nn.Module):
    def __init__(self, *, more: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Handing(more=more) for _ in range(5))

    def forward(self, input_ids: Tensor) -> Tensor:
        hidden, made = input_ids[..., None].float(), None
        for layer in self.layers:
            hidden, made = layer(hidden, made)
        return hidden


@torch.no_grad()
@pytest.mark.parametrize("more", [False, True])
def test_layers_that_hand_on_more_than_hidden_states_are_never_left_out(more: bool) -> None:
    stack = LayerStack(_Stack(more=more), 5, torch.tensor([[3, 4, 5]]))
    assert stack.replayable == (not more)
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 5, "num_heads": 4}
    model = T5EncoderModel(T5Config(vocab_size=16, **sizes, initializer_factor=2.0)).eval()
    assert not LayerStack(model, 5, torch.tensor([[3, 4, 5]])).replayable
