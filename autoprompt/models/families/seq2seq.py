"""Encoder-decoder (T5-like, BART-like) models: the encoder reads the prompt, the decoder writes the answer.

Where text follows ``{label}``, T5's first sentinel or a mask token marks its place in the encoder's input. Otherwise
the encoder reads only what comes before ``{label}``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from autoprompt.candidate import Candidate
from autoprompt.corpus import Example
from autoprompt.errors import InputError
from autoprompt.models.adaptation.soft_prompts import with_soft_vectors
from autoprompt.models.families.base import LanguageModel
from autoprompt.models.prompts import vocabulary
from autoprompt.models.prompts.batching import Batch, EncodedPrompt
from autoprompt.models.prompts.tokenized import EncodedRow, LiteralToken, Rendered, encoded_row
from autoprompt.models.types import LoadOptions
from autoprompt.template import LABEL, Slot

SENTINEL = "<extra_id_0>"


class Seq2SeqModel(LanguageModel):
    """Any ``AutoModelForSeq2SeqLM``."""

    family = "seq2seq"
    partial_vocabulary = False  # BART adds a bias over the whole vocabulary after its output layer

    def __init__(self, network: Any, tokenizer: Any, options: LoadOptions) -> None:
        super().__init__(network, tokenizer, options)
        # Plain greedy decoding: the checkpoint's own settings (beams, minimum lengths) are made for its own task.
        kept = network.generation_config
        network.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
            bos_token_id=kept.bos_token_id,
            eos_token_id=kept.eos_token_id,
            pad_token_id=self.pad,
            decoder_start_token_id=network.config.decoder_start_token_id,
        )
        sentinel = tokenizer.get_vocab().get(SENTINEL)
        self.marker: int | None = sentinel if sentinel is not None else tokenizer.mask_token_id
        self.label_anywhere = self.marker is not None
        self._has_sentinels = sentinel is not None

    def check(self, candidate: Candidate) -> None:
        if self.marker is None and candidate.template.segments[-1] != Slot(LABEL):
            raise InputError(
                f"The template {candidate.template.format()!r} has text after its {{label}}, and this model's "
                "tokenizer has no token to mark the place; end it with {label}."
            )
        super().check(candidate)

    def encode(self, candidate: Candidate, rows: Sequence[Example]) -> list[EncodedRow]:
        opening = self._opening(candidate)
        answers = self.encoder.answers(candidate, rows)
        return [
            self._encode_row(rendered, own, candidate, opening, with_end=not self.encoder.is_cut(row.label))
            for row, rendered, own in zip(rows, self._rendered(candidate, rows), answers, strict=True)
        ]

    def _encode_row(
        self,
        rendered: Rendered,
        answers: Sequence[str],
        candidate: Candidate,
        opening: tuple[int, ...],
        *,
        with_end: bool,
    ) -> EncodedRow:
        written = []
        for answer in answers:
            _, ids, end = self.encoder.with_special_tokens(answer)
            # A target text includes its end token, unless it was cut; label words are compared without an end token.
            counted = tuple(ids + end if with_end and not candidate.label_words.pairs else ids)
            own = (*opening, *counted[:-1])
            written.append((own, tuple(range(len(opening) - 1, len(own))), counted))
        return encoded_row(written, candidate.label_words, context=self._context(rendered, candidate))

    def _rendered(self, candidate: Candidate, rows: Sequence[Example]) -> list[Rendered]:
        """The prompts, all rendered with one sample answer, which is removed later.

        So a row's own target never appears in its prompt.
        """
        sample = [candidate.label_words.words[0] if candidate.label_words.pairs else "a"]
        return [r for (r,) in self.encoder.render(candidate, rows, [sample] * len(rows), closing_tokens=True)]

    def _marked(self, candidate: Candidate) -> bool:
        """Whether the answer's place is marked in the encoder's input."""
        return candidate.template.segments[-1] != Slot(LABEL)

    def _context(self, rendered: Rendered, candidate: Candidate) -> tuple[int, ...]:
        """The encoder's input ids."""
        first, stop = rendered.answer
        marker = (self.marker,) if self._marked(candidate) and self.marker is not None else ()
        return (*rendered.ids[:first], *marker, *rendered.ids[stop:])

    def _opening(self, candidate: Candidate) -> tuple[int, ...]:
        """The decoder's input ids before an answer."""
        before, _, _ = self.encoder.with_special_tokens("a")
        sentinel = (self.marker,) if self._marked(candidate) and self._has_sentinels and self.marker is not None else ()
        return (self.model.config.decoder_start_token_id, *before, *sentinel)

    def word_tokens(self) -> Mapping[int, str]:
        return vocabulary.whole_words(self.encoder.tokenizer, alone=True)

    def forward(self, batch: Batch, embeds: Tensor | None = None) -> Tensor:
        assert batch.context is not None  # noqa: S101
        ids, mask = batch.context
        self.tokens_processed += batch.tokens
        with self.on_device(), self.vectors.inserted(ids, embeds) as read:
            logits: Tensor = self.model(
                input_ids=read,
                attention_mask=mask,
                decoder_input_ids=batch.ids,
                decoder_attention_mask=batch.mask,
                use_cache=False,
            ).logits
        return logits

    def answer_prompt(self, candidate: Candidate, rows: Sequence[Example]) -> EncodedPrompt:
        candidate = with_soft_vectors(candidate)
        opening = self._opening(candidate)
        rendered = self._rendered(candidate, rows)
        encoded = [EncodedRow((opening,), (), 0, self._context(own, candidate)) for own in rendered]
        return EncodedPrompt(encoded, candidate.template.soft)

    @torch.no_grad()
    def generate(self, prompted: EncodedPrompt, length: int) -> list[str]:
        out = [""] * len(prompted)
        for rows, written in self.passes.over(prompted, lambda batch: self._write(batch, length)):
            for row, ids in zip(rows, written, strict=True):
                out[row] = self.encoder.tokenizer.decode(ids, skip_special_tokens=True).strip()
        return out

    def _write(self, batch: Batch, length: int) -> list[list[int]]:
        """Generated ids of each sequence, up to the first special token."""
        assert batch.context is not None  # noqa: S101
        ids, mask = batch.context
        self.tokens_processed += batch.tokens
        with self.on_device(), self.vectors.inserted(ids) as read:
            written = self.model.generate(
                input_ids=read,
                attention_mask=mask,
                decoder_input_ids=batch.ids,
                max_new_tokens=min(length, self.encoder.limit - batch.ids.shape[1]),
            )
        special = set(self.encoder.tokenizer.all_special_ids)
        out = [
            own[: next((i for i, token in enumerate(own) if token in special), len(own))]
            for own in written[:, batch.ids.shape[1] :].tolist()
        ]
        self.tokens_processed += sum(map(len, out))
        return out

    def literal_places(
        self, candidate: Candidate, row: Example, encoded: EncodedRow
    ) -> list[list[tuple[int, LiteralToken]]]:
        (rendered,) = self._rendered(candidate, [row])
        first, stop = rendered.answer
        marked = self._marked(candidate)
        found = []
        for token in rendered.literals(after_answer=True):
            if token.index < first:
                found.append((token.index, token))
            elif token.index >= stop:
                found.append((token.index - (stop - first) + marked, token))
        return [found for _ in encoded.inputs]
