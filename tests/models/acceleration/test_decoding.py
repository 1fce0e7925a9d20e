"""Texts that causal and encoder-decoder models write are those of transformers' own greedy decoding."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import contract
import pytest
import tiny
import torch
from contract import FAMILY, SETTINGS
from plain import Plain, parts_of
from transformers import AutoConfig, AutoModelForCausalLM

from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Example
from autoprompt.errors import InputError, UsageError
from autoprompt.models import load_model
from autoprompt.models.adaptation.tuning import SOFT_PARAMETER
from autoprompt.template import LabelWords, Template

WRITERS = [name for name, family in FAMILY.items() if family in ("causal", "seq2seq")]
SOURCES = {"causal": ("{text}\nTopic: {label}",), "seq2seq": ("{text}\nTopic: {label}", "{label} is what {text} is on")}
CASES = [(name, source) for name in WRITERS for source in SOURCES[FAMILY[name]]]
LENGTH = 7
COPIED = ("soup", "walk", "hotel", "lamp", "garden", "ferry")


def _candidate(source: str, mode: str) -> Candidate:
    settings = Settings("none") if mode == "none" else SETTINGS[mode]
    return Candidate(Template.parse(source), LabelWords(()), settings)


def _rows(count: int = 5) -> list[Example]:
    texts = [row["text"] for row in tiny.rows(0)]
    return [Example(f"r{n}", {"text": texts[n] * (1 + n % 3)}, "wonderful walk") for n in range(count)]


@torch.no_grad()
def _written(made: Plain, candidate: Candidate, row: Example) -> str:
    """One row alone, written by transformers."""
    parts = parts_of(candidate.template, dict(row.fields))
    if made.family == "causal":
        ids, places = made.ids(parts, "a", blanks=True)
        ids = ids[: places[0]]
        more: dict[str, Any] = {"pad_token_id": 0}
    else:
        ids, marked = made.context(parts, "a")
        opening = [made.network.config.decoder_start_token_id, *made.tokenizer("a")["input_ids"]]
        opening = opening[: 2 if made.tokenizer.cls_token else 1]
        sentinel = made.tokenizer.get_vocab().get("<extra_id_0>")
        opening += [sentinel] if marked and sentinel is not None else []
        more = {"decoder_input_ids": torch.tensor([opening]), "forced_eos_token_id": None}
    inputs = made.read(ids)
    (out,) = made.network.generate(
        **inputs, **more, attention_mask=torch.ones(1, len(ids), dtype=torch.long), do_sample=False, num_beams=1,
        max_new_tokens=LENGTH,
    )  # fmt: skip
    start = 0
    if "decoder_input_ids" in more:
        start = more["decoder_input_ids"].shape[1]
    elif "input_ids" in inputs:
        start = len(ids)
    return str(made.tokenizer.decode(_until_special(made, out[start:].tolist()), skip_special_tokens=True)).strip()


def _until_special(made: Plain, ids: list[int]) -> list[int]:
    if made.family == "causal":
        return ids
    special = set(made.tokenizer.all_special_ids)
    return ids[: next((i for i, token in enumerate(ids) if token in special), len(ids))]


@pytest.mark.parametrize(("name", "source"), contract.models(CASES))
@pytest.mark.parametrize("mode", ["none", "full"])
def test_texts_are_those_of_transformers(
    shared: Callable[[str], Any], plain: Callable[[str], Plain], name: str, source: str, mode: str
) -> None:
    """With a kept prefix (of a frozen causal model) and without."""
    model, candidate, rows = shared(name), _candidate(source, mode), _rows()
    model.check(candidate)
    asking = model.answer_prompt(candidate, rows)
    if FAMILY[name] == "causal":
        assert all((row.cached_tokens > 0) == (mode == "none") for row in asking.rows)
    before = model.tokens_processed
    texts = model.generate(asking, LENGTH)
    assert texts == [_written(plain(name), candidate, row) for row in rows]
    assert any(texts)
    assert model.tokens_processed - before >= asking.tokens
    other = [3, 0, 4, 2, 1]
    again = model.generate(model.answer_prompt(candidate, [rows[i] for i in other]), LENGTH)
    assert again == [texts[i] for i in other]
    assert [model.generate(model.answer_prompt(candidate, [row]), LENGTH)[0] for row in rows] == texts


@pytest.mark.parametrize("name", contract.models(WRITERS))
@pytest.mark.parametrize("source", ["{soft:3}{text} Topic: {label}", "{text} Topic:{soft:2} {label}"])
def test_texts_after_trainable_vectors(
    shared: Callable[[str], Any], plain: Callable[[str], Plain], name: str, source: str
) -> None:
    model, rows = shared(name), _rows()
    candidate = _candidate(source, "soft")
    vectors = torch.randn((candidate.template.soft, 32), generator=torch.Generator().manual_seed(4))
    asking = model.answer_prompt(candidate, rows)
    with model.adapted(candidate.settings, {SOFT_PARAMETER: vectors}):
        texts = model.generate(asking, LENGTH)
    made = replace(plain(name), vectors=vectors)
    assert texts == [_written(made, candidate, row) for row in rows]
    assert len(set(texts)) > 1


@pytest.mark.parametrize("name", contract.models(WRITERS))
@torch.no_grad()
def test_scores_of_target_texts_are_those_of_plain_passes(
    shared: Callable[[str], Any], plain: Callable[[str], Plain], name: str
) -> None:
    """The text's end is part of it."""
    model = shared(name)
    rows = [replace(row, label=f"{row.label} {n}") for n, row in enumerate(_rows())]
    for source in SOURCES[FAMILY[name]]:
        for mode in ("none", "full"):
            candidate = _candidate(source, mode)
            scores = model.score(model.prompt(candidate, rows))
            parts = [parts_of(candidate.template, dict(row.fields)) for row in rows]
            made = replace(plain(name), stand_in="a")
            expected = [made.score(own, row.label, end=True)[0] for own, row in zip(parts, rows, strict=True)]
            torch.testing.assert_close(scores[:, 0], torch.stack(expected), rtol=0, atol=1e-4)


