"""The contract of every model family in every tuning mode."""

import copy
import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from autoprompt.candidate import Settings
from autoprompt.corpus import Corpus, Example
from autoprompt.errors import InputError, UsageError
from autoprompt.models import FitFailedError, LanguageModel, check_device, load_model, locate_model
from autoprompt.models.acceleration.prefix_cache import PrefixStore, blocks
from autoprompt.models.adaptation.token_gradients import over_rows
from autoprompt.models.adaptation.tuning import LEARNT
from autoprompt.models.types import Delta
from autoprompt.template import LabelWords, Literal, Template

TEMPLATE = Template.parse("{text}\nSentiment: {label}")
LONG_TEMPLATE = Template.parse("{text}\nIn one word, this is {label}")
"""With enough words after the text for the kept prefix to end exactly there."""
WORDS = LabelWords.of(tiny.WORDS, tiny.LABELS)
LONG_WORDS = LabelWords((("positive", "good and warm"), ("negative", "bad")))
SETTINGS = {
    "tail": Settings("tail", 5e-3, 8, 4, 8),
    "full": Settings("full", 2e-3, 8, 4),
}
modes = pytest.mark.parametrize("mode", sorted(SETTINGS))


def _weights(model: Any) -> dict[str, Tensor]:
    return {
        name.replace(".base_layer", ""): value.clone()
        for name, value in model.model.state_dict().items()
        if "lora_" not in name
    }


def _same(a: Delta, b: Delta) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def _score(model: LanguageModel, rows: Sequence[Example], keep: bool = True, words: LabelWords = WORDS) -> Tensor:
    return model.score(model.prompt(tiny.prompt_of(TEMPLATE, words, "tail" if keep else "full"), rows))


def _tune(model: LanguageModel, mode: str, rows: Sequence[Example], seed: int = 1) -> Delta:
    prompted = model.prompt(tiny.prompt_of(TEMPLATE, WORDS, mode), rows)
    return model.tune(prompted, tiny.gold(tuple(rows)), SETTINGS[mode], seed)


def _loss(scores: Tensor, rows: tuple[Example, ...]) -> float:
    return float(torch.nn.functional.nll_loss(scores, torch.tensor(tiny.gold(rows))))


@modes
def test_tuning_learns_and_leaves_no_trace(fresh_model: LanguageModel, corpus: Corpus, mode: str) -> None:
    model, rows, keep = fresh_model, corpus.train, mode != "full"
    weights, before = _weights(model), _score(model, rows, keep)
    delta = _tune(model, mode, rows)
    with model.adapted(SETTINGS[mode], delta):
        tuned = _score(model, rows, keep)
    after = _score(model, rows, keep)
    assert _loss(tuned, rows) < 0.8 * _loss(before, rows)
    assert torch.equal(before, after)
    assert _weights(model).keys() == weights.keys()
    assert all(torch.equal(value, weights[name]) for name, value in _weights(model).items())
    assert not any(parameter.requires_grad for parameter in model.model.parameters())  # type: ignore[attr-defined]


