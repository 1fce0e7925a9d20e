"""Masked (BERT-like) models: label words are scored at mask tokens.

A word of several tokens gets as many masks, all predicted in one pass. Two alternatives were measured on two corpora
(results/benchmarks/masked_words.md): masking one token at a time with the others visible (pseudo-log-likelihood,
Salazar et al. 2020), and predicting from left to right. They were no better in accuracy (bbc-news, frozen: .653 against
.628 and .650; tuned: .798 against .791 and .793), worse in log-loss there (tuned: .586 against .604 and .593), and
needed four to seven times the tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from autoprompt.candidate import Candidate
from autoprompt.corpus import Example
from autoprompt.errors import InputError
from autoprompt.models.acceleration.lm_head import LogitRequest
from autoprompt.models.families.base import LanguageModel
from autoprompt.models.prompts.batching import Batch, EncodedPrompt
from autoprompt.models.prompts.tokenized import EncodedRow, LiteralToken, Rendered, Target, encoded_row
from autoprompt.models.types import CandidateFailedError, LoadOptions

INFILL_ROWS = 8
"""Maximum rows for scoring infills: each literal place costs a separate pass."""


class MaskedModel(LanguageModel):
    """Any ``AutoModelForMaskedLM``."""

    family = "masked"
    label_anywhere = True

    def __init__(self, network: Any, tokenizer: Any, options: LoadOptions) -> None:
        if tokenizer.mask_token_id is None:
            raise InputError("The model's tokenizer has no mask token, which a masked model predicts at; use another.")
        if network.config.is_encoder_decoder:
            raise InputError("An encoder-decoder model cannot be used as a masked one; leave its family out.")
        super().__init__(network, tokenizer, options)
        self.mask_id: int = tokenizer.mask_token_id

    def encode(self, candidate: Candidate, rows: Sequence[Example]) -> list[EncodedRow]:
        answers = self.encoder.answers(candidate, rows)
        rendered = self.encoder.render(candidate, rows, answers, closing_tokens=True)
        return [self._encode_row(own, candidate) for own in rendered]

    def _encode_row(self, rendered: Sequence[Rendered], candidate: Candidate) -> EncodedRow:
        answers = []
        for r in rendered:
            first, stop = r.answer
            own = (*r.ids[:first], *[self.mask_id] * (stop - first), *r.ids[stop:])
            answers.append((own, tuple(range(first, stop)), r.ids[first:stop]))
        return encoded_row(answers, candidate.label_words)

    def check(self, candidate: Candidate) -> None:
        if not candidate.label_words.pairs:
            raise InputError("A masked model generates no target texts; use a causal or an encoder-decoder model.")
        super().check(candidate)

    def forward(self, batch: Batch, embeds: Tensor | None = None) -> Tensor:
        self.tokens_processed += batch.tokens
        with self.on_device(), self.vectors.inserted(batch.ids, embeds) as ids:
            logits: Tensor = self.model(input_ids=ids, attention_mask=batch.mask).logits
        return logits

    def literal_places(
        self, candidate: Candidate, row: Example, encoded: EncodedRow
    ) -> list[list[tuple[int, LiteralToken]]]:
        ((*rendered,),) = self.encoder.render(
            candidate, [row], self.encoder.answers(candidate, [row]), closing_tokens=True
        )
        first: dict[int, list[tuple[int, LiteralToken]]] = {}
        for r, target in zip(rendered, encoded.targets, strict=True):
            # Tokens that hold a character of the answer are masked.
            free = [t for t in r.literals(after_answer=True) if not r.answer[0] <= t.index < r.answer[1]]
            first.setdefault(target.input, [(t.index, t) for t in free])
        return [first[number] for number in range(len(encoded.inputs))]

    @torch.no_grad()
    def likelihoods(
        self,
        candidate: Candidate,
        rows: Sequence[Example],
        prompted: EncodedPrompt,
        places: Sequence[Sequence[tuple[int, LiteralToken]]],
    ) -> Tensor | None:
        del candidate, rows
        parts = []
        few = [i for i in range(len(prompted)) if len(places[i]) == len(places[0])][:INFILL_ROWS]
        for number in range(len(places[0])):
            hidden = []
            for row in few:
                ids, at = prompted.rows[row].inputs[0], places[row][number][0]
                hidden.append(EncodedRow(((*ids[:at], self.mask_id, *ids[at + 1 :]),), (Target(0, (at,), (0,)),)))
            batch = self.passes.batch(EncodedPrompt(hidden, prompted.soft), range(len(hidden)))
            assert batch.targets is not None  # noqa: S101
            logits = self.requested_logits(batch, LogitRequest(batch.targets.sequence, batch.targets.column))
            parts.append(logits[0].float().log_softmax(-1).mean(0).cpu())
        return torch.stack(parts)

    @torch.no_grad()
    def perplexity(self, text: str) -> float | None:
        """Pseudo-perplexity: each token masked in turn (Salazar et al. 2020)."""
        before, ids, after = self.encoder.with_special_tokens(text)
        if not ids:
            return 1.0
        whole, start = (*before, *ids, *after), len(before)
        rows = [
            EncodedRow(((*whole[:at], self.mask_id, *whole[at + 1 :]),), (Target(0, (at,), (whole[at],)),))
            for at in range(start, start + len(ids))
        ]
        try:
            scores = self.score(EncodedPrompt(rows))
        except CandidateFailedError:  # such as memory that is too short for the text
            return None
        return float((-scores.mean()).exp())
