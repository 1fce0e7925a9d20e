"""Causal (GPT-like) models: label words are scored as the continuation of the prompt."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from autoprompt.candidate import Settings
from autoprompt.corpus import Example
from autoprompt.errors import InputError
from autoprompt.models import vocabulary
from autoprompt.models.base import Delta, Features, LanguageModel, Prompted, TokenProposals, pick_device
from autoprompt.models.batching import Batch, CausalPrompted, collate, label_scores, with_full_vocabulary
from autoprompt.models.encoding import Encoder, rows_key
from autoprompt.models.layers import LayerStack
from autoprompt.models.output import OutputLayer
from autoprompt.models.prefix import PrefixStore, blocks
from autoprompt.models.tuning import Tuner
from autoprompt.template import LabelWords, Template, render_value

_SHARED_HEADS = "TRANSFORMERS_SDPA_FORCE_GQA"
"""How transformers is told that grouped-query attention needs no copies although there is a mask."""

SCORE_SEQUENCES = 32
"""Sequences that one scoring pass holds."""


class CausalModel(LanguageModel):
    """Any ``AutoModelForCausalLM`` in float32, with bf16 autocast on CUDA."""

    def __init__(self, folder: Path, *, device: str, max_length: int, prefix_folder: Path | None) -> None:
        from safetensors import SafetensorError
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        bars = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
            raise InputError(f"The model in {folder} cannot be loaded ({str(error).splitlines()[0]}).") from error
        finally:
            if bars:
                logging.enable_progress_bar()  # type: ignore[no-untyped-call]
        self.device = pick_device(device)
        self.model: Any = cast(Any, model).to(self.device).eval()
        self.output = OutputLayer(self.model.get_output_embeddings())
        self.encoder = Encoder(tokenizer, max_length)
        self.store = PrefixStore(prefix_folder)
        self.tokens_processed = 0
        self.layers = LayerStack(self.model, self.model.config.get_text_config().num_hidden_layers, self._small_pass)
        self.tuner = Tuner(self.model, self.layers.linear_names(self.model))
        self.tuning_modes = ("tail", "full", "none") if self._keeps_states else ("full", "none")

    @torch.no_grad()
    def _small_pass(self) -> Any:
        return self.model(input_ids=torch.tensor([[0, 0]], device=self.device), use_cache=True)

    @cached_property
    def _keeps_states(self) -> bool:
        """Whether every layer's cache is one pair of [rows, heads, length, width] of the same shape."""
        layers = getattr(self._small_pass().past_key_values, "layers", [])
        shapes = {tuple(t.shape) for layer in layers for t in (getattr(layer, "keys", None),
                  getattr(layer, "values", None)) if t is not None}  # fmt: skip
        return len(shapes) == 1 and len(next(iter(shapes))) == 4

    # Rendering and batches

    def prompt(
        self,
        template: Template,
        words: LabelWords,
        rows: Sequence[Example],
        *,
        keep_prefix: bool = True,
    ) -> CausalPrompted:
        fields = [row.fields for row in rows]
        if not (keep_prefix and self._keeps_states and template.head().segments):
            return CausalPrompted(self.encoder.encode(template, words, fields, None), None)
        heads = self.encoder.heads(template, fields)
        states = self._states(template, rows, heads)
        return CausalPrompted(self.encoder.encode(template, words, fields, heads), states)

    @contextmanager
    def passing_prefixes(self) -> Iterator[None]:
        lasting, self.store = self.store, PrefixStore(None)
        try:
            yield
        finally:
            self.store = lasting

    def _states(self, template: Template, rows: Sequence[Example], heads: list[list[int]]) -> list[Tensor]:
        out: dict[int, Tensor] = {}
        for key, block in self._prefix_blocks(template, rows, heads):
            kv = self.store.get(key, lambda b=block: self._head_states([heads[row] for row in b]))  # type: ignore[misc]
            out |= {row: kv[:, place] for place, row in enumerate(block)}
        return [out[row] for row in range(len(rows))]

    def _prefix_blocks(
        self, template: Template, rows: Sequence[Example], heads: list[list[int]]
    ) -> list[tuple[str, list[int]]]:
        key = rows_key(template.head(), rows)
        return [(f"{key}-{n}", block) for n, block in enumerate(blocks([len(head) for head in heads]))]

    def prepare_prefix(self, template: Template, rows: Sequence[Example], part: int, parts: int) -> int:
        if not self._keeps_states or not template.head().segments:
            return 0
        before = self.tokens_processed
        heads = self.encoder.heads(template, [row.fields for row in rows])
        for key, block in self._prefix_blocks(template, rows, heads)[part::parts]:
            self.store.get(key, lambda b=block: self._head_states([heads[row] for row in b]))  # type: ignore[misc]
        return self.tokens_processed - before

    @torch.no_grad()
    def _head_states(self, heads: list[list[int]]) -> Tensor:
        """[layers * 2, rows, heads, longest, width]; what lies past a row's length is never looked at."""
        longest = max(1, max(len(head) for head in heads))
        ids = torch.tensor([head + [0] * (longest - len(head)) for head in heads], device=self.device)
        mask = torch.tensor([[1] * len(head) + [0] * (longest - len(head)) for head in heads], device=self.device)
        self.tokens_processed += int(mask.sum())
        with self._on_device():
            cache = self.model(input_ids=ids, attention_mask=mask, use_cache=True, logits_to_keep=1).past_key_values
        return torch.stack([part for layer in cache.layers for part in (layer.keys, layer.values)])

    def batch(self, prompted: Prompted, rows: Sequence[int]) -> Batch:
        """Collate some rows for one pass."""
        assert isinstance(prompted, CausalPrompted)  # noqa: S101
        return collate(prompted, rows, self.device)

    # Passes

    @contextmanager
    def _on_device(self) -> Iterator[None]:
        """bf16 autocast on CUDA; on the CPU attention that shares keys and values among its heads, not copies."""
        cuda, cpu = self.device.type == "cuda", self.device.type == "cpu"
        before = os.environ.get(_SHARED_HEADS)
        if cpu:
            os.environ[_SHARED_HEADS] = "1"
        try:
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=cuda):
                yield
        finally:
            if cpu and before is None:
                del os.environ[_SHARED_HEADS]
            elif cpu:
                os.environ[_SHARED_HEADS] = str(before)

    def forward(
        self, batch: Batch, *, embeds: Tensor | None = None, width: int | None = None, hidden: bool = False
    ) -> Any:
        """One pass; logits of the last ``width`` columns (default: where targets are) over the whole vocabulary."""
        past = batch.past.cache() if batch.past is not None else None
        self.tokens_processed += batch.tokens
        inputs = {"input_ids": batch.ids} if embeds is None else {"inputs_embeds": embeds}
        with self._on_device():
            return self.model(
                **inputs,
                attention_mask=batch.mask,
                position_ids=batch.positions,
                past_key_values=past,
                use_cache=past is not None,
                logits_to_keep=batch.width if width is None else width,
                output_hidden_states=hidden,
            )

    def scores(self, batch: Batch) -> Tensor:
        """Label scores of one pass [rows, labels], with gradients where they are on."""
        with self.output.only(batch.targets.vocabulary), self.layers.replaying(batch.lower):
            return label_scores(batch.targets, self.forward(batch).logits)

    @torch.no_grad()
    def _through_lower_layers(self, prompted: CausalPrompted) -> CausalPrompted:
        """The same rows with what the lower layers make of them."""
        if not self.layers.replayable:
            return prompted
        lower: list[list[Tensor]] = [[] for _ in prompted.rows]
        for rows in self._row_blocks(prompted):
            batch = self.batch(prompted, rows)
            with self.layers.recording() as outputs, self.output.only(batch.targets.vocabulary):
                self.forward(batch)
            sequences = iter(outputs[0])
            for row in rows:
                lower[row] = [next(sequences)[-len(tail) :] for tail in prompted.rows[row].tails]
        return replace(prompted, lower=lower)

    def _row_blocks(self, prompted: CausalPrompted) -> list[list[int]]:
        most = max(len(row.tails) for row in prompted.rows)
        return blocks([len(row.tails[0]) for row in prompted.rows], max(1, SCORE_SEQUENCES // most))

    @torch.no_grad()
    def score(self, prompted: Prompted) -> Tensor:
        assert isinstance(prompted, CausalPrompted)  # noqa: S101
        out: Tensor | None = None
        for rows in self._row_blocks(prompted):
            scores = self.scores(self.batch(prompted, rows)).log_softmax(-1).cpu()
            out = scores.new_zeros((len(prompted), scores.shape[1])) if out is None else out
            out[rows] = scores
        if out is None:
            raise InputError("There are no rows to score.")
        return out

    @torch.no_grad()
    def features(self, prompted: Prompted) -> Features:
        assert isinstance(prompted, CausalPrompted)  # noqa: S101
        parts: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        for rows in self._row_blocks(prompted):
            batch = self.batch(prompted, rows)
            output = self.forward(batch, hidden=True)
            sequence, column = batch.targets.first
            hidden = output.hidden_states[-1][:, -batch.width :][sequence, column].float().cpu()
            vocabulary_logits = output.logits[sequence, column].float().cpu()
            scores = with_full_vocabulary(batch.targets, output.logits).cpu()
            parts |= {row: (hidden[i], scores[i], vocabulary_logits[i]) for i, row in enumerate(rows)}
        columns = zip(*(parts[row] for row in range(len(prompted))), strict=True)
        return Features(*(torch.stack(column) for column in columns))

    @torch.no_grad()
    def perplexity(self, text: str) -> float:
        (ids, _), *_ = self.encoder.tokenize([text], special=False)
        if not ids:
            return 1.0
        tokenizer = self.encoder.tokenizer
        start = next(t for t in (tokenizer.bos_token_id, tokenizer.eos_token_id, ids[0]) if t is not None)
        sequence = torch.tensor([[start, *ids]], device=self.device)
        self.tokens_processed += len(ids)
        with self._on_device():
            log_probs = self.model(input_ids=sequence).logits[0, :-1].float().log_softmax(-1)
        return math.exp(-float(log_probs[torch.arange(len(ids)), sequence[0, 1:]].mean()))

    # Fine-tuning

    def tune(self, prompted: Prompted, gold: Sequence[int], settings: Settings, seed: int) -> Delta:
        def loss(rows: Sequence[int]) -> Tensor:
            labels = torch.tensor([gold[row] for row in rows], device=self.device)
            return torch.nn.functional.cross_entropy(self.scores(self.batch(prompted, rows)), labels)

        assert isinstance(prompted, CausalPrompted)  # noqa: S101
        if settings.tuning == "tail":
            prompted = self._through_lower_layers(prompted)
        return self.tuner.fit(settings, loss, len(prompted), seed)

    @contextmanager
    def adapted(self, settings: Settings, delta: Delta) -> Iterator[None]:
        with self.tuner.applied(settings, delta):
            yield

    # Vocabulary

    def word_tokens(self) -> Mapping[int, str]:
        return vocabulary.words(self.encoder.tokenizer)

    def check_words(self, template: Template, words: LabelWords) -> None:
        vocabulary.check_words(self.encoder, template, words)

    def cut_rows(self, fields: Sequence[str], rows: Sequence[Example]) -> int:
        texts = [[render_value(row.fields[name]) for name in fields] for row in rows]
        return sum(any(self.encoder.cut(text) != text for text in row) for row in texts)

    def propose_tokens(
        self,
        template: Template,
        words: LabelWords,
        rows: Sequence[Example],
        loss: Callable[[Tensor, Tensor], Tensor],
        *,
        count: int,
    ) -> TokenProposals:
        from autoprompt.models.gradients import propose

        return propose(self, template, words, rows, loss, count=count)
