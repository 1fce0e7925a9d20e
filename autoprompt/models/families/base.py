"""``TextModel``, base class of the model families: passes, scores, features, fine-tuning."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from torch import Tensor

from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Example
from autoprompt.errors import InputError, UsageError
from autoprompt.models.acceleration.layer_replay import LayerStack
from autoprompt.models.acceleration.lm_head import Asked, OutputLayer
from autoprompt.models.acceleration.micro_batches import attempt, in_memory
from autoprompt.models.acceleration.onednn import pack
from autoprompt.models.acceleration.prefix_cache import blocks
from autoprompt.models.adaptation.lora_init import mean_inputs
from autoprompt.models.adaptation.methods import Parts
from autoprompt.models.adaptation.soft_prompts import SoftVectors
from autoprompt.models.adaptation.tuning import LEARNT, Tuner
from autoprompt.models.families.registry import FAMILIES
from autoprompt.models.introspection import embedding, limit, linear_names, ordinary, padding
from autoprompt.models.library_errors import translated
from autoprompt.models.loading import loaded
from autoprompt.models.locks import Turn
from autoprompt.models.prompts import vocabulary
from autoprompt.models.prompts.batching import Batch, EncodedPrompt, collate, label_scores
from autoprompt.models.prompts.encoding import Encoder
from autoprompt.models.prompts.special_tokens import chat_format
from autoprompt.models.prompts.tokenized import EncodedRow, LiteralToken, Target
from autoprompt.models.types import (
    Delta,
    Features,
    FitFailedError,
    LanguageModel,
    LoadOptions,
    Prompted,
    TokenProposals,
    pick_device,
)
from autoprompt.template import LABEL, LabelWords, Slot, Soft, Template, render_value

T = TypeVar("T")

SCORE_SEQUENCES = 32
"""Sequences per scoring pass."""
SOFT_TOKENS = 8
"""Trainable vectors put before a template that has none, in tuning mode ``soft``."""


class TextModel(LanguageModel):
    """A transformers model in float32, with bf16 autocast on CUDA."""

    left_aligned = True
    """Whether the inputs of a batch begin in the same column (padding on the right) or end in the same one (on the
    left)."""
    narrows = True
    """Whether the output layer can be asked for the logits of only some ids."""
    reads_after = True
    """Whether text after the answer is part of the input."""
    closing = True
    """Whether the tokenizer's closing special tokens belong to the input."""

    def __init__(self, network: Any, tokenizer: Any, options: LoadOptions) -> None:
        self.turn = Turn()
        self.device = pick_device(options.device)
        self.model: Any = network.to(self.device).eval()
        pack(self.model, linear_names(self.model))
        self.options = options
        chat = chat_format(tokenizer) if options.chat else None
        rows = embedding(self.model).weight.shape[0]
        self.encoder = Encoder(tokenizer, options.max_length, limit(self.model, tokenizer), chat, rows)
        tokenizer.model_max_length = int(1e30)  # the encoder applies the limit; fields are tokenised before cutting
        self.pad = padding(self.model, tokenizer)
        self.vectors = SoftVectors(embedding(self.model), ordinary(self.model, tokenizer))
        self.tokens_processed = 0
        self.output = self._output_layer()
        self.layers = self._layer_stack()
        self.tuner = Tuner(self.model, self._parts(), self.vectors)
        modes = [mode for mode in FAMILIES[self.family].modes if self._supports(mode)]
        self.tuning_modes = tuple(sorted(modes, key="none".__eq__))  # the frozen model last
        self._try_out()

    @classmethod
    def load(cls, folder: Path, tokenizer: Any, options: LoadOptions) -> Self:
        """Load the model in a folder. Raises InputError when it cannot be used as one of this family."""
        network, report = loaded(
            folder, cls._auto_class().from_pretrained, dtype=torch.float32, output_loading_info=True
        )
        if report["missing_keys"]:
            raise InputError(
                f"The model in {folder} lacks weights that a {cls.family} model needs ({min(report['missing_keys'])}); "
                "use another model, or this one as a classifier."
            )
        with translated(f"The model in {folder} cannot be used"):
            return cls(network, tokenizer, options)

    @classmethod
    def _auto_class(cls) -> Any:
        """The class of transformers that loads the family's checkpoints."""
        import transformers

        return getattr(transformers, FAMILIES[cls.family].auto_class)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        out = memo[id(self)] = object.__new__(type(self))
        with self.turn:
            out.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return out

    def __getstate__(self) -> dict[str, Any]:
        """The state to pickle: a copy, since another thread may change the network while the pickle is written."""
        with self.turn:
            return copy.deepcopy(self.__dict__, {id(self): self})

    # What a family implements or overrides

    @abstractmethod
    def encode(self, candidate: Candidate, rows: Sequence[Example]) -> list[EncodedRow]:
        """The rows' prompts as tokens, without a cached prefix."""

    @abstractmethod
    def forward(self, batch: Batch, embeds: Tensor | None = None) -> Tensor:
        """Run one pass; return the logits that the output layer was asked for (see ``asked``).

        A classifier returns [rows, labels]. ``embeds`` [sequences, columns, width] replace the embeddings of the
        prompt's ids.
        """

    @abstractmethod
    def literal_places(
        self, candidate: Candidate, row: Example, encoded: EncodedRow
    ) -> list[list[tuple[int, LiteralToken]]]:
        """The literal tokens and their indices in each prompt sequence of a row."""

    def _layer_stack(self) -> LayerStack | None:
        """The layer stack, for families with tuning modes that train nothing in the lower layers; else None."""
        return None

    def frozen_layers(self, settings: Settings) -> int:
        """Number of layers below everything that a tuning mode trains."""
        del settings
        return 0

    def _parts(self) -> Parts:
        return Parts(linear_names(self.model))

    def _supports(self, mode: str) -> bool:
        """Whether this model supports a tuning mode of the family."""
        return self.tuner.fits(mode)

    def _output_layer(self) -> OutputLayer | None:
        layer = self.model.get_output_embeddings()
        if layer is None or layer.weight.shape[0] != self.model.config.get_text_config().vocab_size:
            raise self._unusable()
        return OutputLayer(layer)

    def _unusable(self) -> InputError:
        kind = self.model.config.model_type
        return InputError(
            f"A model of type {kind!r} has no plain output layer over its vocabulary; use a model of another type."
        )

    @torch.no_grad()
    def _try_out(self) -> None:
        """Check with short passes that the output layer gives what it is asked for, and that padding has no effect.

        Raises InputError otherwise.
        """
        rows = [EncodedRow((ids,), self._trial_targets(ids), 0, ids) for ids in self.trial_ids("a")]
        alone, beside = (self.scores(self.batch(EncodedPrompt(rows), few))[0] for few in ([0], [0, 1]))
        self.tokens_processed = 0
        if not self.alike(alone, beside):
            kind = self.model.config.model_type
            raise InputError(
                f"A model of type {kind!r} gives a row other scores beside longer rows; use a model of another type."
            )

    def trial_ids(self, short: str) -> list[tuple[int, ...]]:
        """Token ids of a short text and a longer one."""
        texts = (short, self.encoder.cut("It was good all day, from start to end. " * 8, 32))
        return [tuple(chain(*self.encoder.whole(text))) for text in texts]

    def alike(self, one: Tensor, other: Tensor) -> bool:
        """Whether scores differ only by rounding."""
        one, other = one.float(), other.float()
        tolerance = 2e-3 if self.device.type == "cpu" else 5e-2  # bf16
        return not bool(((one - other).abs() > tolerance * (1 + one.abs())).any())

    def _trial_targets(self, ids: tuple[int, ...]) -> tuple[Target, ...]:
        return (Target(0, (len(ids) - 1,), ids[:1]),)

    # Prompts

    def prompt(self, candidate: Candidate, rows: Sequence[Example]) -> EncodedPrompt:
        candidate = self.completed(candidate)
        return EncodedPrompt(self.encode(candidate, rows), candidate.template.soft)

    def completed(self, candidate: Candidate) -> Candidate:
        """The candidate, with trainable vectors added where tuning mode ``soft`` would have none to train."""
        if candidate.settings.tuning != "soft" or candidate.template.soft:
            return candidate
        return replace(candidate, template=Template((Soft(SOFT_TOKENS), *candidate.template.segments)))

    @contextmanager
    def passing_prefixes(self) -> Iterator[None]:
        yield

    def prepare_prefix(self, candidate: Candidate, rows: Sequence[Example], part: int, parts: int) -> int:
        del candidate, rows, part, parts
        return 0

    def batch(self, prompted: Prompted, rows: Sequence[int]) -> Batch:
        """Collate some rows for one pass."""
        assert isinstance(prompted, EncodedPrompt)  # noqa: S101
        return collate(prompted, rows, self.device, pad=self.pad, left=not self.left_aligned)

    def row_blocks(self, prompted: EncodedPrompt) -> list[list[int]]:
        """Row indices grouped by similar length, one group per scoring pass."""
        if not prompted.rows:
            return []
        most = max(len(row.inputs) for row in prompted.rows)
        lengths = [len(row.context) + max(map(len, row.inputs)) for row in prompted.rows]
        return blocks(lengths, max(1, SCORE_SEQUENCES // most))

    # Passes

    @contextmanager
    def on_device(self) -> Iterator[None]:
        """bf16 autocast on CUDA."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.device.type == "cuda"):
            yield

    def asked(self, batch: Batch, asked: Asked, embeds: Tensor | None = None) -> Tensor:
        """Run one pass; return the logits [1, places, ids] that are asked for."""
        assert self.output is not None  # noqa: S101
        with self.output.only(asked):
            logits = self.forward(batch, embeds)
        if asked.hidden is None:
            raise self._unusable()
        return logits

    def scores(self, batch: Batch) -> Tensor:
        """Label scores of one pass [rows, labels], with gradients if they are enabled."""
        assert batch.targets is not None  # noqa: S101
        whole = not self.narrows
        return label_scores(batch.targets, self.asked(batch, batch.targets.asked(whole=whole)), whole=whole)

    @torch.no_grad()
    def score(self, prompted: Prompted) -> Tensor:
        assert isinstance(prompted, EncodedPrompt)  # noqa: S101
        out: Tensor | None = None
        for block in self.row_blocks(prompted):
            for rows, scores in self.in_memory(
                block, lambda part: self.scores(self.batch(prompted, part)).float().cpu()
            ):
                out = scores.new_zeros((len(prompted), scores.shape[1])) if out is None else out
                out[rows] = scores.log_softmax(-1) if scores.shape[1] > 1 else scores
        if out is None:
            raise InputError("There are no rows to score.")
        if not torch.isfinite(out).all():
            raise FitFailedError("a score is not finite")
        return out

    @torch.no_grad()
    def features(self, prompted: Prompted) -> Features:
        assert isinstance(prompted, EncodedPrompt)  # noqa: S101
        parts: dict[int, tuple[Tensor, ...]] = {}
        for block in self.row_blocks(prompted):
            for rows, found in self.in_memory(block, lambda part: self.frozen(self.batch(prompted, part))):
                hidden, scores, words = (part.float().cpu() for part in found)
                parts |= {row: (hidden[i], scores[i], words[i]) for i, row in enumerate(rows)}
        columns = zip(*(parts[row] for row in range(len(prompted))), strict=True)
        return Features(*(torch.stack(column) for column in columns))

    def frozen(self, batch: Batch, embeds: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Run one pass; return each row's hidden state, label scores and vocabulary logits (see ``Features``)."""
        assert batch.targets is not None  # noqa: S101
        asked = batch.targets.asked(whole=True)
        logits = self.asked(batch, asked, embeds)
        assert asked.hidden is not None  # noqa: S101
        first = batch.targets.first
        return asked.hidden[first], label_scores(batch.targets, logits, whole=True), logits[0, first]

    def perplexity(self, text: str) -> float | None:
        del text
        return None

    def asking(self, candidate: Candidate, rows: Sequence[Example]) -> Prompted:
        del candidate, rows
        raise UsageError(f"A {self.family} model writes no text; use a causal or an encoder-decoder model.")

    def generate(self, prompted: Prompted, length: int) -> list[str]:
        del prompted, length
        raise NotImplementedError(f"nothing is asked of a {self.family} model")

    # Fine-tuning

    def tune(
        self,
        prompted: Prompted,
        gold: Sequence[int],
        settings: Settings,
        seed: int,
        ended: Callable[[int], bool] = lambda _: False,
        *,
        start: Delta | None = None,
    ) -> Delta:
        assert isinstance(prompted, EncodedPrompt)  # noqa: S101
        if settings.tuning not in self.tuning_modes:
            raise UsageError(
                f"This {self.family} model cannot be tuned with {settings.tuning!r}; use one of "
                f"{', '.join(self.tuning_modes)}."
            )
        ready = self.before_tuning(prompted, settings)
        whole = min(len(prompted), settings.batch_size)

        def loss(rows: Sequence[int]) -> Tensor:
            scores = self.scores(self.batch(ready, rows)).float()
            if scores.shape[1] == 1:
                return -scores.mean()
            labels = torch.tensor([gold[row] for row in rows], device=self.device)
            return torch.nn.functional.cross_entropy(scores, labels)

        def done(passes: int, value: float) -> bool:
            texts = len(prompted.rows[0].targets) == 1  # the loss of target texts does not show when to stop
            return (not texts and value < LEARNT) or ended(passes)

        def fit(_: Sequence[int]) -> Delta:
            inputs = partial(mean_inputs, self, ready)
            return self.tuner.fit(
                settings, loss, len(prompted), seed, soft=prompted.soft, inputs=inputs, done=done, start=start
            )

        self.tuner.micro_batch = whole
        try:
            delta = attempt(fit, range(len(prompted)))
        finally:
            if self.tuner.micro_batch < whole:
                self._reduced(self.tuner.micro_batch)
        if delta is None:
            raise FitFailedError("the memory is too short for this tuning mode")
        return delta

    def in_memory(self, rows: Sequence[int], run: Callable[[Sequence[int]], T]) -> Iterator[tuple[list[int], T]]:
        """See ``micro_batches.in_memory``; ``micro_batch`` records the number of rows of the smallest part."""
        for part, result in in_memory(rows, run):
            if len(part) < len(rows):
                self._reduced(len(part))
            yield part, result

    def _reduced(self, rows: int) -> None:
        self.micro_batch = min(rows, self.micro_batch or rows)

    @torch.no_grad()
    def before_tuning(self, prompted: EncodedPrompt, settings: Settings) -> EncodedPrompt:
        """The prompts with the output of the layers below everything that is trained.

        One pass through these layers then serves all training steps.
        """
        count = self.frozen_layers(settings)
        if prompted.soft or self.layers is None or not count:
            return prompted
        layers = self.layers
        lower: list[list[Tensor]] = [[] for _ in prompted.rows]

        def run(rows: Sequence[int]) -> Tensor:
            with layers.recording(count) as outputs:
                self.scores(self.batch(prompted, rows))
            return outputs[0]

        for block in self.row_blocks(prompted):
            for rows, found in self.in_memory(block, run):
                sequences = iter(found)
                for row in rows:
                    inputs = prompted.rows[row].inputs
                    lower[row] = [self._unpadded(next(sequences), len(ids)) for ids in inputs]
        return replace(prompted, lower=lower, lower_layers=count)

    def _unpadded(self, columns: Tensor, length: int) -> Tensor:
        return columns[:length] if self.left_aligned else columns[-length:]

    def replaying(self, batch: Batch) -> AbstractContextManager[None]:
        """Inside the context a pass skips the layers whose output the batch holds."""
        return nullcontext() if self.layers is None else self.layers.replaying(batch.lower, batch.lower_layers)

    @contextmanager
    def adapted(self, settings: Settings, delta: Delta) -> Iterator[None]:
        with self.tuner.applied(settings, delta):
            yield

    # Vocabulary

    def word_tokens(self) -> Mapping[int, str]:
        return vocabulary.words(self.encoder.tokenizer)

    def check(self, candidate: Candidate) -> None:
        vocabulary.check_words(self.encoder, candidate.label_words)
        sample = Example("", dict.fromkeys(candidate.template.slots, "x"), "x")
        self.encode(candidate, [sample])

    def target_length(self, rows: Sequence[Example]) -> int:
        return 1 + max(self.encoder.length(self.encoder.cut(row.label)) for row in rows)

    def cut_rows(self, fields: Sequence[str], rows: Sequence[Example], candidate: Candidate | None = None) -> int:
        # Without a candidate, a template of the fields alone is assumed.
        shown = candidate or Candidate(Template((*map(Slot, fields), Slot(LABEL))), LabelWords(()), Settings("none"))
        given = self.encoder.answers(shown, rows) if shown.label_words.pairs else [[""]] * len(rows)
        fitting = self.encoder.fitting(shown, rows, given)
        # Labels are names that label words replace, so only target texts are cut.
        texts = [] if self.options.labels else [self.encoder.cuts(row.label) for row in rows]
        cut = [
            any(own[n] != render_value(row.fields[n]) for n in fields) for own, row in zip(fitting, rows, strict=True)
        ]
        return sum(map(any, zip(cut, texts or cut, strict=True)))

    def propose_tokens(
        self,
        candidate: Candidate,
        rows: Sequence[Example],
        loss: Callable[[Tensor, Tensor], Tensor],
        *,
        replacements: int,
        infills: int,
    ) -> TokenProposals:
        from autoprompt.models.adaptation.token_gradients import propose

        return propose(self, candidate, rows, loss, replacements=replacements, infills=infills)

    def gradient_prompt(self, candidate: Candidate, rows: Sequence[Example]) -> EncodedPrompt:
        """The prompts, encoded so that the inputs contain all literal tokens that gradients are computed for."""
        return EncodedPrompt(self.encode(candidate, rows), candidate.template.soft)

    def likelihoods(
        self,
        candidate: Candidate,
        rows: Sequence[Example],
        prompted: EncodedPrompt,
        places: Sequence[Sequence[tuple[int, LiteralToken]]],
    ) -> Tensor | None:
        """Mean log-probability of every token at each literal place [places, vocabulary].

        None for a family without such probabilities.
        """
        del candidate, rows, prompted, places
        return None
