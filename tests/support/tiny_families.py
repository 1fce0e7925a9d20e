"""Tiny models of every family, built offline, with the kinds of tokenizer that differ in practice."""

import json
import math
import re
import string
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tiny
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BartForSequenceClassification,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    BertTokenizer,
    DebertaV2Config,
    DebertaV2ForMaskedLM,
    DebertaV2Tokenizer,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaForSequenceClassification,
    RobertaTokenizer,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)

SENTINELS = 4
CHAT = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
"""A chat format with special tokens, one of which (</s>) any data may spell."""


# Tokenizers


def _words(least: int) -> Counter[str]:
    """Words of the text, the commonest first: counted, not trained, since those trainers' ties fall by chance."""
    counts = Counter(word for sentence in tiny.sentences() for word in re.findall(r"\w+", sentence))
    return Counter(dict(sorted((p for p in counts.items() if p[1] >= least), key=lambda p: (-p[1], p[0]))))


_LETTERS = string.ascii_letters + string.digits
_CHARACTERS = _LETTERS + string.punctuation


def wordpiece() -> BertTokenizer:
    """BERT's: lower case, pieces that go on with ##, [CLS] and [SEP] around a text."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*special, *_CHARACTERS, *(f"##{c}" for c in _LETTERS), "##er", "##ed", "##ly", "##ful"]
    pieces += [word.lower() for word in _words(3)]
    return BertTokenizer(vocab={piece: number for number, piece in enumerate(dict.fromkeys(pieces))})


def roberta() -> RobertaTokenizer:
    """RoBERTa's and BART's: byte-level, words after a blank are other tokens, <s> and </s> around a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(tiny.sentences(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return RobertaTokenizer(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]])


def modern() -> PreTrainedTokenizerFast:
    """ModernBERT's: byte-level with [CLS] and [SEP]."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(tiny.sentences(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **names, model_input_names=["input_ids", "attention_mask"]
    )


def _pieces() -> list[tuple[str, float]]:
    """A Unigram vocabulary with its own marker of blanks: characters, common words and ends of words."""
    scores = {"▁": -2.0} | dict.fromkeys(_CHARACTERS, -9.0) | dict.fromkeys(("er", "ed", "ly", "ful", "ent"), -7.0)
    words = _words(3)
    scores |= {f"▁{word}": math.log(count / words.total()) for word, count in words.items()}
    return list(scores.items())


def t5() -> T5Tokenizer:
    """T5's: Unigram, </s> after a text, sentinels; its vocabulary holds the special tokens as pieces."""
    special = [(name, 0.0) for name in ("<pad>", "</s>", "<unk>")]
    sentinels = [(f"<extra_id_{number}>", 0.0) for number in reversed(range(SENTINELS))]
    return T5Tokenizer(vocab=[*special, *_pieces(), *sentinels], extra_ids=SENTINELS)


def deberta() -> DebertaV2Tokenizer:
    """DeBERTa-v2's: Unigram, [CLS] and [SEP] around a text."""
    special = [(name, 0.0) for name in ("[PAD]", "[CLS]", "[SEP]", "[UNK]")]
    return DebertaV2Tokenizer(vocab=[*special, *_pieces(), ("[MASK]", 0.0)])


