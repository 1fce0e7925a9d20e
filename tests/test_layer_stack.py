"""Leaving the lower layers out of the training passes changes nothing but their cost."""

from pathlib import Path

import pytest
import tiny
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from autoprompt.candidate import Settings
from autoprompt.corpus import Corpus
from autoprompt.models import LanguageModel, load_model
from autoprompt.models.base import Delta
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


@pytest.fixture(params=sorted(SIZES))
def deep_model(request: pytest.FixtureRequest, tmp_path: Path) -> LanguageModel:
    tokenizer = tiny.byte_level(None)
    sizes = {"hidden_size": 32, "num_hidden_layers": 5, "num_attention_heads": 4, "vocab_size": len(tokenizer)}
    config = AutoConfig.for_model(request.param, **sizes, **SIZES[request.param], bos_token_id=1, eos_token_id=2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():
            parameter.data.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return load_model(tmp_path)


def _tuned(model: LanguageModel, corpus: Corpus, words: dict[str, str], template: Template) -> Delta:
    prompted = model.prompt(tiny.prompt_of(template, LabelWords.of(words, tiny.LABELS), "tail"), corpus.train)
    return model.tune(prompted, tiny.gold(corpus.train), SETTINGS, 1)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{text}\nSentiment: {label}", tiny.WORDS),
        ("{text}\nSentiment: {label}", {"positive": "good and warm", "negative": "bad"}),
        ("{label} is what I say of {text}", tiny.WORDS),
    ],
)
def test_a_fine_tune_is_the_same_without_them(
    deep_model: LanguageModel, corpus: Corpus, template: str, words: dict[str, str]
) -> None:
    layers = deep_model.layers  # type: ignore[attr-defined]
    assert layers.replayable
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


def test_a_model_of_one_layer_is_tuned_whole(tmp_path: Path, corpus: Corpus) -> None:
    tokenizer = tiny.byte_level(None)
    config = AutoConfig.for_model("gpt2", n_embd=32, n_layer=1, n_head=4, vocab_size=len(tokenizer))
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = load_model(tmp_path)
    assert not model.layers.replayable  # type: ignore[attr-defined]
    delta = _tuned(model, corpus, tiny.WORDS, TEMPLATE)
    assert any(float(values.abs().max()) > 0 for name, values in delta.items() if "lora_B" in name)
