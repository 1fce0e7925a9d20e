"""Encoder-decoder (T5-like, BART-like) models: the encoder reads the prompt, the decoder writes the answer.

Where text follows ``{label}``, its place is marked in what the encoder reads, by T5's first sentinel or a mask token;
otherwise the encoder reads what comes before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from autoprompt.candidate import Candidate
from autoprompt.corpus import Example
from autoprompt.errors import InputError
from autoprompt.models.base import LoadOptions, Prompted
from autoprompt.models.batching import Batch, EncodedPrompt, padded
from autoprompt.models.encoding import EncodedRow, LiteralToken, Rendered, Target
from autoprompt.models.prefix import blocks
from autoprompt.models.text import SCORE_SEQUENCES, TextModel
from autoprompt.template import LABEL, Slot

SENTINEL = "<extra_id_0>"


class Seq2SeqModel(TextModel):
    """Any ``AutoModelForSeq2SeqLM``."""

    family = "seq2seq"
    narrows = False  # BART adds a bias over the whole vocabulary after its output layer

    def __init__(self, network: Any, tokenizer: Any, options: LoadOptions) -> None:
        super().__init__(network, tokenizer, options)
        sentinel = tokenizer.get_vocab().get(SENTINEL)
        self.marker: int | None = sentinel if sentinel is not None else tokenizer.mask_token_id
        self.label_anywhere = self.marker is not None
        self._opens_with_sentinel = sentinel is not None

    def check(self, candidate: Candidate) -> None:
        if self.marker is None and candidate.template.segments[-1] != Slot(LABEL):
            raise InputError(
                f"The template {candidate.template.format()!r} goes on after its {{label}}, and this model's "
                "tokenizer has no token to mark the place; end it with {label}."
            )
        super().check(candidate)

    def encode(self, candidate: Candidate, rows: Sequence[Example]) -> list[EncodedRow]:
        answers = self.encoder.answers(candidate, rows)
        rendered = self.encoder.render(candidate, rows, [own[:1] for own in answers], closing=True)
        return [self._encode_row(r, own, candidate) for (r,), own in zip(rendered, answers, strict=True)]

    def _encode_row(self, rendered: Rendered, answers: Sequence[str], candidate: Candidate) -> EncodedRow:
        context, marked = self._context(rendered, candidate)
        start = self.model.config.decoder_start_token_id
        inputs: list[tuple[int, ...]] = []
        targets = []
        for answer in answers:
            opening, ids, end = self._written(answer, marked=marked)
            # A target text's end is part of it; label words are compared by their own tokens alone.
            counted = ids if candidate.label_words.pairs else (*ids, *end)
            own = (start, *opening, *counted[:-1])
            if own not in inputs:
                inputs.append(own)
            targets.append(Target(inputs.index(own), tuple(range(len(opening), len(own))), counted))
        if len({(t.input, t.ids) for t in targets}) < len(targets) or not all(t.ids for t in targets):
            words = list(candidate.label_words.words)
            raise InputError(f"The label words {words} cannot be told apart by the tokenizer; change them.")
        return EncodedRow(tuple(inputs), tuple(targets), 0, context)

    def _context(self, rendered: Rendered, candidate: Candidate) -> tuple[tuple[int, ...], bool]:
        """What the encoder reads, and whether the answer's place is marked in it."""
        first, stop = rendered.answer
        if candidate.template.segments[-1] == Slot(LABEL):
            return (*rendered.ids[:first], *rendered.ids[stop:]), False
        assert self.marker is not None  # noqa: S101
        return (*rendered.ids[:first], self.marker, *rendered.ids[stop:]), True

    def _written(self, answer: str, *, marked: bool) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """What the decoder writes before, as and after an answer."""
        ((ids, _, end),) = self.encoder.whole([answer])
        start = self.encoder.opening
        opening = (self.marker,) if marked and self._opens_with_sentinel and self.marker is not None else ()
        return (*ids[:start], *opening), tuple(ids[start:end]), tuple(ids[end:])

    def forward(self, batch: Batch, embeds: Tensor | None = None) -> Tensor:
        assert batch.context is not None  # noqa: S101
        ids, mask = batch.context
        self.tokens_processed += batch.tokens
        inputs = self.embeds(ids) if embeds is None else {"inputs_embeds": embeds}
        with self.on_device():
            logits: Tensor = self.model(
                **inputs,
                attention_mask=mask,
                decoder_input_ids=batch.ids,
                decoder_attention_mask=batch.mask,
                use_cache=False,
            ).logits
        return logits

    def asking(self, candidate: Candidate, rows: Sequence[Example]) -> EncodedPrompt:
        sample = rows if candidate.label_words.pairs else [replace(row, label="a") for row in rows]
        return self.prompt(candidate, sample)

    @torch.no_grad()
    def generate(self, prompted: Prompted, length: int) -> list[str]:
        assert isinstance(prompted, EncodedPrompt)  # noqa: S101
        out = [""] * len(prompted)
        for block in blocks([len(row.context) for row in prompted.rows], SCORE_SEQUENCES):
            ids, mask, _ = padded([prompted.rows[row].context for row in block], self.pad, left=False)
            self.tokens_processed += int(mask.sum())
            with self.on_device():
                written = self.model.generate(
                    **self.embeds(ids.to(self.device)),
                    attention_mask=mask.to(self.device),
                    max_new_tokens=length,
                    do_sample=False,
                    num_beams=1,
                )
            texts = self.encoder.tokenizer.batch_decode(written, skip_special_tokens=True)
            for row, text in zip(block, texts, strict=True):
                out[row] = text.strip()
        return out

    def literal_places(
        self, candidate: Candidate, row: Example, encoded: EncodedRow
    ) -> list[list[tuple[int, LiteralToken]]]:
        answers = [own[:1] for own in self.encoder.answers(candidate, [row])]
        ((rendered,),) = self.encoder.render(candidate, [row], answers, closing=True)
        first, stop = rendered.answer
        _, marked = self._context(rendered, candidate)
        found = []
        for token in rendered.literals(after_answer=True):
            if token.index < first:
                found.append((token.index, token))
            elif token.index >= stop:
                found.append((token.index - (stop - first) + marked, token))
        return [found for _ in encoded.inputs]
