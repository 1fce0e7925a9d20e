"""Causal (GPT-like) models: the answer is scored as the continuation of the prompt."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Example
from autoprompt.errors import InputError
from autoprompt.models.acceleration.cached_heads import CachedHeads
from autoprompt.models.acceleration.decoding import end_tokens, greedy
from autoprompt.models.acceleration.layer_replay import LayerStack
from autoprompt.models.acceleration.lm_head import LogitRequest
from autoprompt.models.acceleration.micro_batches import none_if_out_of_memory
from autoprompt.models.acceleration.prefix_cache import PrefixStore
from autoprompt.models.adaptation.methods import ModelParts
from autoprompt.models.adaptation.soft_prompts import with_soft_vectors
from autoprompt.models.families.base import LanguageModel
from autoprompt.models.families.causal_rows import continuation_row, one_token_earlier, up_to_answer, with_end_token
from autoprompt.models.families.trial import equal_up_to_rounding, last_token_target, trial_ids
from autoprompt.models.introspection import cache_name, cache_of, linear_names
from autoprompt.models.locks import SharedVariable
from autoprompt.models.prompts.batching import Batch, EncodedPrompt
from autoprompt.models.prompts.tokenized import EncodedRow, LiteralToken, Rendered, Target
from autoprompt.template import LABEL, Literal, Slot, Soft
from autoprompt.tuning_modes import TUNING_MODES

_SHARED_HEADS = SharedVariable("TRANSFORMERS_SDPA_FORCE_GQA", "1")
"""Tells transformers that grouped-query attention needs no copies of keys and values, even with a mask."""


class CausalModel(LanguageModel):
    """Any ``AutoModelForCausalLM``."""

    family = "causal"
    label_anywhere = False
    layers: LayerStack
    left_aligned = False
    reads_text_after_answer = False
    closing_tokens = False

    @torch.no_grad()
    def _layer_stack(self) -> LayerStack:
        ids = torch.tensor([[0, 0]], device=self.device)
        return LayerStack(self.model, self.model.config.get_text_config().num_hidden_layers, ids)

    def _model_parts(self) -> ModelParts:
        names = linear_names(self.model)
        return ModelParts(names, self.layers.linear_names(names, self.model))

    def frozen_layers(self, settings: Settings) -> int:
        return len(self.layers.lower) if settings.tuning == "tail" and self.layers.replayable else 0

    def _supports(self, mode: str) -> bool:
        return super()._supports(mode) and (TUNING_MODES[mode].needs != "prefixes" or self._caches_prefixes)

    @cached_property
    def cache_name(self) -> str:
        """Name of the ``forward`` argument that takes cached keys and values."""
        return cache_name(self.model)

    @cached_property
    @torch.no_grad()
    def _caches_prefixes(self) -> bool:
        """Whether prefixes can be cached.

        All keys and values must have one shape [rows, heads, length, width], and gaps must not matter
        (``_tolerates_gaps``).
        """
        output = self.model(input_ids=torch.tensor([[0, 0]], device=self.device), use_cache=True)
        layers = getattr(cache_of(output), "layers", [])
        states = [getattr(layer, name, None) for layer in layers for name in ("keys", "values")]
        # None: of a layer without attention, whose state has another form.
        shapes = {() if state is None else tuple(state.shape) for state in states}
        return len(shapes) == 1 and len(next(iter(shapes))) == 4 and self._tolerates_gaps()

    def _tolerates_gaps(self) -> bool:
        """Whether unused columns between a cached prefix and the tokens after it leave the scores unchanged.

        They do not in models that count columns instead of positions.
        """
        texts = trial_ids(self.encoder, "It was good.")
        rows = [EncodedRow((ids,), (last_token_target(ids),)) for ids in texts]
        tails = [EncodedRow((ids[-2:],), (Target(0, (1,), ids[:1]),), len(ids) - 2) for ids in texts]
        with self.temporary_prefixes():
            kept = EncodedPrompt(tails, states=self.prefixes.states([list(ids[:-2]) for ids in texts]))
        alone = [self.scores(self.passes.batch(EncodedPrompt([row]), [0]))[0] for row in rows]
        self.tokens_processed = 0
        return all(map(equal_up_to_rounding, alone, self.scores(self.passes.batch(kept, [0, 1]))))

    # Prompts

    def encode(self, candidate: Candidate, rows: Sequence[Example]) -> list[EncodedRow]:
        return self._encode(candidate, rows, [[] for _ in rows])

    def _encode(
        self, candidate: Candidate, rows: Sequence[Example], heads: list[list[int]], spare: int = 0
    ) -> list[EncodedRow]:
        rendered = self._rendered(candidate, rows, spare)
        return [continuation_row(own, head, candidate) for own, head in zip(rendered, heads, strict=True)]

    def _rendered(self, candidate: Candidate, rows: Sequence[Example], spare: int = 0) -> list[list[Rendered]]:
        """Each row's prompt with each of its answers.

        A target text ends with the model's end-of-text token, unless it was cut: the model should not learn to stop in
        mid-sentence.
        """
        answers = self.encoder.answers(candidate, rows)
        rendered = self.encoder.render(candidate, rows, answers, closing_tokens=False, spare=spare)
        end = self.encoder.tokenizer.eos_token_id
        if candidate.label_words.pairs or end is None:
            return rendered
        return [
            [replace(r, blanks=True) if self.encoder.is_cut(row.label) else with_end_token(r, end) for r in own]
            for row, own in zip(rows, rendered, strict=True)
        ]

    def check(self, candidate: Candidate) -> None:
        after = candidate.template.segments[candidate.template.segments.index(Slot(LABEL)) + 1 :]
        if any(isinstance(segment, Soft) for segment in after):
            raise InputError("A causal model scores what follows {label}, where no trainable vectors can stand.")
        if after and not candidate.label_words.pairs:
            raise InputError(
                f"The template {candidate.template.format()!r} has text after its {{label}}, and a target text has to "
                "be the end; move {label} there."
            )
        super().check(candidate)

    @cached_property
    def _window(self) -> int:
        """The shortest attention window of the layers, in columns.

        Columns count because padding after a cached prefix can lie between neighbouring tokens.
        """
        text = self.model.config.get_text_config()
        known = [getattr(text, name, None) for name in ("sliding_window", "window_size", "attention_chunk_size")]
        return min([n for n in known if isinstance(n, int) and n > 0], default=1 << 30)

    def _is_cacheable(self, candidate: Candidate) -> bool:
        """Whether the prompt up to the end of the text can be run once and cached."""
        head = candidate.template.head().segments
        frozen = candidate.settings.mode.caches_prefixes
        return frozen and self._caches_prefixes and bool(head) and not any(isinstance(s, Soft) for s in head)

    def prompt(self, candidate: Candidate, rows: Sequence[Example]) -> EncodedPrompt:
        return self._prompt(candidate, rows)

    def _prompt(self, candidate: Candidate, rows: Sequence[Example], spare: int = 0) -> EncodedPrompt:
        candidate = with_soft_vectors(candidate)
        heads = self._cacheable_heads(candidate, rows, spare)
        if heads is not None:
            encoded = self._encode(candidate, rows, heads, spare)
            columns = max(row.cached_tokens for row in encoded) + max(len(ids) for row in encoded for ids in row.inputs)
            if columns + spare <= self._window:
                return EncodedPrompt(encoded, candidate.template.soft, self.prefixes.states(heads))
        return EncodedPrompt(self._encode(candidate, rows, [[] for _ in rows], spare), candidate.template.soft)

    def _cacheable_heads(self, candidate: Candidate, rows: Sequence[Example], spare: int = 0) -> list[list[int]] | None:
        """Each row's ids up to the end of the text, if that part can be run once and cached; else None."""
        heads = self.encoder.heads(candidate, rows, spare=spare) if rows and self._is_cacheable(candidate) else []
        return heads if heads and max(map(len, heads)) < self._window else None

    @cached_property
    def prefixes(self) -> CachedHeads:
        """The cached prefixes."""
        store = PrefixStore(self.options.prefix_folder, device=str(self.device))
        return CachedHeads(store, self.passes, self._run_heads, self._count)

    @contextmanager
    def temporary_prefixes(self) -> Iterator[None]:
        with self.prefixes.temporary():
            yield

    def prepare_prefix(self, candidate: Candidate, rows: Sequence[Example], part: int, parts: int) -> int:
        heads = self._cacheable_heads(with_soft_vectors(candidate), rows)
        before = self.tokens_processed
        if heads is not None:
            self.prefixes.prepare(heads, part, parts)
        return self.tokens_processed - before

    def _run_heads(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Keys and values [layers * 2, rows, heads, columns, width] of one pass over heads."""
        if self.tuner.busy:
            raise RuntimeError("cached prefixes are the frozen model's: make prompts before `adapted`")
        with self.on_device():
            cache = cache_of(
                self.model(
                    input_ids=ids.to(self.device), attention_mask=mask.to(self.device), use_cache=True, logits_to_keep=1
                )
            )
        return torch.stack([part for layer in cache.layers for part in (layer.keys, layer.values)])

    # Passes

    @contextmanager
    def on_device(self) -> Iterator[None]:
        """bf16 autocast on CUDA; on the CPU, grouped-query attention without copies of keys and values."""
        with _SHARED_HEADS.set() if self.device.type == "cpu" else nullcontext(), super().on_device():
            yield

    def forward(self, batch: Batch, embeds: Tensor | None = None) -> Tensor:
        cache = batch.prefix.cache() if batch.prefix is not None else None
        self.tokens_processed += batch.tokens
        replaying = self.layers.replaying(batch.lower, batch.lower_layers)
        with self.on_device(), replaying, self.vectors.inserted(batch.ids, embeds) as ids:
            logits: Tensor = self.model(
                input_ids=ids,
                attention_mask=batch.mask,
                position_ids=batch.positions,
                use_cache=cache is not None,
                **{self.cache_name: cache},
            ).logits
        return logits

    @torch.no_grad()
    def perplexity(self, text: str) -> float | None:
        (ids, _), *_ = self.encoder.tokenize([text], special=False)
        if not ids:
            return 1.0
        tokenizer = self.encoder.tokenizer
        start = next(t for t in (tokenizer.bos_token_id, tokenizer.eos_token_id, ids[0]) if t is not None)
        self.tokens_processed += len(ids)

        def run(_: Sequence[int]) -> float:
            sequence = torch.tensor([[start, *ids]], device=self.device)
            with self.on_device():
                log_probs = self.model(input_ids=sequence).logits[0, :-1].float().log_softmax(-1)
            return math.exp(-float(log_probs[torch.arange(len(ids)), sequence[0, 1:]].mean()))

        return none_if_out_of_memory(run, ())

    @property
    def answer_room(self) -> int:
        """Positions that a prompt leaves for generated text: ``max_length``, or less if the model has few."""
        return min(self.options.max_length, self.encoder.limit // 4)

    def answer_prompt(self, candidate: Candidate, rows: Sequence[Example]) -> EncodedPrompt:
        # Tokenise with a sample answer, so that the tokens before it are those of a complete prompt.
        sample = [replace(row, label="a") for row in rows] if not candidate.label_words.pairs else rows
        prompted = self._prompt(candidate, sample, self.answer_room)
        return replace(prompted, rows=[up_to_answer(row) for row in prompted.rows])

    @torch.no_grad()
    def generate(self, prompted: EncodedPrompt, length: int) -> list[str]:
        ends = end_tokens(self.model, self.encoder.tokenizer)

        def decode(batch: Batch) -> list[list[int]]:
            return greedy(batch, self._decoding_step, self._count, length, ends=ends, limit=self.encoder.limit)

        out = [""] * len(prompted)
        for rows, generated in self.passes.over(prompted, decode):
            for row, ids in zip(rows, generated, strict=True):
                stop = next((i for i, token in enumerate(ids) if token in ends), len(ids))
                # The last token is generated but not read, so it needs no position.
                own = prompted.rows[row]
                room = self.encoder.limit + 1 - own.cached_tokens - len(own.inputs[0])
                out[row] = self.encoder.tokenizer.decode(ids[: min(stop, room)], skip_special_tokens=True).strip()
        return out

    def _decoding_step(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: Any) -> Any:
        """The network's output; only the last column has logits."""
        with self.on_device(), self.vectors.inserted(ids) as given:
            return self.model(
                input_ids=given,
                attention_mask=mask,
                position_ids=positions,
                use_cache=True,
                logits_to_keep=1,
                **{self.cache_name: cache},
            )

    def _count(self, tokens: int) -> None:
        self.tokens_processed += tokens

    # Gradients

    def gradient_prompt(self, candidate: Candidate, rows: Sequence[Example]) -> EncodedPrompt:
        # Literal text before the data is in the cached prefix. Its gradients need a pass over all tokens, which is made
        # only if there is no other literal text.
        tail = candidate.template.segments[len(candidate.template.head().segments) :]
        if not any(isinstance(s, Literal) and s.text.strip() for s in tail):
            return super().gradient_prompt(candidate, rows)
        prompted = self.prompt(candidate, rows)
        # Start one token earlier, so that the position that predicts the first literal token is in the tail.
        first = [own[0].ids for own in self._rendered(candidate, rows)]
        shifted = [one_token_earlier(row, ids) for row, ids in zip(prompted.rows, first, strict=True)]
        return EncodedPrompt(shifted, prompted.soft, prompted.states)

    def literal_places(
        self, candidate: Candidate, row: Example, encoded: EncodedRow
    ) -> list[list[tuple[int, LiteralToken]]]:
        ((first, *_),) = self._rendered(candidate, [row])
        tokens = [t for t in first.literals(after_answer=False) if t.index > encoded.cached_tokens]
        own = first.ids[encoded.cached_tokens :]
        # Another label's word may have merged with the last literal token; that place is then left out.
        return [
            [(at, t) for t in tokens if ids[: (at := t.index - encoded.cached_tokens) + 1] == own[: at + 1]]
            for ids in encoded.inputs
        ]

    def likelihoods(
        self,
        candidate: Candidate,
        rows: Sequence[Example],
        prompted: EncodedPrompt,
        places: Sequence[Sequence[tuple[int, LiteralToken]]],
    ) -> Tensor:
        del candidate, rows
        batch = self.passes.batch(prompted, range(len(prompted)))
        shift = [batch.ids.shape[1] - len(row.inputs[0]) for row in prompted.rows]
        sequence, columns, start = [], [], 0
        for row, found, pad in zip(prompted.rows, places, shift, strict=True):
            sequence += [start] * len(found)
            columns += [pad + at - 1 for at, _ in found]
            start += len(row.inputs)
        request = LogitRequest(torch.tensor(sequence, device=self.device), torch.tensor(columns, device=self.device))
        log_probs = self.requested_logits(batch, request)[0].detach().float().log_softmax(-1).cpu()
        return log_probs.view(len(prompted), len(places[0]), -1).mean(0)