def chatting() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with a chat template."""
    tokenizer = tiny.byte_level("<s> $A")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|user|>", "<|assistant|>"]})
    tokenizer.chat_template = CHAT
    return tokenizer


# Models

_BERT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
_NAMED = {"id2label": {0: "Negative", 1: "positive"}, "label2id": {"Negative": 0, "positive": 1}}
"""A trained head's labels in another order and case than the data's."""
_OTHERS = {"id2label": {0: "sport", 1: "science"}, "label2id": {"sport": 0, "science": 1}}


def _bert(kind: Any, **more: Any) -> Callable[[int], Any]:
    return lambda size: kind(
        BertConfig(vocab_size=size, **_BERT, max_position_embeddings=128, initializer_range=0.2, **more)
    )


def _roberta(kind: Any, **more: Any) -> Callable[[int], Any]:
    ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    return lambda size: kind(
        RobertaConfig(vocab_size=size, **_BERT, **ids, max_position_embeddings=130, initializer_range=0.2, **more)
    )


def _deberta(size: int) -> Any:
    sizes = {"max_relative_positions": 8, "position_buckets": 4, "relative_attention": True, "pos_att_type": "p2c|c2p"}
    return DebertaV2ForMaskedLM(
        DebertaV2Config(vocab_size=size, **_BERT, **sizes, max_position_embeddings=128, initializer_range=0.2)
    )


def _modern(size: int) -> Any:
    ids = {"pad_token_id": 0, "cls_token_id": 2, "bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3}
    return ModernBertForMaskedLM(
        ModernBertConfig(vocab_size=size, **_BERT, **ids, max_position_embeddings=128, initializer_range=0.2)
    )


def _t5(size: int) -> Any:
    ids = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "n_positions": 128}
    more = {"initializer_factor": 1.0, "tie_word_embeddings": False, "feed_forward_proj": "gated-gelu"}
    return T5ForConditionalGeneration(T5Config(vocab_size=size, **ids, **sizes, **more))


def _bart(size: int, kind: Any = BartForConditionalGeneration, **more: Any) -> Any:
    sides = {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in (("layers", 2), ("attention_heads", 4), ("ffn_dim", 64))
    }
    sizes = {"d_model": 32, "max_position_embeddings": 128, "init_std": 0.2, "scale_embedding": True}
    return kind(BartConfig(vocab_size=size, **sides, **sizes, **more))


def _distilbert(size: int) -> Any:
    return DistilBertForSequenceClassification(
        DistilBertConfig(
            vocab_size=size,
            dim=32,
            n_layers=2,
            n_heads=4,
            hidden_dim=64,
            max_position_embeddings=128,
            **_OTHERS,
            initializer_range=0.2,
        )
    )


def _llama(size: int) -> Any:
    return LlamaForSequenceClassification(
        LlamaConfig(
            vocab_size=size,
            **_BERT,
            max_position_embeddings=128,
            initializer_range=0.2,
            num_labels=2,
            bos_token_id=1,
            eos_token_id=2,
            **_NAMED,
        )
    )


def _gpt2(size: int) -> Any:
    return GPT2ForSequenceClassification(
        GPT2Config(
            vocab_size=size,
            n_positions=128,
            n_embd=32,
            n_layer=2,
            n_head=4,
            initializer_range=0.2,
            num_labels=3,
            bos_token_id=1,
            eos_token_id=2,
        )
    )


BUILT: Mapping[str, tuple[Callable[[], Any], Callable[[int], Any]]] = {
    "bert": (wordpiece, _bert(BertForMaskedLM)),
    "roberta": (roberta, _roberta(RobertaForMaskedLM)),
    "deberta": (deberta, _deberta),
    "modernbert": (modern, _modern),
    "t5": (t5, _t5),
    "bart": (roberta, _bart),
    "encoder": (wordpiece, _bert(BertModel)),
    "bert-head": (wordpiece, _bert(BertForSequenceClassification, **_NAMED)),
    "roberta-head": (roberta, _roberta(RobertaForSequenceClassification, **_NAMED)),
    "bart-head": (roberta, lambda size: _bart(size, BartForSequenceClassification, **_NAMED)),
    "distilbert-head": (wordpiece, _distilbert),
    "llama-head": (lambda: tiny.byte_level("<s> $A"), _llama),
    "gpt2-head": (lambda: tiny.byte_level(None), _gpt2),
}
"""Tokenizer and model by name. Heads: none, trained for the data's labels (three), for two others, for three others."""
FAMILY = {
    "llama": "causal", "gpt2": "causal", "bert": "masked", "roberta": "masked", "deberta": "masked",
    "modernbert": "masked", "t5": "seq2seq", "bart": "seq2seq", "encoder": "classifier", "bert-head": "classifier",
    "roberta-head": "classifier", "distilbert-head": "classifier", "llama-head": "classifier",
    "gpt2-head": "classifier", "bart-head": "classifier",
}  # fmt: skip


def save(name: str, folder: Path, *, seed: int = 0) -> Path:
    """A model's folder."""
    if name in ("llama", "gpt2"):
        build = tiny.save_llama if name == "llama" else tiny.save_gpt2
        return build(folder, tiny.byte_level("<s> $A" if name == "llama" else None))
    make, model = BUILT[name]
    tokenizer = make()
    tokenizer.model_max_length = 128
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model(len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
