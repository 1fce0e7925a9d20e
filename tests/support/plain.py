"""What transformers alone computes: one pass a row and answer, no batch, no kept prefix, no adapter."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

AUTO = {
    "causal": AutoModelForCausalLM,
    "masked": AutoModelForMaskedLM,
    "seq2seq": AutoModelForSeq2SeqLM,
    "classifier": AutoModelForSequenceClassification,
}

Part = str | int | None
"""Text, a number of trainable vectors, or the answer's place."""


@dataclass
class Plain:
    """A network and tokenizer. ``columns``: of a classifier, where each of the data's labels is."""

    family: str
    network: Any
    tokenizer: Any
    columns: tuple[int, ...] = ()

    @classmethod
    def of(cls, family: str, folder: Path) -> "Plain":
        network = AUTO[family].from_pretrained(folder, dtype=torch.float32).eval()
        return cls(family, network, AutoTokenizer.from_pretrained(folder))

    # Tokens

    def _chunk(self, text: str, special: bool) -> tuple[list[int], list[tuple[int, int]], list[int]]:
        got = self.tokenizer(
            text,
            add_special_tokens=special,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            split_special_tokens=True,
        )
        return got["input_ids"], got["offset_mapping"], got["special_tokens_mask"]

    def _around(self) -> tuple[list[int], list[int]]:
        ids, _, added = self._chunk("a", True)
        opening = added.index(0)
        return ids[:opening], [token for token, mark in zip(ids, added, strict=True) if mark][opening:]

    def ids(self, parts: Sequence[Part], answer: str, *, blanks: bool = False) -> tuple[list[int], list[int]]:
        """Ids with the special tokens around, vectors as -1, -2, ..., and which of them hold the answer, with
        ``blanks`` those before it, too."""
        out, closing = self._around()
        places: list[int] = []
        vectors, chunk, span = 0, "", (0, 0)
        for part in (*parts, 0):
            if isinstance(part, int):
                ids, offsets, _ = self._chunk(chunk, False) if chunk else ([], [], [])
                places += [len(out) + i for i, (a, b) in enumerate(offsets) if b > span[0] and a < span[1]]
                out += [*ids, *(-1 - vectors - number for number in range(part))]
                vectors, chunk, span = vectors + part, "", (0, 0)
            elif part is None:
                span = (len(chunk.rstrip() if blanks else chunk), len(chunk) + len(answer))
                chunk += answer
            else:
                chunk += part
        return [*out, *([] if self.family == "causal" else closing)], places

    # Passes

    def read(self, ids: Sequence[int], change: Callable[[Tensor], Tensor] | None = None) -> dict[str, Tensor]:
        """Ids as the network takes them, by their embeddings where vectors are among them or ``change`` wants them."""
        tensor = torch.tensor(ids)
        if change is None and min(ids) >= 0:
            return {"input_ids": tensor[None]}
        encoder = self.network.get_encoder() if self.family == "seq2seq" else self.network
        embeds = encoder.get_input_embeddings()(tensor.clamp(min=0))
        embeds = torch.stack([self.vectors[-1 - i] if i < 0 else e for i, e in zip(ids, embeds, strict=True)])
        return {"inputs_embeds": (change(embeds) if change else embeds)[None]}

    vectors: Any = None

    def score(
        self, parts: Sequence[Part], answer: str, *, change: Callable[[Tensor], Tensor] | None = None, end: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Mean log-probability of the answer's tokens and the hidden state that foretells the first of them.

        ``end``: the answer is a target text, of which the end is part.
        """
        ids, places = self.ids(parts, answer, blanks=end and self.family == "causal")
        if self.family == "causal":
            ids = [*ids, self.tokenizer.eos_token_id] if end else ids
            first = max(places[0], 1)
            wanted = list(zip(range(first - 1, len(ids) - 1), ids[first:], strict=True))
            return self._pass(wanted, **self.read(ids, change))
        if self.family == "masked":
            masked = [self.tokenizer.mask_token_id if i in places else token for i, token in enumerate(ids)]
            wanted = [(i, ids[i]) for i in places]
            return self._pass(wanted, **self.read(masked, change))
        return self._seq2seq(parts, answer, change, end)

    def _pass(self, wanted: list[tuple[int, int]], **inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean log-probability of tokens at their places, and what the output layer reads at the first place."""
        read: list[Tensor] = []
        hook = self.network.get_output_embeddings().register_forward_pre_hook(lambda _, given: read.append(given[0]))
        try:
            log_probs = self.network(**inputs).logits[0].log_softmax(-1)
        finally:
            hook.remove()
        return torch.stack([log_probs[place, token] for place, token in wanted]).mean(), read[0][0, wanted[0][0]]

    def context(self, parts: Sequence[Part], answer: str) -> tuple[list[int], bool]:
        """What an encoder reads where ``answer`` stands for any, and whether its place is marked in it."""
        ids, places = self.ids(parts, answer)
        marked = parts[-1] is not None
        marker = self.tokenizer.get_vocab().get("<extra_id_0>", self.tokenizer.mask_token_id)
        return [*ids[: places[0]], *([marker] if marked else []), *ids[places[-1] + 1 :]], marked

    def _seq2seq(
        self, parts: Sequence[Part], answer: str, change: Callable[[Tensor], Tensor] | None, end: bool
    ) -> tuple[Tensor, Tensor]:
        context, marked = self.context(parts, self.stand_in)
        labels, _, added = self._chunk(answer, True)
        own = [i for i in range(len(labels)) if not added[i] or (end and i >= added.index(0))]
        sentinel = self.tokenizer.get_vocab().get("<extra_id_0>")
        if marked and sentinel is not None:
            labels, own = [sentinel, *labels], [i + 1 for i in own]
        wanted = [(i, labels[i]) for i in own]
        return self._pass(wanted, **self.read(context, change), labels=torch.tensor([labels]))

    stand_in: str = "a"
    """What stands in the answer's place where the encoder's text is tokenised."""

    def logits(self, parts: Sequence[Part], change: Callable[[Tensor], Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """A classifier's logits in the order of the data's labels, and the mean of the last hidden states."""
        ids, _ = self.ids(parts, "")
        output = self.network(**self.read(ids, change), output_hidden_states=True)
        states = output.get("decoder_hidden_states") or output.hidden_states
        return output.logits[0, list(self.columns)], states[-1][0].mean(0)

    def row(
        self, parts: Sequence[Part], words: Sequence[str], change: Callable[[Tensor], Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """One row's scores of all labels, not normalised, and the hidden state that features hold."""
        if self.family == "classifier":
            return self.logits(parts, change)
        self.stand_in = words[0]
        found = [self.score(parts, word, change=change) for word in words]
        return torch.stack([score for score, _ in found]), found[0][1]


def parts_of(template: Any, fields: dict[str, str], demos: str = "") -> list[Part]:
    """A template's segments with the fields' text in them."""
    out: list[Part] = []
    for segment in template.segments:
        kind = type(segment).__name__
        if kind == "Literal":
            out.append(segment.text)
        elif kind == "Soft":
            out.append(segment.count)
        elif kind == "Demos":
            out.append(demos)
        else:
            out.append(None if segment.name == "label" else fields[segment.name])
    return out
