"""``LanguageModel``, the interface of every model family and what the families have in common."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Example
from autoprompt.errors import UsageError
from autoprompt.models.acceleration.layer_replay import LayerStack
from autoprompt.models.acceleration.lm_head import LogitRequest, OutputLayer
from autoprompt.models.acceleration.onednn import pack
from autoprompt.models.adaptation.fine_tuning import FineTune, with_lower_layers
from autoprompt.models.adaptation.methods import ModelParts
from autoprompt.models.adaptation.soft_prompts import SoftVectors, with_soft_vectors
from autoprompt.models.adaptation.tuning import Tuner
from autoprompt.models.families import trial
from autoprompt.models.families.registry import FAMILIES
from autoprompt.models.families.scoring import gathered_features, gathered_scores
from autoprompt.models.introspection import input_embedding, linear_names, ordinary_token, padding_id, token_limit
from autoprompt.models.library_errors import as_input_error
from autoprompt.models.loading import load_network
from autoprompt.models.locks import ReentrantLock
from autoprompt.models.passes import Passes
from autoprompt.models.prompts import limits, vocabulary
from autoprompt.models.prompts.batching import Batch, EncodedPrompt, label_scores
from autoprompt.models.prompts.encoding import Encoder
from autoprompt.models.prompts.special_tokens import chat_format
from autoprompt.models.prompts.tokenized import EncodedRow, LiteralToken
from autoprompt.models.types import Delta, Features, Label, LoadOptions, pick_device


class LanguageModel(ABC):
    """One loaded model; fine-tuning never changes its base weights permanently.

    A transformers model in float32, with bf16 autocast on CUDA. Methods change the network in place while they run and
    restore it afterwards. Threads that share a model must therefore hold ``exclusive`` from ``prompt`` to the scores.
    """

    family: str
    tuning_modes: tuple[str, ...]
    label_anywhere: bool
    """Whether the model predicts a label in the middle of a text as well as one at the end."""
    tokens_processed: int
    left_aligned = True
    """See ``Passes``."""
    partial_vocabulary = True
    """Whether the output layer can be asked for the logits of only some ids."""
    reads_text_after_answer = True
    """Whether text after the answer is part of the input."""
    closing_tokens = True
    """Whether the tokenizer's closing special tokens belong to the input."""

    def __init__(self, network: Any, tokenizer: Any, options: LoadOptions) -> None:
        self.lock = ReentrantLock()
        self.device = pick_device(options.device)
        self.model: Any = network.to(self.device).eval()
        pack(self.model, linear_names(self.model))
        self.options = options
        chat = chat_format(tokenizer) if options.chat else None
        rows = input_embedding(self.model).weight.shape[0]
        self.encoder = Encoder(tokenizer, options.max_length, token_limit(self.model, tokenizer), chat, rows)
        tokenizer.model_max_length = int(1e30)  # the encoder applies the limit; fields are tokenised before cutting
        self.pad = padding_id(self.model, tokenizer)
        self.passes = Passes(self.device, self.pad, left_aligned=self.left_aligned)
        self.vectors = SoftVectors(input_embedding(self.model), ordinary_token(self.model, tokenizer))
        self.tokens_processed = 0
        self.output = self._output_layer()
        self.layers = self._layer_stack()
        self.tuner = Tuner(self.model, self._model_parts(), self.vectors)
        modes = [mode for mode in FAMILIES[self.family].modes if self._supports(mode)]
        self.tuning_modes = tuple(sorted(modes, key="none".__eq__))  # the frozen model last
        trial.check_padding(self.model, self.encoder, self.passes, self.scores, targets=self.output is not None)
        self.tokens_processed = 0

    @classmethod
    def load(cls, folder: Path, tokenizer: Any, options: LoadOptions) -> Self:
        """Load the model in a folder. Raises InputError when it cannot be used as one of this family."""
        network = load_network(folder, cls.family)
        with as_input_error(f"The model in {folder} cannot be used"):
            return cls(network, tokenizer, options)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        out = memo[id(self)] = object.__new__(type(self))
        with self.lock:
            out.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return out

    def __getstate__(self) -> dict[str, Any]:
        """The state to pickle: a copy, since another thread may change the network while the pickle is written."""
        with self.lock:
            return copy.deepcopy(self.__dict__, {id(self): self})

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Inside the context no other thread can enter ``exclusive``; the same thread can enter it again.

        The caller's autocast is off, so that scores do not depend on it. The caller's inference mode is off too, so
        that tensors that stay in the network (adapters, weights packed for a kernel) can be used in training later.
        """
        full = torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False)
        with self.lock, torch.inference_mode(False), full[0], full[1]:
            torch.get_num_threads()  # the first call in a new thread applies the process's number of threads
            yield

    @property
    def micro_batch(self) -> int | None:
        """Rows of the smallest pass to which a memory shortage has led since this was last set to None."""
        return self.passes.micro_batch

    @micro_batch.setter
    def micro_batch(self, rows: int | None) -> None:
        self.passes.micro_batch = rows

    # What a family implements or overrides

    @abstractmethod
    def encode(self, candidate: Candidate, rows: Sequence[Example]) -> list[EncodedRow]:
        """The rows' prompts as tokens, without a cached prefix."""

    @abstractmethod
    def forward(self, batch: Batch, embeds: Tensor | None = None) -> Tensor:
        """Run one pass; return the logits that the output layer was asked for (see ``requested_logits``).

        A classifier returns [rows, labels]. ``embeds`` [sequences, columns, width] replace the embeddings of the
        prompt's ids.
        """

    @abstractmethod
    def literal_places(
        self, candidate: Candidate, row: Example, encoded: EncodedRow
    ) -> list[list[tuple[int, LiteralToken]]]:
        """The literal tokens and their indices in each prompt sequence of a row."""

    def _output_layer(self) -> OutputLayer | None:
        """The output layer over the vocabulary; None for a family without one."""
        return trial.output_layer(self.model)

    def _layer_stack(self) -> LayerStack | None:
        """The layer stack, for families with tuning modes that train nothing in the lower layers; else None."""
        return None

    def frozen_layers(self, settings: Settings) -> int:
        """Number of layers below everything that a tuning mode trains."""
        del settings
        return 0

    def _model_parts(self) -> ModelParts:
        return ModelParts(linear_names(self.model))

    def _supports(self, mode: str) -> bool:
        """Whether this model supports a tuning mode of the family."""
        return self.tuner.can_train(mode)

    # Prompts

    def prompt(self, candidate: Candidate, rows: Sequence[Example]) -> EncodedPrompt:
        """Render and tokenise rows.

        If the candidate's tuning mode does not affect the part up to the end of the text, that part is run once and its
        states are cached. The states are those of the frozen model, so prompts must be made outside of ``adapted``.
        Raises InputError for unusable label words.
        """
        candidate = with_soft_vectors(candidate)
        return EncodedPrompt(self.encode(candidate, rows), candidate.template.soft)

    def answer_prompt(self, candidate: Candidate, rows: Sequence[Example]) -> EncodedPrompt:
        """Prompts up to the answer, for ``generate``. Raises UsageError for a family that generates no text."""
        del candidate, rows
        raise UsageError(f"A {self.family} model generates no text; use a causal or an encoder-decoder model.")

    @contextmanager
    def temporary_prefixes(self) -> Iterator[None]:
        """Inside the context prefixes are cached in memory only and dropped at its end: for test rows."""
        yield

    def prepare_prefix(self, candidate: Candidate, rows: Sequence[Example], part: int, parts: int) -> int:
        """Compute and cache one share of a template's prefixes (``part`` of ``parts``); return the tokens processed."""
        del candidate, rows, part, parts
        return 0

    def check(self, candidate: Candidate) -> None:
        """Raise InputError for an unusable candidate.

        That is one with label words that the tokenizer cannot encode or distinguish, or with a template that the family
        cannot predict with.
        """
        vocabulary.check_words(self.encoder, candidate.label_words)
        sample = Example("", dict.fromkeys(candidate.template.slots, "x"), "x")
        self.encode(candidate, [sample])

    def target_length(self, rows: Sequence[Example]) -> int:
        """Tokens of the longest target text, plus one for the space before it."""
        return limits.target_length(self.encoder, rows)

    def cut_rows(self, fields: Sequence[str], rows: Sequence[Example], candidate: Candidate | None = None) -> int:
        """Number of rows with a field or target text that is cut.

        A field is cut to the length limit, or to the room that the model has for it in the candidate's prompt (without
        ``candidate``: in a prompt of the fields alone).
        """
        return limits.cut_rows(self.encoder, fields, rows, candidate, labelled=bool(self.options.labels))

    def word_tokens(self) -> Mapping[int, str]:
        """Vocabulary ids that are whole words at the predicted place, with their text."""
        return vocabulary.whole_words(self.encoder.tokenizer)

    # Passes

    @contextmanager
    def on_device(self) -> Iterator[None]:
        """bf16 autocast on CUDA."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.device.type == "cuda"):
            yield

    def requested_logits(self, batch: Batch, request: LogitRequest, embeds: Tensor | None = None) -> Tensor:
        """Run one pass; return the requested logits [1, places, ids]."""
        assert self.output is not None  # noqa: S101
        with self.output.only(request):
            logits = self.forward(batch, embeds)
        if request.hidden is None:
            raise trial.no_output_layer(self.model)
        return logits

    def scores(self, batch: Batch) -> Tensor:
        """Label scores of one pass [rows, labels], with gradients if they are enabled."""
        assert batch.targets is not None  # noqa: S101
        whole = not self.partial_vocabulary
        logits = self.requested_logits(batch, batch.targets.request(whole_vocabulary=whole))
        return label_scores(batch.targets, logits, whole_vocabulary=whole)

    def frozen_features(self, batch: Batch, embeds: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Run one pass; return each row's hidden state, label scores and vocabulary logits (see ``Features``)."""
        assert batch.targets is not None  # noqa: S101
        request = batch.targets.request(whole_vocabulary=True)
        logits = self.requested_logits(batch, request, embeds)
        assert request.hidden is not None  # noqa: S101
        first = batch.targets.first
        return request.hidden[first], label_scores(batch.targets, logits, whole_vocabulary=True), logits[0, first]

    @torch.no_grad()
    def score(self, prompted: EncodedPrompt) -> Tensor:
        """Log-probabilities of the labels, normalised over the labels [rows, labels]; float32 on the CPU.

        For target texts: the mean log-probability per token [rows, 1].
        """
        passes = self.passes.over(prompted, lambda batch: self.scores(batch).float().cpu())
        return gathered_scores(passes, len(prompted))

    @torch.no_grad()
    def features(self, prompted: EncodedPrompt) -> Features:
        """Features of the frozen model."""
        return gathered_features(self.passes.over(prompted, self.frozen_features), len(prompted))

    def perplexity(self, text: str) -> float | None:
        """The frozen model's perplexity of a text; lower is more readable.

        None where the family has no perplexity, or memory is too short for the text.
        """
        del text
        return None

    def generate(self, prompted: EncodedPrompt, length: int) -> list[str]:
        """Each row's answer by greedy decoding, at most ``length`` tokens."""
        del prompted, length
        raise NotImplementedError(f"a {self.family} model generates no text")

    # Fine-tuning

    def tune(
        self,
        prompted: EncodedPrompt,
        gold: Sequence[Label],
        settings: Settings,
        seed: int,
        ended: Callable[[int], bool] = lambda _: False,
        *,
        start: Delta | None = None,
    ) -> Delta:
        """Fine-tune from the base weights and return what changed. ``gold``: label indices, or probabilities of the
        labels for all rows; 0 for target texts.

        ``ended``: called after each pass over the rows with the number of passes; True ends the fine-tune. During the
        call the model has the weights trained so far and can score prompts made before the fine-tune. ``start``: the
        result of an earlier fine-tune of the same mode, rank and vectors, to continue from. Raises
        CandidateFailedError, also for a ``start`` with other parameters.
        """
        if settings.tuning not in self.tuning_modes:
            raise UsageError(
                f"This {self.family} model cannot be tuned with {settings.tuning!r}; use one of "
                f"{', '.join(self.tuning_modes)}."
            )
        ready = self.before_tuning(prompted, settings)
        return FineTune(self.tuner, self.passes, self.scores, ready, gold).run(settings, seed, ended, start)

    def before_tuning(self, prompted: EncodedPrompt, settings: Settings) -> EncodedPrompt:
        """The prompts with the output of the layers below everything that is trained."""
        count = self.frozen_layers(settings)
        if prompted.soft or self.layers is None or not count:
            return prompted
        return with_lower_layers(prompted, self.layers, count, self.passes, self.scores)

    @contextmanager
    def adapted(self, settings: Settings, delta: Delta) -> Iterator[None]:
        """Inside the context the model scores with the weights ``delta`` of a fine-tune."""
        with self.tuner.applied(settings, delta):
            yield

    # Edits of the literal text (see ``token_gradients``)

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
