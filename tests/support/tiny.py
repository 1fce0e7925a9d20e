"""Tiny causal models and a tiny labelled corpus, built offline on the test's own text."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Corpus, Example
from autoprompt.template import LabelWords, Template

LABELS = ("positive", "negative")
WORDS = {"positive": "good", "negative": "bad"}
MANUAL = "{text}\nSentiment: {label}"

THINGS = (
    "soup", "walk", "hotel", "lamp", "garden", "ferry", "concert", "jacket", "bicycle", "museum", "bakery", "radio",
    "kettle", "path", "novel", "tent", "bridge", "market", "piano", "window", "pillow", "harbour", "lecture", "blanket",
    "camera", "stove", "orchard", "train", "carpet", "library", "mirror", "fountain", "sandwich", "island", "puzzle",
    "theatre",
)  # fmt: skip
_PRAISE = ("was a joy from start to end", "made us smile all day", "is lovely and well made", "was warm and good")
_BLAME = ("was a bore from start to end", "made us angry all day", "is ugly and badly made", "was cold and bad")
_OTHER = (
    "Sentiment: it was great or terrible. In one word, this is",
    "Review: the answer is about a film. Choose good or bad. wonderful awful superb dreadful",
    "Text: read this. Question: what is the topic? sport politics science travel",
)
ROWS_PER_LABEL = 12


def rows(split: int) -> list[dict[str, str]]:
    """Rows of one of three splits: labels in turn, each thing once a label and split."""
    out = []
    for number in range(ROWS_PER_LABEL):
        place = split * ROWS_PER_LABEL + number
        thing = THINGS[place]
        other = THINGS[(place + 5) % ROWS_PER_LABEL + split * ROWS_PER_LABEL]
        out.append({"text": f"The {thing} {_PRAISE[number % 4]}.", "label": "positive"})
        out.append({"text": f"The {other} {_BLAME[(number + split) % 4]}.", "label": "negative"})
    return out


def write_corpus(folder: Path) -> None:
    """train.jsonl, validation.jsonl and test.jsonl."""
    for split, name in enumerate(("train", "validation", "test")):
        lines = (json.dumps(row) + "\n" for row in rows(split))
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


def examples(*texts: str, label: str = "positive") -> list[Example]:
    """Rows with one field named ``text``."""
    return [Example(f"row{number}", {"text": text}, label) for number, text in enumerate(texts)]


def prompt_of(template: Template, words: LabelWords, tuning: str = "none") -> Candidate:
    """A candidate with the default settings of a tuning mode: a frozen one keeps prefixes, a full one does not."""
    return Candidate(template, words, Settings.default(tuning, 24))


def literal_tokens(model: Any, template: Template, row: Example, word: str) -> tuple[tuple[int, ...], list[Any]]:
    """A rendered row's ids and those of its tokens that lie wholly in literal text before the label."""
    words = LabelWords((("positive", word),))
    ((rendered,),) = model.encoder.render(prompt_of(template, words), [row], [[word]], closing=False)
    return rendered.ids, rendered.literals(after_answer=False)


def gold(corpus_rows: tuple[Example, ...]) -> list[int]:
    """Label indices."""
    return [LABELS.index(row.label) for row in corpus_rows]


def short(corpus: Corpus, count: int) -> tuple[Example, ...]:
    """The first training rows: both labels in turn."""
    return corpus.train[:count]


def sentences() -> Iterator[str]:
    """What the tokenizers are trained on."""
    for split in range(3):
        for row in rows(split):
            yield row["text"]
            yield f" {WORDS[row['label']]}"
    yield from _OTHER * 4


def byte_level(template: str | None, *, trim: bool = False) -> PreTrainedTokenizerFast:
    """A byte-level BPE; ``template`` such as ``<s> $A </s>`` adds special tokens around a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<unk>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences(), trainer)
    steps = [processors.ByteLevel(trim_offsets=trim)]
    if template:
        steps.append(processors.TemplateProcessing(single=template, special_tokens=[("<s>", 1), ("</s>", 2)]))
    tokenizer.post_processor = processors.Sequence(steps)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",  # noqa: S106
        bos_token="<s>",  # noqa: S106
        eos_token="</s>",  # noqa: S106
        model_input_names=["input_ids", "attention_mask"],
    )


def word_level() -> PreTrainedTokenizerFast:
    """Whole words alone: what it has not seen is <unk>."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(special_tokens=["<unk>", "<s>", "</s>"], show_progress=False)
    tokenizer.train_from_iterator(sentences(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",  # noqa: S106
        bos_token="<s>",  # noqa: S106
        eos_token="</s>",  # noqa: S106
        model_input_names=["input_ids", "attention_mask"],
    )


def dropping() -> PreTrainedTokenizerFast:
    """A BPE of plain letters that silently drops every character it has not seen."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<s>"], show_progress=False)
    tokenizer.train_from_iterator(sentences(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",  # noqa: S106
        model_input_names=["input_ids", "attention_mask"],
    )


def save_llama(folder: Path, tokenizer: PreTrainedTokenizerFast, *, seed: int = 0) -> Path:
    """A Llama-like model with grouped-query attention and rotary positions."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.2,
        bos_token_id=1,
        eos_token_id=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_gpt2(folder: Path, tokenizer: PreTrainedTokenizerFast, *, seed: int = 0) -> Path:
    """A GPT-2-like model: learned positions, tied embeddings, transposed linear layers."""
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=512,
        n_embd=32,
        n_layer=2,
        n_head=4,
        initializer_range=0.2,
        bos_token_id=1,
        eos_token_id=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