def test_a_fine_tune_ends_with_the_pass_that_shows_the_rows_learnt(
    fresh_model: LanguageModel, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole passes, and a loss below the threshold in the last one alone."""
    losses: list[float] = []
    cross_entropy = torch.nn.functional.cross_entropy

    def watched(scores: Tensor, labels: Tensor) -> Tensor:
        losses.append(float(cross_entropy(scores.detach(), labels)))
        return cross_entropy(scores, labels)

    monkeypatch.setattr(torch.nn.functional, "cross_entropy", watched)
    a_pass, most = len(corpus.train) // 8, 60
    settings = SETTINGS["tail"].change(epochs=most)
    prompted = fresh_model.prompt(tiny.prompt_of(TEMPLATE, WORDS, "tail"), corpus.train)
    fresh_model.tune(prompted, tiny.gold(corpus.train), settings, 1)
    means = [sum(losses[start : start + a_pass]) / a_pass for start in range(0, len(losses), a_pass)]
    assert len(losses) % a_pass == 0
    assert 1 < len(means) < most
    assert means[-1] < LEARNT <= min(means[:-1])


@modes
def test_the_seed_alone_decides_the_bits(
    fresh_model: LanguageModel, model: LanguageModel, corpus: Corpus, mode: str
) -> None:
    rows = corpus.train
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    first = _tune(fresh_model, mode, rows)
    torch.manual_seed(6)
    assert _same(first, _tune(fresh_model, mode, rows))
    assert _same(first, _tune(model, mode, rows))  # whatever that one did before
    assert not _same(first, _tune(fresh_model, mode, rows, seed=2))
    torch.manual_seed(5)
    _tune(fresh_model, mode, rows)
    assert torch.equal(state, torch.random.get_rng_state())


@modes
def test_a_delta_reproduces_in_another_process(
    fresh_model: LanguageModel, model: LanguageModel, corpus: Corpus, mode: str, tmp_path: Path
) -> None:
    delta = _tune(model, mode, corpus.train)
    candidate = tiny.prompt_of(TEMPLATE, WORDS, mode)
    prompted, elsewhere = model.prompt(candidate, corpus.validation), fresh_model.prompt(candidate, corpus.validation)
    with model.adapted(SETTINGS[mode], delta):
        here = model.score(prompted)
    save_file(dict(delta), tmp_path / "delta.safetensors")
    with fresh_model.adapted(SETTINGS[mode], load_file(tmp_path / "delta.safetensors")):
        there = fresh_model.score(elsewhere)
    assert torch.equal(here, there)
    assert not torch.equal(here, model.score(prompted))


def test_prefixes_are_the_frozen_models(fresh_model: LanguageModel, corpus: Corpus) -> None:
    delta = _tune(fresh_model, "tail", corpus.train)
    with fresh_model.adapted(SETTINGS["tail"], delta), pytest.raises(RuntimeError, match="frozen"):
        fresh_model.prompt(tiny.prompt_of(TEMPLATE, WORDS, "tail"), corpus.validation)


def test_a_full_delta_is_the_same_before_and_after_adapters(fresh_model: LanguageModel, corpus: Corpus) -> None:
    before = _tune(fresh_model, "full", corpus.train)
    _tune(fresh_model, "tail", corpus.train)
    assert _same(before, _tune(fresh_model, "full", corpus.train))
    assert before.keys() == {name for name, _ in _named(fresh_model)}


def _named(model: Any) -> list[tuple[str, Tensor]]:
    return [(n.replace(".base_layer", ""), p) for n, p in model.model.named_parameters() if "lora_" not in n]


def test_the_rank_can_change(fresh_model: LanguageModel, family: str, model_folders: dict[str, Path],
                             device: str, corpus: Corpus) -> None:  # fmt: skip
    rows, gold = corpus.train, tiny.gold(corpus.train)
    prompted = fresh_model.prompt(tiny.prompt_of(TEMPLATE, WORDS, "tail"), rows)
    small = SETTINGS["tail"].change(rank=2)
    wide = fresh_model.tune(prompted, gold, SETTINGS["tail"], 1)
    narrow = fresh_model.tune(prompted, gold, small, 1)
    assert _same(wide, fresh_model.tune(prompted, gold, SETTINGS["tail"], 1))
    other = load_model(model_folders[family], device=device)
    assert _same(narrow, other.tune(other.prompt(tiny.prompt_of(TEMPLATE, WORDS, "tail"), rows), gold, small, 1))
    assert {min(v.shape) for v in narrow.values()} == {2}
    assert {min(v.shape) for v in wide.values()} == {8}
    with fresh_model.adapted(small, narrow):
        a = _score(fresh_model, rows)
    with other.adapted(small, narrow):
        b = _score(other, rows)
    assert torch.equal(a, b)


def test_nothing_to_put_in_for_the_frozen_mode(model: LanguageModel, corpus: Corpus) -> None:
    with model.adapted(Settings("none"), {}):
        inside = _score(model, corpus.test)
    assert torch.equal(inside, _score(model, corpus.test))
    assert torch.allclose(inside.exp().sum(1), torch.ones(len(corpus.test)), atol=1e-5)
    assert inside.dtype == torch.float32
    assert inside.device.type == "cpu"


@modes
def test_an_absurd_learning_rate_fails_and_harms_nothing(fresh_model: LanguageModel, corpus: Corpus, mode: str) -> None:
    weights, before = _weights(fresh_model), _score(fresh_model, corpus.train)
    prompted = fresh_model.prompt(tiny.prompt_of(TEMPLATE, WORDS, mode), corpus.train)
    with pytest.raises(FitFailedError, match="training loss is nan at step"):
        fresh_model.tune(prompted, tiny.gold(corpus.train), SETTINGS[mode].change(learning_rate=1e30), 0)
    assert torch.equal(before, _score(fresh_model, corpus.train))
    assert all(torch.equal(value, weights[name]) for name, value in _weights(fresh_model).items())


def test_an_exception_inside_adapted_takes_the_weights_out(fresh_model: LanguageModel, corpus: Corpus) -> None:
    before = _score(fresh_model, corpus.train)
    delta = _tune(fresh_model, "full", corpus.train)
    with pytest.raises(ZeroDivisionError), fresh_model.adapted(SETTINGS["full"], delta):
        raise ZeroDivisionError
    assert torch.equal(before, _score(fresh_model, corpus.train))


# Kept prefixes


def test_disk_memory_and_a_second_process_give_the_same_bits(
    family: str, model_folders: dict[str, Path], device: str, corpus: Corpus, tmp_path: Path
) -> None:
    in_memory = load_model(model_folders[family], device=device)
    writer = load_model(model_folders[family], device=device, prefix_folder=tmp_path)
    reader = load_model(model_folders[family], device=device, prefix_folder=tmp_path)
    written = _score(writer, corpus.train)
    assert len(list(tmp_path.glob("*.safetensors"))) == len(blocks([1] * len(corpus.train)))
    before = reader.tokens_processed
    read = _score(reader, corpus.train)
    tails = reader.tokens_processed - before
    assert torch.equal(written, read)
    assert torch.equal(written, _score(in_memory, corpus.train))
    # No prefix was computed again.
    assert tails == reader.prompt(tiny.prompt_of(TEMPLATE, WORDS, "tail"), corpus.train).tokens
    assert not list(tmp_path.glob("*.part"))


def test_shares_prepared_apart_give_the_same_bits(
    family: str, model_folders: dict[str, Path], device: str, corpus: Corpus, tmp_path: Path
) -> None:
    fresh = [load_model(model_folders[family], device=device, prefix_folder=tmp_path) for _ in range(3)]
    tokens = [fresh[part].prepare_prefix(tiny.prompt_of(TEMPLATE, WORDS), corpus.train, part, 2) for part in (1, 0)]
    assert all(count > 0 for count in tokens)
    assert fresh[2].prepare_prefix(tiny.prompt_of(TEMPLATE, WORDS), corpus.train, 0, 1) == 0
    alone = load_model(model_folders[family], device=device)
    assert sum(tokens) == alone.prepare_prefix(tiny.prompt_of(TEMPLATE, WORDS), corpus.train, 0, 1)
    assert torch.equal(_score(fresh[2], corpus.train), _score(alone, corpus.train))


def test_a_full_store_makes_room_and_stays_right(
    fresh_model: Any, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {split: _score(fresh_model, rows) for split, rows in _splits(corpus).items()}
    block = fresh_model.store.get("none", lambda: torch.zeros(1))
    assert torch.equal(block, torch.zeros(1))
    for folder in (None, tmp_path):
        monkeypatch.setattr(fresh_model, "store", PrefixStore(folder, limit=30_000))
        for _ in range(2):
            for split, rows in _splits(corpus).items():
                assert torch.equal(_score(fresh_model, rows), expected[split])
    stored = sum(path.stat().st_size for path in tmp_path.glob("*.safetensors"))
    assert 0 < stored < 60_000


def _splits(corpus: Corpus) -> dict[str, tuple[Example, ...]]:
    return {"train": corpus.train, "validation": corpus.validation, "test": corpus.test}


def test_the_longest_unused_block_goes_first(tmp_path: Path) -> None:
    computed: list[str] = []

    def block(key: str) -> Callable[[], Tensor]:
        def compute() -> Tensor:
            computed.append(key)
            return torch.full((100,), float(len(key)))

        return compute

    size = 400
    for folder, limit in ((None, 2 * size), (tmp_path, 2 * (size + 100))):
        computed.clear()
        store = PrefixStore(folder, limit)
        for key in ("a", "bb", "a", "ccc", "a", "bb"):
            time.sleep(0.02)  # files have coarse times
            assert float(store.get(key, block(key))[0]) == len(key)
        assert computed == ["a", "bb", "ccc", "bb"]


def test_a_process_lets_go_of_blocks_that_another_one_removed(tmp_path: Path) -> None:
    one, other = PrefixStore(tmp_path, 1000), PrefixStore(tmp_path, 1000)
    for number in range(5):
        assert float(one.get(f"one{number}", lambda n=number: torch.full((100,), float(n)))[0]) == number
        other.get(f"other{number}", lambda: torch.zeros(100))
    stored = {path.stem for path in tmp_path.glob("*.safetensors")}
    assert len(stored) <= 2
    assert set(one._memory) <= stored | {"one4"}
    assert float(one.get("one4", lambda: torch.zeros(100))[0]) == 4.0


def test_test_rows_leave_no_prefix(
    family: str, model_folders: dict[str, Path], device: str, corpus: Corpus, tmp_path: Path
) -> None:
    model = load_model(model_folders[family], device=device, prefix_folder=tmp_path)
    with model.passing_prefixes():
        inside = _score(model, corpus.test)
    assert not list(tmp_path.iterdir())
    assert torch.equal(inside, _score(model, corpus.test))
    assert list(tmp_path.iterdir())


def test_a_score_hardly_depends_on_the_rows_beside_it(model: LanguageModel, corpus: Corpus, tolerance: float) -> None:
    together = _score(model, corpus.train)
    alone = torch.cat([_score(model, [row]) for row in corpus.train])
    torch.testing.assert_close(together, alone, rtol=0, atol=tolerance)
    # Other rows in the store, computed before or not, change no bit.
    _score(model, corpus.validation)
    assert torch.equal(together, _score(model, corpus.train))


# Token gradients


@pytest.mark.parametrize("words", [WORDS, LONG_WORDS], ids=["single", "several"])
@pytest.mark.parametrize("source", ["{text}\nSentiment: {label}", "Review: {text} In one word, this is {label}"])
def test_gradients_are_those_of_the_loss(
    model: Any, corpus: Corpus, words: LabelWords, source: str, tolerance: float
) -> None:
    template = Template.parse(source)
    rows = tiny.short(corpus, 6)
    gold = torch.tensor(tiny.gold(rows))

    def loss(hidden: Tensor, scores: Tensor) -> Tensor:
        judged = torch.nn.functional.cross_entropy(scores.cpu(), gold)
        return judged + (hidden.cpu()[:, :3] * torch.tensor([0.3, -0.2, 0.1], dtype=hidden.dtype)).sum(1).mean()

    candidate = tiny.prompt_of(template, words, "full")
    prompted = model.prompt(candidate, rows)
    found = [model.literal_places(candidate, row, own) for row, own in zip(rows, prompted.rows, strict=True)]
    gradient = over_rows(model, prompted, found, range(len(rows)), loss)
    places = [own[0] for own in found]
    assert gradient.shape == (len(places[0]), 32)
    generator = torch.Generator().manual_seed(0)
    for number in range(len(places[0])):
        # The same small step of this token's embedding in every row and every label's sequence.
        step = torch.randn(32, generator=generator)
        measured = _slope(model, prompted, places, number, step, loss)
        near = {"rel": max(5e-3, tolerance), "abs": max(2e-3, 0.3 * tolerance)}  # in bf16 the difference is rough
        assert float(gradient[number] @ step) == pytest.approx(measured, **near)


def _slope(
    model: Any, prompted: Any, places: Any, number: int, step: Tensor, loss: Callable[[Tensor, Tensor], Tensor]
) -> float:
    """How the loss changes with a step of one literal token's embedding: central differences in float64."""
    network = copy.deepcopy(model.model).double().cpu()
    up, down = (_moved(network, prompted, places, number, sign * 1e-4 * step.double(), loss) for sign in (1, -1))
    return (up - down) / 2e-4


@torch.no_grad()
def _moved(
    network: Any, prompted: Any, places: Any, number: int, step: Tensor, loss: Callable[[Tensor, Tensor], Tensor]
) -> float:
    """The loss of plain passes, one a row and label, with one literal token's embedding moved."""
    hidden, scores = [], []
    table = network.get_input_embeddings().weight
    for row, found in zip(prompted.rows, places, strict=True):
        own = []
        for label, target in enumerate(row.targets):
            ids = row.inputs[target.input]
            embeds = table[torch.tensor(ids)].clone()
            embeds[found[number][0]] += step
            output = network(inputs_embeds=embeds[None], output_hidden_states=True)
            first = target.places[0]
            log_probs = output.logits[0].log_softmax(-1)
            own.append(torch.stack([log_probs[first + i, token] for i, token in enumerate(target.ids)]).mean())
            if label == 0:
                hidden.append(output.hidden_states[-1][0, first])
        scores.append(torch.stack(own))
    return float(loss(torch.stack(hidden), torch.stack(scores)))


def _label_loss(rows: tuple[Example, ...]) -> Callable[[Tensor, Tensor], Tensor]:
    gold = torch.tensor(tiny.gold(rows))
    return lambda _, scores: torch.nn.functional.cross_entropy(scores.cpu(), gold)


@pytest.mark.parametrize("words", [WORDS, LONG_WORDS], ids=["single", "several"])
@pytest.mark.parametrize(
    "source", ["{text}\nSentiment: {label}", "Review: {text} In one word, this is {label}", "{text} ({label}"]
)
def test_every_proposal_is_text_that_tokenises_back(model: Any, corpus: Corpus, words: LabelWords, source: str) -> None:
    template = Template.parse(source)
    rows = tiny.short(corpus, 8)
    candidate, loss = tiny.prompt_of(template, words), _label_loss(rows)
    proposals = model.propose_tokens(candidate, rows, loss, replacements=8, infills=8)
    assert model.propose_tokens(candidate, rows, loss, replacements=8, infills=0) == replace(proposals, infills=[])
    assert model.propose_tokens(candidate, rows, loss, replacements=0, infills=8) == replace(proposals, replacements=[])
    assert 0 < len(proposals.replacements) <= 8
    assert 0 < len(proposals.infills) <= 8
    values = [value for _, value in proposals.replacements]
    assert values == sorted(values)
    for child, _ in [*proposals.replacements, *proposals.infills]:
        assert child != template
        assert child.slots == template.slots
        assert Template.parse(child.format()) == child
        assert any(_has_new_token(model, template, child, row) for row in rows)
        text = " ".join(child.literals).lower()
        for word in (*words.words, *words.labels):
            assert word not in re.findall(r"\w+", text)
    again = model.propose_tokens(tiny.prompt_of(template, words), rows, _label_loss(rows), replacements=8, infills=8)
    assert again == proposals


def _has_new_token(model: Any, template: Template, child: Template, row: Example) -> bool:
    """Whether the child is the template but for one literal token, put in or in place of some text."""
    _, tokens = tiny.literal_tokens(model, child, row, "good")
    for token in tokens:
        old, new = template.segments[token.segment], child.segments[token.segment]
        assert isinstance(old, Literal)
        assert isinstance(new, Literal)
        rest = new.text[token.end :]
        others = [(a, b) for a, b in zip(template.segments, child.segments, strict=True) if a != b]
        if others == [(old, new)] and old.text[: token.start] == new.text[: token.start] and old.text.endswith(rest):
            return len(old.text) - len(rest) >= token.start - 1  # a blank may part the two
    return False


def test_a_promise_is_the_change_to_first_order(model: Any, corpus: Corpus, tolerance: float) -> None:
    """Proposals' values are gradient times the difference of embeddings, checked by moving a little that way."""
    rows = tiny.short(corpus, 6)
    loss = _label_loss(rows)
    proposals = model.propose_tokens(tiny.prompt_of(TEMPLATE, WORDS), rows, loss, replacements=4, infills=4)
    prompted = model.prompt(tiny.prompt_of(TEMPLATE, WORDS, "full"), rows)
    table = model.model.get_input_embeddings().weight.detach().cpu()
    checked = 0
    for child, promised in proposals.replacements:
        places, move = _replaced(model, child, rows, table)
        if places is None:
            continue
        measured = _slope(model, prompted, places, 0, move, loss)
        assert measured == pytest.approx(promised, rel=max(5e-3, tolerance), abs=2e-3)
        assert promised < 0
        checked += 1
    assert checked > 0


def _replaced(model: Any, child: Template, rows: tuple[Example, ...], table: Tensor) -> tuple[Any, Tensor]:
    """Where one token alone was replaced, and by how much its embedding moved; None where tokens merged."""
    places = []
    move = torch.zeros(table.shape[1])
    for row in rows:
        old, _ = tiny.literal_tokens(model, TEMPLATE, row, "good")
        new, _ = tiny.literal_tokens(model, child, row, "good")
        differing = [i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b]
        if len(old) != len(new) or len(differing) != 1:
            return None, move
        places.append([(differing[0], None)])
        move = table[new[differing[0]]] - table[old[differing[0]]]
    return places, move


def test_infills_are_what_the_model_expects(model: Any, corpus: Corpus, tolerance: float) -> None:
    """The first literal token is foretold by the text's last token, also when that lies in the kept prefix."""
    rows = tiny.short(corpus, 6)
    proposals = model.propose_tokens(
        tiny.prompt_of(LONG_TEMPLATE, WORDS), rows, _label_loss(rows), replacements=0, infills=300
    )
    assert not all(child.literals[0].startswith("\n") for child, _ in proposals.infills)
    found = 0
    for child, value in proposals.infills[::10]:
        inserted, expected = _inserted(model, child, rows)
        if inserted:
            found += 1
            assert value == pytest.approx(expected, abs=max(1e-3, tolerance))
    assert found > 0


@torch.no_grad()
def _inserted(model: Any, child: Template, rows: tuple[Example, ...]) -> tuple[bool, float]:
    """Mean log-probability of the token that differs first, from plain passes over the old prompt."""
    total = 0.0
    for row in rows:
        old, _ = tiny.literal_tokens(model, LONG_TEMPLATE, row, "good")
        new, _ = tiny.literal_tokens(model, child, row, "good")
        at = next(i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b)
        if new[at + 1 :] not in (old[at:], old[at + 1 :]):
            return False, 0.0
        ids = torch.tensor([new[:at]], device=model.device)
        total += float(model.model(input_ids=ids).logits[0, -1].float().log_softmax(-1)[new[at]])
    return True, total / len(rows)


def test_a_template_without_literal_text_has_no_proposals(model: LanguageModel, corpus: Corpus) -> None:
    rows = tiny.short(corpus, 4)
    proposals = model.propose_tokens(
        tiny.prompt_of(Template.parse("{text}{label}"), WORDS), rows, _label_loss(rows), replacements=4, infills=4
    )
    assert (proposals.replacements, proposals.infills) == ([], [])


# Vocabulary, readability, limits


@torch.no_grad()
def test_perplexity_is_that_of_a_plain_pass(model: Any, tolerance: float) -> None:
    text = "In one word, this is good"
    tokenizer = model.encoder.tokenizer
    ids = [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
    logits = model.model(input_ids=torch.tensor([ids], device=model.device)).logits[0].float()
    loss = torch.nn.functional.cross_entropy(logits[:-1].cpu(), torch.tensor(ids[1:]))
    assert model.perplexity(text) == pytest.approx(math.exp(float(loss)), rel=max(1e-4, tolerance))
    assert model.perplexity("") == 1.0


def test_word_tokens_are_whole_words_after_a_blank(model: Any) -> None:
    words = model.word_tokens()
    assert {"good", "bad", "wonderful"} <= set(words.values())
    for token, word in words.items():
        assert token in model.encoder.tokenizer("one " + word)["input_ids"][1:]
        assert word.isalpha()


def test_words_that_a_tokenizer_cannot_write_are_refused(shared_models: dict[str, LanguageModel]) -> None:
    template = Template.parse("{text} {label}")
    for name, bad in (("words", "splendid"), ("dropping", "日本"), ("dropping", "good日")):
        with pytest.raises(InputError, match=f"'{bad}' of 'negative'"):
            shared_models[name].check(tiny.prompt_of(template, LabelWords((("positive", "good"), ("negative", bad)))))
        shared_models[name].check(tiny.prompt_of(template, WORDS))
    shared_models["llama"].check(
        tiny.prompt_of(template, LabelWords((("positive", "日本"), ("negative", "splendid 😀"))))
    )


def test_words_that_become_the_same_tokens_are_refused(shared_models: dict[str, LanguageModel]) -> None:
    same = LabelWords((("positive", "good bad"), ("negative", "good  bad")))
    template = Template.parse("{text} {label}")
    with pytest.raises(InputError, match="cannot be told apart"):
        shared_models["words"].check(tiny.prompt_of(template, same))
    shared_models["llama"].check(tiny.prompt_of(template, same))


def test_rows_whose_fields_are_cut_are_counted(family: str, model_folders: dict[str, Path], device: str) -> None:
    model = load_model(model_folders[family], device=device, max_length=8)
    long = "soup " * 20
    rows = [
        Example("a", {"text": "The soup.", "more": {"k": "short"}}, "positive"),
        Example("b", {"text": long, "more": "x"}, "positive"),
        Example("c", {"text": "x", "more": {"list": [long]}}, "positive"),
        Example("d", {"text": long, "more": long}, "positive"),
    ]
    assert model.cut_rows(["text", "more"], rows) == 3
    assert model.cut_rows(["text"], rows) == 2
    assert load_model(model_folders[family], device=device).cut_rows(["text", "more"], rows) == 0
    assert model.cut_rows(["text"], [Example("a", {"text": "x"}, long), Example("b", {"text": "x"}, "x")]) == 1


def test_fault_10_rows_that_the_models_context_cuts_are_counted(
    family: str, model_folders: dict[str, Path], device: str
) -> None:
    """The room that is left for a field depends on the template."""
    model = load_model(model_folders[family], device=device, max_length=10_000)
    rows = tiny.examples("short", "soup " * 480, "soup " * 900)
    assert model.cut_rows(["text"], rows) == 1
    template = Template.parse("the answer is about a film. " * 6 + "{text}\nSentiment: {label}")
    assert model.cut_rows(["text"], rows, tiny.prompt_of(template, WORDS)) == 2


# Loading


def test_a_saved_model_is_located_and_loaded(model_folders: dict[str, Path]) -> None:
    source = locate_model(str(model_folders["gpt2"]))
    assert source.folder == model_folders["gpt2"]
    assert source.config["model_type"] == "gpt2"
    assert load_model(source.folder).tuning_modes == ("tail", "lora", "soft", "bias", "full", "none")


def test_truncated_weights_are_bad_input(model_folders: dict[str, Path], tmp_path: Path) -> None:
    for path in model_folders["llama"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(tmp_path)
    weights.write_bytes(b"")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(tmp_path)


@pytest.mark.parametrize("absent", ["cuda:7", "tpu", "", "cpu:foo", "cpu:1", "meta", "cuda:-1", "auto:0"])
def test_fault_49_an_absent_device_is_a_usage_error(absent: str) -> None:
    with pytest.raises(UsageError, match="device") as caught:
        check_device(absent)
    assert "which has cpu" in str(caught.value)
    assert check_device("cpu") == "cpu"
    assert check_device("auto").split(":")[0] in ("cpu", "cuda", "mps")


def test_fault_49_cuda_devices_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [check_device(name) for name in ("cuda", "cuda:0", "cuda:1", "auto")] == ["cuda", "cuda:0", "cuda:1", "cuda"]
    for absent in ("cuda:2", "cuda:99", "cuda:", "cuda:x"):
        with pytest.raises(UsageError, match=r"which has cpu, cuda:0, cuda:1; use --device auto"):
            check_device(absent)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"'cuda' is not on this machine, which has cpu(, mps)?; use"):
        check_device("cuda")
