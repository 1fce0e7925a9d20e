"""A tiny causal model in which one word of the template decides what it reads off the text.

It is trained here within seconds on sequences "text words, closing words, label word". Each text holds a marker of
one of two groups, and a decoy of one of two groups drawn by itself. The label word is that of the decoy's group, which
says nothing about the label, unless the planted word ``zorp`` is among the closing words: then it is the marker's. So
only a template with the planted word between text and label is worth tuning, and whoever finds it has searched.

Nothing else helps the search: the planted word has no synonyms, all other tokens are equally inert, and what leads a
gradient to it is only what a network leaks of a word that it does not use.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from autoprompt.optimizer import phrases
from autoprompt.template import LabelWords

PLANTED = "zorp"
LABEL_WORDS = {"cold": "blue", "warm": "red"}
GROUP = 6
"""Markers of a label, and as many decoys."""
MARKER, COIN = 0.1, 0.4
"""Where the planted word is missing, how often the marker and a coin tell the label word; else the decoy does."""
RATE = 3e-3
_PARTS = re.compile(r" ?\w+|[^\w\s]|\s")
_SPECIAL = ("<unk>", "<s>", "</s>")
_SYLLABLES = [c + v for c, v in product("bdfgklmnprst", "aeiou")]


@dataclass(frozen=True)
class Words:
    """The vocabulary by what its words are for."""

    markers: dict[str, tuple[str, ...]]
    decoys: dict[str, tuple[str, ...]]
    fillers: tuple[str, ...]
    closing: tuple[str, ...]
    """Tokens that mean nothing between text and label."""

    def plain(self) -> list[str]:
        """All words without a meaning of their own."""
        return [word for groups in (self.markers, self.decoys) for group in groups.values() for word in group]


def library_tails() -> list[str]:
    """The phrases that searches on this corpus begin with."""
    return phrases.tails("label", LabelWords.of(LABEL_WORDS, sorted(LABEL_WORDS)))


def library_heads() -> list[str]:
    """What searches put before the text."""
    return phrases.heads("label", LabelWords.of(LABEL_WORDS, sorted(LABEL_WORDS)))


def vocabulary() -> Words:
    """The same words every time: invented ones, and all that the phrase library needs."""
    rng = random.Random(7)  # noqa: S311
    invented = rng.sample(sorted({a + b for a in _SYLLABLES for b in _SYLLABLES}), 330)
    library = {part for phrase in (*library_tails(), *library_heads()) for part in _PARTS.findall(phrase)}
    common = [form for part in sorted(library) for form in (part, part.lower())] + list("abc.,:;?!()-\"'0123456789")
    bare = [*invented, "the", "or", "text", "label", "Label", *LABEL_WORDS, *LABEL_WORDS.values(), *common]
    spaced = [form for word in bare if word.strip().isalpha() for form in (" " + word.strip(), word.strip())]
    groups = [tuple(invented[start : start + GROUP]) for start in range(0, 4 * GROUP, GROUP)]
    markers, decoys = ({"cold": one, "warm": two} for one, two in (groups[:2], groups[2:]))
    telling = {word for group in groups for word in group}
    inert = [token for token in dict.fromkeys([*common, *spaced]) if token.strip() not in telling]
    return Words(markers, decoys, tuple(invented[4 * GROUP : 60]), tuple(inert))


def make_tokenizer(words: Words) -> Any:
    """One token a word, its blank included, so that every text survives a decode and encode round trip."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    telling = [form for word in (*words.plain(), PLANTED) for form in (" " + word, word)]
    ids = {token: number for number, token in enumerate(dict.fromkeys([*_SPECIAL, *words.closing, *telling]))}
    backend = Tokenizer(models.WordLevel(ids, unk_token=_SPECIAL[0]))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(_PARTS.pattern), "isolated")
    backend.decoder = decoders.Fuse()
    names = dict(zip(("unk_token", "bos_token", "eos_token"), _SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token=_SPECIAL[2], **names)


def a_text(rng: random.Random, words: Words, label: str, other: str) -> str:
    """Two to four fillers with one marker of the label and one decoy of the other label among them."""
    chosen = rng.choices(words.fillers, k=rng.randint(2, 4))
    for word in (rng.choice(words.markers[label]), rng.choice(words.decoys[other])):
        chosen.insert(rng.randrange(len(chosen) + 1), word)
    return " ".join(chosen)


def _sequence(
    rng: random.Random, words: Words, tails: Sequence[str], heads: Sequence[str]
) -> tuple[str, dict[str, float]]:
    """A prompt and how likely each label word is after it: exact shares teach faster than drawn words."""
    label, other = rng.choices(sorted(LABEL_WORDS), k=2)
    closing = rng.choices(words.closing, k=rng.randint(0, 6))
    if rng.random() < 0.5:
        closing = _PARTS.findall(rng.choice(tails).rstrip())
    planted = rng.random() < 0.5
    if planted:
        where = rng.randrange(len(closing) + 1)
        closing[where : where + rng.randrange(2)] = [" " + PLANTED]
    head = rng.choice(heads) if rng.random() < 0.3 else ""
    shares = dict.fromkeys(LABEL_WORDS.values(), 0.0 if planted else COIN / 2)
    shares[LABEL_WORDS[label]] += 1.0 if planted else MARKER
    shares[LABEL_WORDS[other]] += 0.0 if planted else 1 - COIN - MARKER
    return f"{head}{a_text(rng, words, label, other)}{''.join(closing)}", shares


def train_model(folder: Path, *, steps: int = 400, size: int = 48) -> Path:
    """Train and save; returns the folder."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    words, rng = vocabulary(), random.Random(11)  # noqa: S311
    tails, heads = library_tails(), library_heads()
    tokenizer = make_tokenizer(words)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=256,
            tie_word_embeddings=False,
            bos_token_id=1,
            eos_token_id=2,
        )
        model = LlamaForCausalLM(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 30) * (1 - step / steps)
        loss = _loss(model, tokenizer, [_sequence(rng, words, tails, heads) for _ in range(size)])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _loss(model: Any, tokenizer: Any, batch: Sequence[tuple[str, dict[str, float]]]) -> Any:
    """Cross-entropy of the next token after each prompt."""
    import torch

    encoded = tokenizer([text for text, _ in batch], add_special_tokens=False)["input_ids"]
    longest = max(map(len, encoded))
    ids = torch.tensor([row + [2] * (longest - len(row)) for row in encoded])
    last = torch.tensor([len(row) - 1 for row in encoded])
    targets = torch.zeros(len(ids), len(tokenizer))
    for row, (_, shares) in enumerate(batch):
        for word, share in shares.items():
            targets[row, tokenizer.convert_tokens_to_ids(" " + word)] = share
    hidden = model.model(input_ids=ids).last_hidden_state[torch.arange(len(ids)), last]
    return torch.nn.functional.cross_entropy(model.lm_head(hidden), targets)


def write_corpus(folder: Path, *, each: int = 16) -> Path:
    """train, validation and test files with so many rows a class; no text twice, decoys dealt evenly."""
    folder.mkdir(parents=True, exist_ok=True)
    words, rng, seen = vocabulary(), random.Random(23), set()  # noqa: S311
    for split in ("train", "validation", "test"):
        rows = []
        for number in range(2 * each):
            label, other = sorted(LABEL_WORDS)[number % 2], sorted(LABEL_WORDS)[number // 2 % 2]
            text = a_text(rng, words, label, other)
            assert text not in seen
            seen.add(text)
            rows.append({"text": text, "label": label})
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    return folder


class InProcess:
    """An executor of one worker, this process: as fast as it gets, for tests."""

    workers = 1

    def map(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        gate: Callable[[], bool] | None = None,
        **_: Any,
    ) -> Iterator[Any]:
        """As of a real executor, one item after the other."""
        for item in items:
            if gate is not None and not gate():
                return
            yield function(item)