def _copying() -> list[Example]:
    return [Example(f"c{n}", {"text": word}, word) for n, word in enumerate(COPIED)]


@pytest.mark.parametrize(("name", "source"), contract.models(CASES))
def test_a_model_tuned_to_copy_a_word_writes_it(fresh: Callable[..., Any], name: str, source: str) -> None:
    model, rows = fresh(name), _copying()
    candidate = _candidate(source, "full")
    settings = Settings("full", 3e-3, 6, 60)
    prompted, asking = model.prompt(candidate, rows), model.answer_prompt(candidate, rows)
    delta = model.tune(prompted, [0] * len(rows), settings, 1)
    length = model.target_length(rows)
    with model.adapted(settings, delta):
        assert model.generate(asking, length) == list(COPIED)
        assert float(model.score(prompted).exp().min()) > 0.4
    assert model.generate(asking, length) != list(COPIED)


@pytest.mark.parametrize("name", sorted(set(FAMILY) - set(WRITERS)))
def test_others_refuse_to_write(shared: Callable[[str], Any], name: str) -> None:
    model = shared(name)
    with pytest.raises(UsageError) as caught:
        model.answer_prompt(contract.candidate(name), _rows())
    assert str(caught.value) == (f"A {FAMILY[name]} model generates no text; use a causal or an encoder-decoder model.")
    if FAMILY[name] == "masked":
        with pytest.raises(InputError, match="A masked model generates no target texts"):
            model.check(_candidate("{text} {label}", "none"))


