"""The score is that of the whole rendered string, however much of it was computed before."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from autoprompt.errors import InputError
from autoprompt.models import LanguageModel, load_model
from autoprompt.models.families.causal import MIN_TAIL
from autoprompt.models.prompts.encoding import Encoder
from autoprompt.template import LabelWords, Literal, Slot, Template

FAMILY = ("llama", "gpt2", "llama-closed")
PIECES = (
    "\n", " ", "  ", "\t", ":", "", "Sentiment:", " It was", "\nIn one word, this is ", "Review: ", "{", "}}", "é",
    "</s>", "<s>", "The ", "goo", " 😀 ", "d and made us smile all day",
)  # fmt: skip
LITERAL = st.lists(st.sampled_from(PIECES), max_size=3).map("".join)
FIELD = st.one_of(
    st.sampled_from([row["text"] for row in tiny.rows(0)]),
    st.lists(st.sampled_from([*PIECES, "{text}", "{label}", "soup", "bad "]), min_size=1, max_size=5).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
).filter(bool)
WORD = st.sampled_from(["good", "bad", "wonderful", "not good at all", "x", "goodness", "très bien", "</s>", "d", "ba"])
WORDS = st.lists(WORD, min_size=2, max_size=4, unique=True)


@pytest.fixture(scope="module")
def plain(model_folders: dict[str, Path]) -> dict[str, tuple[Any, Any]]:
    """transformers alone, beside the project's own loading."""
    loaded = {}
    for name in FAMILY:
        network = AutoModelForCausalLM.from_pretrained(model_folders[name], dtype=torch.float32).eval()
        loaded[name] = (network, AutoTokenizer.from_pretrained(model_folders[name]))
    return loaded


class _NothingBeforeError(Exception):
    """The whole string is one token: no model foretells that."""


