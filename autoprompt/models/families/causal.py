"""Causal (GPT-like) models: the answer is scored as the continuation of the prompt."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Example
from autoprompt.errors import InputError
from autoprompt.hashing import canonical_json, digest
from autoprompt.models.acceleration.layer_replay import LayerStack
from autoprompt.models.acceleration.lm_head import Asked
from autoprompt.models.acceleration.micro_batches import attempt
from autoprompt.models.acceleration.prefix_cache import PrefixStore, blocks
from autoprompt.models.adaptation.methods import Parts
from autoprompt.models.families.base import TextModel
from autoprompt.models.introspection import cache_name, cache_of, linear_names
from autoprompt.models.locks import SharedVariable
from autoprompt.models.prompts.batching import Batch, EncodedPrompt, padded
from autoprompt.models.prompts.tokenized import EncodedRow, LiteralToken, Rendered, Target, encoded_row
from autoprompt.models.types import FitFailedError, LoadOptions, Prompted, pick_device
from autoprompt.template import LABEL, Literal, Slot, Soft
from autoprompt.tuning_modes import TUNING_MODES

_SHARED_HEADS = SharedVariable("TRANSFORMERS_SDPA_FORCE_GQA", "1")
"""Tells transformers that grouped-query attention needs no copies of keys and values, even with a mask."""

MIN_TAIL = 4
"""Minimum number of positions that ``tail`` tunes, because a fine-tune needs some positions to learn at. Where the
template has fewer after the text, the last positions of the text are included."""


class CausalModel(TextModel):
    """Any ``AutoModelForCausalLM``."""

    family = "causal"
    label_anywhere = False
    layers: LayerStack
    left_aligned = False
    reads_after = False
    closing = False

    def __init__(self, network: Any, tokenizer: Any, options: LoadOptions) -> None:
        self.store = PrefixStore(options.prefix_folder, device=str(pick_device(options.device)))
        super().__init__(network, tokenizer, options)

    @torch.no_grad()
    def _layer_stack(self) -> LayerStack:
        ids = torch.tensor([[0, 0]], device=self.device)
        return LayerStack(self.model, self.model.config.get_text_config().num_hidden_layers, ids)

    def _parts(self) -> Parts:
        names = linear_names(self.model)
        return Parts(names, self.layers.linear_names(names, self.model))

    def frozen_layers(self, settings: Settings) -> int:
        return len(self.layers.lower) if settings.tuning == "tail" and self.layers.replayable else 0

    def _supports(self, mode: str) -> bool:
        return super()._supports(mode) and (TUNING_MODES[mode].needs != "prefixes" or self._keeps_states)

    @cached_property
    def cache_name(self) -> str:
        """Name of the ``forward`` argument that takes cached keys and values."""
        return cache_name(self.model)

    @cached_property
    @torch.no_grad()
    def _keeps_states(self) -> bool:
        """Whether prefixes can be cached.

        All keys and values must have one shape [rows, heads, length, width], and gaps must not matter
        (``_minds_no_gap``).
        """
        output = self.model(input_ids=torch.tensor([[0, 0]], device=self.device), use_cache=True)
        layers = getattr(cache_of(output), "layers", [])
        states = [getattr(layer, name, None) for layer in layers for name in ("keys", "values")]
        # None: of a layer without attention, whose state has another form.
        shapes = {() if state is None else tuple(state.shape) for state in states}
        return len(shapes) == 1 and len(next(iter(shapes))) == 4 and self._minds_no_gap()

    def _minds_no_gap(self) -> bool:
        """Whether unused columns between a cached prefix and the tokens after it leave the scores unchanged.

        They do not in models that count columns instead of positions.
        """
        whole = self.trial_ids("It was good.")
        rows = [EncodedRow((ids,), self._trial_targets(ids)) for ids in whole]
        tails = [EncodedRow((ids[-2:],), (Target(0, (1,), ids[:1]),), len(ids) - 2) for ids in whole]
        with self.passing_prefixes():
            kept = EncodedPrompt(tails, states=self._states([list(ids[:-2]) for ids in whole]))
        alone = [self.scores(self.batch(EncodedPrompt([row]), [0]))[0] for row in rows]
        self.tokens_processed = 0
        return all(map(self.alike, alone, self.scores(self.batch(kept, [0, 1]))))

    # Prompts

    def encode(self, candidate: Candidate, rows: Sequence[Example]) -> list[EncodedRow]:
        return self._encode(candidate, rows, [[] for _ in rows])

    def _encode(
        self, candidate: Candidate, rows: Sequence[Example], heads: list[list[int]], spare: int = 0
    ) -> list[EncodedRow]:
        rendered = self._rendered(candidate, rows, spare)
        return [_encode_row(own, head, candidate) for own, head in zip(rendered, heads, strict=True)]

    def _rendered(self, candidate: Candidate, rows: Sequence[Example], spare: int = 0) -> list[list[Rendered]]:
        """Each row's prompt with each of its answers.

        A target text ends with the model's end-of-text token, unless it was cut: the model should not learn to stop in
        mid-sentence.
        """
        answers = self.encoder.answers(candidate, rows)
        rendered = self.encoder.render(candidate, rows, answers, closing=False, spare=spare)
        end = self.encoder.tokenizer.eos_token_id
        if candidate.label_words.pairs or end is None:
            return rendered
        return [
            [replace(r, blanks=True) if self.encoder.cuts(row.label) else _ended(r, end) for r in own]
            for row, own in zip(rows, rendered, strict=True)
        ]

    def check(self, candidate: Candidate) -> None:
        after = candidate.template.segments[candidate.template.segments.index(Slot(LABEL)) + 1 :]
        if any(isinstance(segment, Soft) for segment in after):
            raise InputError("A causal model scores what follows {label}, where no trainable vectors can stand.")
        if after and not candidate.label_words.pairs:
            raise InputError(
                f"The template {candidate.template.format()!r} goes on after its {{label}}; a target text stands at "
                "the end."
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

    def _keepable(self, candidate: Candidate) -> bool:
        """Whether the prompt up to the end of the text can be run once and cached."""
        head = candidate.template.head().segments
        frozen = candidate.settings.mode.caches_prefixes
        return frozen and self._keeps_states and bool(head) and not any(isinstance(s, Soft) for s in head)

    def prompt(self, candidate: Candidate, rows: Sequence[Example]) -> EncodedPrompt:
        return self._prompt(candidate, rows)

    def _prompt(self, candidate: Candidate, rows: Sequence[Example], spare: int = 0) -> EncodedPrompt:
        candidate = self.completed(candidate)
        heads = self._kept_heads(candidate, rows, spare)
        if heads is not None:
            encoded = self._encode(candidate, rows, heads, spare)
            columns = max(row.keep for row in encoded) + max(len(ids) for row in encoded for ids in row.inputs)
            if columns + spare <= self._window:
                return EncodedPrompt(encoded, candidate.template.soft, self._states(heads))
        return EncodedPrompt(self._encode(candidate, rows, [[] for _ in rows], spare), candidate.template.soft)

    def _kept_heads(self, candidate: Candidate, rows: Sequence[Example], spare: int = 0) -> list[list[int]] | None:
        """Each row's ids up to the end of the text, if that part can be run once and cached; else None."""
        heads = self.encoder.heads(candidate, rows, spare=spare) if rows and self._keepable(candidate) else []
        return heads if heads and max(map(len, heads)) < self._window else None

    @contextmanager
    def passing_prefixes(self) -> Iterator[None]:
        lasting, self.store = self.store, PrefixStore(None)
        try:
            yield
        finally:
            self.store = lasting

    def prepare_prefix(self, candidate: Candidate, rows: Sequence[Example], part: int, parts: int) -> int:
        candidate = self.completed(candidate)
        heads = self._kept_heads(candidate, rows)
        if heads is None:
            return 0
        before = self.tokens_processed
        # If memory is too short, only the candidate that needs the prefix should fail later, not the run.
        with suppress(FitFailedError):
            for block in blocks([len(head) for head in heads])[part::parts]:
                self._block_states([heads[row] for row in block])
        return self.tokens_processed - before

    def _states(self, heads: list[list[int]]) -> list[Tensor]:
        out: dict[int, Tensor] = {}
        for block in blocks([len(head) for head in heads]):
            kv = self._block_states([heads[row] for row in block])
            out |= {row: kv[:, place] for place, row in enumerate(block)}
        return [out[row] for row in range(len(heads))]

    def _block_states(self, heads: list[list[int]]) -> Tensor:
        return self.store.get(digest(canonical_json(heads))[:32], lambda: self._head_states(heads))

    @torch.no_grad()
    def _head_states(self, heads: list[list[int]]) -> Tensor:
        """Prefix states [layers * 2, rows, heads, longest, width]; values past a row's length are never read."""
        if self.tuner.busy:
            raise RuntimeError("cached prefixes are the frozen model's: make prompts before `adapted`")
        ids, mask, _ = padded([head or [0] for head in heads], 0, left=False)
        self.tokens_processed += sum(map(len, heads))
        found = [s for _, s in self.in_memory(range(len(heads)), lambda rows: self._run_heads(ids[rows], mask[rows]))]
        if len(found) == 1:
            return found[0]
        whole = attempt(lambda _: torch.cat(found, 1), ())
        if whole is None:
            raise FitFailedError("the memory is too short for the cached prefixes")
        return whole

    def _run_heads(self, ids: Tensor, mask: Tensor) -> Tensor:
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
        past = batch.past.cache() if batch.past is not None else None
        self.tokens_processed += batch.tokens
        with self.on_device(), self.replaying(batch), self.vectors.placed(batch.ids, embeds) as ids:
            logits: Tensor = self.model(
                input_ids=ids,
                attention_mask=batch.mask,
                position_ids=batch.positions,
                use_cache=past is not None,
                **{self.cache_name: past},
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

        return attempt(run, ())

    @property
    def room(self) -> int:
        """Positions that a prompt leaves for generated text: ``max_length``, or less if the model has few."""
        return min(self.options.max_length, self.encoder.limit // 4)

    def asking(self, candidate: Candidate, rows: Sequence[Example]) -> EncodedPrompt:
        # Tokenise with a sample answer, so that the tokens before it are those of a complete prompt.
        sample = [replace(row, label="a") for row in rows] if not candidate.label_words.pairs else rows
        prompted = self._prompt(candidate, sample, self.room)
        up_to = [replace(r, inputs=(r.inputs[0][: r.targets[0].places[0] + 1],), targets=()) for r in prompted.rows]
        return replace(prompted, rows=up_to)

    @torch.no_grad()
    def generate(self, prompted: Prompted, length: int) -> list[str]:
        from autoprompt.models.acceleration.decoding import greedy

        assert isinstance(prompted, EncodedPrompt)  # noqa: S101
        return greedy(self, prompted, length)

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
        shifted = [_one_earlier(row, ids) for row, ids in zip(prompted.rows, first, strict=True)]
        return EncodedPrompt(shifted, prompted.soft, prompted.states)

    def literal_places(
        self, candidate: Candidate, row: Example, encoded: EncodedRow
    ) -> list[list[tuple[int, LiteralToken]]]:
        ((first, *_),) = self._rendered(candidate, [row])
        tokens = [t for t in first.literals(after_answer=False) if t.index > encoded.keep]
        own = first.ids[encoded.keep :]
        # Another label's word may have merged with the last literal token; that place is then left out.
        return [
            [(at, t) for t in tokens if ids[: (at := t.index - encoded.keep) + 1] == own[: at + 1]]
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
        batch = self.batch(prompted, range(len(prompted)))
        shift = [batch.ids.shape[1] - len(row.inputs[0]) for row in prompted.rows]
        sequence, columns, start = [], [], 0
        for row, found, pad in zip(prompted.rows, places, shift, strict=True):
            sequence += [start] * len(found)
            columns += [pad + at - 1 for at, _ in found]
            start += len(row.inputs)
        asked = Asked(torch.tensor(sequence, device=self.device), torch.tensor(columns, device=self.device))
        log_probs = self.asked(batch, asked)[0].detach().float().log_softmax(-1).cpu()
        return log_probs.view(len(prompted), len(places[0]), -1).mean(0)


def _ended(rendered: Rendered, end: int) -> Rendered:
    at = rendered.starts[-1]
    return replace(rendered, ids=(*rendered.ids, end), spans=(*rendered.spans, (at, at)), blanks=True)


def _one_earlier(row: EncodedRow, ids: tuple[int, ...]) -> EncodedRow:
    if not row.keep:
        return row
    keep = row.keep - 1
    inputs = tuple((ids[keep], *own) for own in row.inputs)
    targets = tuple(replace(t, places=tuple(place + 1 for place in t.places)) for t in row.targets)
    return replace(row, keep=keep, inputs=inputs, targets=targets)


def _encode_row(rendered: Sequence[Rendered], head: Sequence[int], candidate: Candidate) -> EncodedRow:
    context = min(r.answer[0] for r in rendered)
    shared = _agreement([head, *(r.ids for r in rendered)])
    keep = max(0, min(shared, context - (MIN_TAIL if candidate.settings.tuning == "tail" else 1)))
    answers = []
    for r in rendered:
        # A prompt that begins with the label has nothing to predict its first token from.
        first = max(r.answer[0], 1)
        own = r.ids[keep:-1]
        answers.append((own, tuple(range(first - 1 - keep, len(own))), r.ids[first:]))
    return encoded_row(answers, candidate.label_words, keep=keep)


def _agreement(sequences: Sequence[Sequence[int]]) -> int:
    """Length of the common prefix."""
    shortest = min(len(s) for s in sequences)
    first = sequences[0]
    return next((i for i in range(shortest) if any(s[i] != first[i] for s in sequences)), shortest)
