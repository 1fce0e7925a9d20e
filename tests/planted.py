"""A tiny causal model in which one word of the template decides whether the text says anything about the label.

It is trained here within seconds on sequences "text words, closing words, label word". Each text holds one marker
word of one of two groups. Where the planted word ``zorp`` is among the closing words, the label word belongs to the
marker's group; where it is not, the label word is a coin's throw. So only a template with the planted word between
text and label can be tuned to anything, and whoever finds it has searched.

Real language models have synonyms, which is what lets a gradient point towards a word. Here the planted word has a
few ``NEAR`` words, which make the label follow the marker in only some of the sequences that hold them.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from autoprompt.search import phrases

PLANTED = "zorp"
NEAR = ("zolmu", "zirpa", "zumto", "zefru", "zanki", "zotel")
NEAR_SHARE = 0.6
"""How often a near word makes the label follow the marker."""
LABEL_WORDS = {"cold": "blue", "warm": "red"}
_SYLLABLES = [c + v for c, v in product("bdfgklmnprst", "aeiou")]
_PARTS = re.compile(r" ?\w+|[^\w\s]|\s")


@dataclass(frozen=True)
class Words:
    """The vocabulary by what its words are for."""

    markers: dict[str, tuple[str, ...]]
    fillers: tuple[str, ...]
    closing: tuple[str, ...]
    """Words that mean nothing, wherever they stand."""
    library: tuple[str, ...]
    """Tokens of the phrase library."""


def vocabulary() -> Words:
    """The same words every time: invented ones, and all that the phrase library needs."""
    rng = random.Random(7)  # noqa: S311
    invented = rng.sample(sorted({a + b for a in _SYLLABLES for b in _SYLLABLES}), 330)
    library = sorted({part for phrase in (*phrases.TAILS, *phrases.HEADS) for part in _PARTS.findall(phrase)})
    markers = {"cold": tuple(invented[:8]), "warm": tuple(invented[8:16])}
    return Words(markers, tuple(invented[16:120]), tuple(invented[120:]), tuple(library))


def make_tokenizer(words: Words):
    """One token a word, its blank included, so that every text survives a decode and encode round trip."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    plain = [*words.markers["cold"], *words.markers["warm"], *words.fillers, *words.closing, PLANTED, *NEAR]
    plain += [*LABEL_WORDS.values(), *LABEL_WORDS, "a", "the", "or", "label", "Label", "text", "Text"]
    plain += [part.strip() for part in words.library if part.strip().isalpha()]
    tokens = ["<unk>", "<s>", "</s>", "\n", " ", *map(str, range(10)), *".,:;?!()>-#\"'|", " (", " -", " ->"]
    tokens += [part for part in words.library if not part.strip().isalpha()]
    tokens += [form for word in plain for form in (" " + word, word)]
    ids = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    backend = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))  # noqa: S106
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?\w+|[^\w\s]|\s"), "isolated")
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>",  # noqa: S106
    )  # fmt: skip


def a_text(rng: random.Random, words: Words, label: str) -> str:
    """Four to seven fillers with one marker of the label's group among them."""
    chosen = rng.choices(words.fillers, k=rng.randint(4, 7))
    chosen.insert(rng.randrange(len(chosen) + 1), rng.choice(words.markers[label]))
    return " ".join(chosen)


def _sequence(rng: random.Random, words: Words) -> str:
    group = rng.choice(sorted(LABEL_WORDS))
    closing = [" " + w for w in rng.choices(words.closing, k=rng.randint(0, 4))]
    if rng.random() < 0.5:
        closing = list(_PARTS.findall(rng.choice(phrases.TAILS).rstrip()))
    share = 0.0
    if rng.random() < 0.6:
        word, share = (PLANTED, 1.0) if rng.random() < 0.5 else (rng.choice(NEAR), NEAR_SHARE)
        place = rng.randrange(len(closing) + 1)
        closing[place : place + rng.randrange(2)] = [" " + word]
    label = group if rng.random() < share else rng.choice(sorted(LABEL_WORDS))
    return f"{a_text(rng, words, group)}{''.join(closing)} {LABEL_WORDS[label]}"


def _batches(tokenizer, words: Words, steps: int, size: int) -> Iterator[tuple[list[list[int]], list[int]]]:
    rng = random.Random(11)  # noqa: S311
    for _ in range(steps):
        encoded = tokenizer([_sequence(rng, words) for _ in range(size)], add_special_tokens=False)["input_ids"]
        yield encoded, [len(ids) for ids in encoded]


def train_model(folder: Path, *, steps: int = 500, size: int = 128) -> Path:
    """Train and save; returns the folder."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    words = vocabulary()
    tokenizer = make_tokenizer(words)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        config = LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=256, tie_word_embeddings=False,
            bos_token_id=1, eos_token_id=2,
        )  # fmt: skip
        model = LlamaForCausalLM(config).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
        for step, (encoded, lengths) in enumerate(_batches(tokenizer, words, steps, size)):
            for group in optimizer.param_groups:
                group["lr"] = 3e-3 * min(1.0, (step + 1) / 30) * (1 - step / steps)
            longest = max(lengths)
            ids = torch.tensor([row + [2] * (longest - len(row)) for row in encoded])
            last = torch.tensor(lengths) - 1
            logits = model(input_ids=ids).logits[torch.arange(len(ids)), last - 1]
            loss = torch.nn.functional.cross_entropy(logits, ids[torch.arange(len(ids)), last])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_corpus(folder: Path, *, each: int = 16, test_each: int = 16) -> Path:
    """train, validation and test files with so many rows a class; no text twice."""
    folder.mkdir(parents=True, exist_ok=True)
    words, rng, seen = vocabulary(), random.Random(23), set()  # noqa: S311
    for split, count in (("train", each), ("validation", each), ("test", test_each)):
        rows = []
        for label in sorted(LABEL_WORDS):
            while sum(row["label"] == label for row in rows) < count:
                text = a_text(rng, words, label)
                if text not in seen:
                    seen.add(text)
                    rows.append({"text": text, "label": label})
        rng.shuffle(rows)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    return folder


class InProcess:
    """An executor of one worker, this process: as fast as it gets, for tests."""

    workers = 1

    def map(self, function, items: Sequence, gate=None) -> Iterator:
        for item in items:
            if gate is not None and not gate():
                return
            yield function(item)

    def close(self) -> None:
        """Nothing to end."""