@torch.no_grad()
def _plain_score(network: Any, tokenizer: Any, before: str, word: str, after: str) -> float:
    """Mean log-probability of the tokens from the one that holds the word's first character to the end."""
    encoded = tokenizer(
        before + word + after,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        split_special_tokens=True,
    )
    ids, spans, added = encoded["input_ids"], encoded["offset_mapping"], encoded["special_tokens_mask"]
    while added[-1]:
        ids, spans, added = ids[:-1], spans[:-1], added[:-1]
    if len(ids) == 1:
        raise _NothingBeforeError
    start = next(i for i, (_, end) in enumerate(spans) if end > len(before))
    log_probs = network(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    return float(torch.stack([log_probs[i - 1, ids[i]] for i in range(max(start, 1), len(ids))]).mean())


def _check(
    model: LanguageModel, plain: tuple[Any, Any], parts: tuple[str, str, str, str], texts: list[str], words: list[str]
) -> None:
    opening, between, after, _ = parts
    labels = LabelWords(tuple((f"label{n}", word) for n, word in enumerate(words)))
    template = Template((Literal(opening), Slot("text"), Literal(between), Slot("label"), Literal(after)))
    rows = tiny.examples(*texts)
    try:
        scores = [[_plain_score(*plain, opening + text + between, word, after) for word in words] for text in texts]
    except _NothingBeforeError:
        with model.passing_prefixes(), pytest.raises(InputError, match="label words"):
            model.prompt(tiny.prompt_of(template, labels), rows)
        return
    expected = torch.tensor(scores).log_softmax(-1)
    with model.passing_prefixes():
        kept = model.score(model.prompt(tiny.prompt_of(template, labels), rows))
        again = model.score(model.prompt(tiny.prompt_of(template, labels, "full"), rows))
    torch.testing.assert_close(kept, expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(again, expected, rtol=0, atol=1e-4)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(FAMILY),
    parts=st.one_of(
        st.tuples(LITERAL, LITERAL, LITERAL, st.just("")),
        st.tuples(st.just(""), LITERAL, st.just(""), st.just("")),
        st.just(("", "", "", "null template")),
    ),
    texts=st.lists(FIELD, min_size=1, max_size=3),
    words=WORDS,
)
def test_scores_are_those_of_the_whole_string(
    cpu_models: dict[str, LanguageModel],
    plain: dict[str, tuple[Any, Any]],
    name: str,
    parts: tuple[str, str, str, str],
    texts: list[str],
    words: list[str],
) -> None:
    _check(cpu_models[name], plain[name], parts, texts, words)


@pytest.fixture(scope="module")
def cpu_models(model_folders: dict[str, Path]) -> dict[str, LanguageModel]:
    return {name: load_model(model_folders[name], device="cpu") for name in FAMILY}


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize(
    "parts",
    [
        ("", "", "", ""),
        ("", "\nSentiment: ", "", ""),
        ("Review: ", " ", "\n", ""),
        ("", " It was ", ". The end", ""),
        ("", " (", ")\n\n  ", ""),
        ("  ", "  ", "  ", ""),
        ("", "d and made us smile all day ", "", ""),  # "goo" and "d" merge far before the label
    ],
)
def test_named_templates(
    cpu_models: dict[str, LanguageModel], plain: dict[str, tuple[Any, Any]], name: str, parts: tuple[str, str, str, str]
) -> None:
    texts = [
        "The soup was a joy from start to end.",
        "x",
        "The lamp is lovely and well made. " * 3,
        "end ",
        "it was goo",
    ]
    _check(cpu_models[name], plain[name], parts, texts, ["good", "bad"])
    _check(cpu_models[name], plain[name], parts, texts, ["good", "not good at all", "bad"])


@pytest.mark.parametrize("name", FAMILY)
def test_features_hold_the_mean_log_probabilities(
    cpu_models: dict[str, LanguageModel], plain: dict[str, tuple[Any, Any]], name: str
) -> None:
    network, tokenizer = plain[name]
    texts = ["The soup was cold and bad.", "A walk"]
    for words in (["good", "bad"], ["good", "not good at all"]):
        labels = LabelWords(tuple((f"label{n}", word) for n, word in enumerate(words)))
        rows = tiny.examples(*texts)
        with cpu_models[name].passing_prefixes():
            features = cpu_models[name].features(
                cpu_models[name].prompt(tiny.prompt_of(Template.parse("{text} It was {label}"), labels), rows)
            )
        expected = [[_plain_score(network, tokenizer, f"{t} It was ", word, "") for word in words] for t in texts]
        torch.testing.assert_close(features.label_scores, torch.tensor(expected), rtol=0, atol=1e-4)
        assert features.hidden.shape == (2, 32)
        # The last hidden state at the predicted place is what the vocabulary's logits are made from.
        with torch.no_grad():
            logits = network.get_output_embeddings()(features.hidden)
        torch.testing.assert_close(features.vocabulary, logits, rtol=0, atol=1e-4)


def _encoder(model_folders: dict[str, Path], name: str, max_length: int = 128) -> Encoder:
    return Encoder(AutoTokenizer.from_pretrained(model_folders[name]), max_length)


@given(text=st.lists(st.sampled_from(["<s>", "</s>", "<unk>", "a", " "]), min_size=1, max_size=6).map("".join))
@settings(max_examples=40, deadline=None)
def test_special_tokens_spelled_in_the_data_stay_text(encoders: dict[str, Encoder], text: str) -> None:
    for encoder in encoders.values():
        (ids, spans), *_ = encoder.tokenize([text])
        added = int(ids[0] == encoder.tokenizer.bos_token_id)
        assert not set(ids[added:]) & set(encoder.tokenizer.all_special_ids)
        assert encoder.tokenizer.decode(ids[added:]) == text
        assert len(ids) == len(spans)


@pytest.fixture(scope="module")
def encoders(model_folders: dict[str, Path]) -> dict[str, Encoder]:
    return {name: _encoder(model_folders, name) for name in FAMILY}


@pytest.mark.parametrize("name", FAMILY)
def test_a_tail_has_some_positions_and_a_prefix_is_common_to_all_labels(
    cpu_models: dict[str, LanguageModel], name: str
) -> None:
    model: Any = cpu_models[name]
    labels = LabelWords((("a", "good"), ("b", "not good at all")))
    rows = tiny.examples("The soup was a joy from start to end.")
    tails = ("{text}{label}", "{text} {label}", "{text} It was {label}", "{text}\nIn one word, this is about: {label}")
    for template, (tuning, least) in itertools.product(
        map(Template.parse, tails), {"none": 1, "tail": MIN_TAIL}.items()
    ):
        (head,) = model.encoder.heads(tiny.prompt_of(template, labels), rows)
        with model.passing_prefixes():
            (row,) = model.prompt(tiny.prompt_of(template, labels, tuning), rows).rows
            (whole,) = model.prompt(tiny.prompt_of(template, labels, "full"), rows).rows
        assert whole.keep == 0
        assert 0 < row.keep <= len(head)
        assert {ids[: row.keep] for ids in whole.inputs} == {tuple(head[: row.keep])}
        assert [ids[row.keep :] for ids in whole.inputs] == list(row.inputs)
        assert min(target.places[0] + 1 for target in row.targets) >= least


@pytest.mark.parametrize("name", FAMILY)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_field_is_cut_to_a_beginning_of_its_tokens(encoders: dict[str, Encoder], name: str, text: str) -> None:
    encoder = Encoder(encoders[name].tokenizer, 8)
    (ids, _), *_ = encoder.tokenize([text], special=False)
    cut = encoder.cut(text)
    assert text.startswith(cut)
    assert (cut == text) or len(ids) > 8
    if len(ids) <= 8:
        assert cut == text
    else:
        (kept, _), *_ = encoder.tokenize([cut], special=False)
        assert kept[:7] == ids[:7]
        assert len(kept) <= 8 + 3  # the last character may be several tokens


def test_what_is_remembered_of_texts_is_bounded(encoders: dict[str, Encoder], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoprompt.models.prompts.encoding.SIZES_KEPT", 10)
    encoder = Encoder(encoders["llama"].tokenizer, 4)
    for _ in range(2):
        for number in range(40):
            text = f"soup {number}"
            assert encoder.cut(text, 1) == encoders["llama"].cut(text, 1)
            assert encoder.length(text) == encoders["llama"].length(text)
    assert len(encoder._cut) <= 11
    assert len(encoder._length) <= 11