@pytest.mark.parametrize("name", contract.models(WRITERS))
def test_texts_after_prompts_that_fill_the_context(
    fresh: Callable[..., Any], plain: Callable[[str], Plain], name: str
) -> None:
    """Room is left for what is written, and writing ends with the model's places."""
    model: Any = fresh(name, max_length=4000)
    rows = [Example("a", {"text": "The soup was lovely. " * 400}, "x"), *_rows(1)]
    candidate = _candidate("{text}\nTopic: {label}", "none")
    asking = model.answer_prompt(candidate, rows)
    lengths = [row.cached_tokens + len(row.context or row.inputs[0]) for row in asking.rows]
    limit = model.encoder.limit
    assert lengths[0] <= (limit if FAMILY[name] == "seq2seq" else limit - limit // 4)
    whole = model.generate(asking, 2 * limit)
    assert whole[0]
    assert model.generate(asking, 3)[1] == model.generate(model.answer_prompt(candidate, rows[1:]), 3)[0]
    texts = model.generate(model.answer_prompt(candidate, rows[1:]), LENGTH)
    assert texts == [_written(plain(name), candidate, rows[1])]


def test_a_checkpoints_own_wishes_do_not_count(tmp_path: Path, family_folder: Callable[[str], Path]) -> None:
    """Beams and a least length are made for the checkpoint's own task."""
    for path in family_folder("bart").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    own = (tmp_path / "generation_config.json").read_text(encoding="utf-8")
    wishes = '{"num_beams": 4, "min_length": 30, "no_repeat_ngram_size": 1, '
    (tmp_path / "generation_config.json").write_text(wishes + own.strip()[1:], encoding="utf-8")
    candidate, rows = _candidate("{text}\nTopic: {label}", "none"), _rows()
    texts = []
    for folder in (family_folder("bart"), tmp_path):
        model: Any = load_model(folder)
        texts.append(model.generate(model.answer_prompt(candidate, rows), LENGTH))
    assert texts[0] == texts[1]


WITHOUT_KEYS: dict[str, dict[str, Any]] = {
    "mamba": {"num_hidden_layers": 2},
    # Layers without keys beside layers with them.
    "lfm2": {
        "num_hidden_layers": 3, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
        "layer_types": ["conv", "full_attention", "conv"], "block_multiple_of": 8,
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", WITHOUT_KEYS)
def test_a_model_without_keys_and_values_reads_everything_again(tmp_path: Path, kind: str) -> None:
    tokenizer = tiny.byte_level("<s> $A")
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), hidden_size=32, **WITHOUT_KEYS[kind])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = AutoModelForCausalLM.from_config(config)
        for parameter in network.parameters():
            parameter.data.add_(torch.randn_like(parameter) * 0.2)
    network.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model: Any = load_model(tmp_path)
    assert "tail" not in model.tuning_modes
    candidate, rows = _candidate("{text}\nTopic: {label}", "none"), _rows(2)
    texts = model.generate(model.answer_prompt(candidate, rows), LENGTH)
    assert texts == [_written(Plain.of("causal", tmp_path), candidate, row) for row in rows]


@pytest.mark.parametrize("name", contract.models(WRITERS))
def test_a_target_text_that_is_cut_has_no_end(fresh: Callable[..., Any], name: str) -> None:
    """A model that saw its sign of an end there would learn to stop in mid-sentence."""
    model = fresh(name, max_length=5, labels=())
    candidate = contract.candidate(name, "full", "{text} : {label}", LabelWords(()))
    end = model.encoder.tokenizer.eos_token_id
    rows = [
        Example("a", {"text": "x"}, "The soup was good"),
        Example("b", {"text": "x"}, "The soup was good all day " * 3),
    ]
    rows[0] = Example("a", {"text": "x"}, model.encoder.cut(rows[0].label, 2))
    ids = [row.targets[0].ids for row in model.prompt(candidate, rows).rows]
    assert [own[-1] == end for own in ids] == [True, False]
    assert len(ids[1]) >= 5
    assert torch.isfinite(model.score(model.prompt(candidate, rows))).all()
