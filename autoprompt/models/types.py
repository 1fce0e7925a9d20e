"""What every model family offers to the evaluator and the search."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Example
from autoprompt.models.locks import Turn
from autoprompt.template import Template

Delta = Mapping[str, Tensor]
"""What a fine-tune changed: parameter name → values."""


class FitFailedError(Exception):
    """One candidate could not be fine-tuned or scored (a non-finite loss); the model is unharmed."""


@dataclass(frozen=True)
class Features:
    """Frozen features at the predicted place, in the order of the rows.

    ``hidden``: [rows, width]. ``label_scores``: [rows, labels], unnormalised mean log-probabilities.
    ``vocabulary``: [rows, vocabulary] logits of the first predicted token. A classifier has no label words: the last
    two have no columns, and ``hidden`` is the mean of the last layer's states.
    """

    hidden: Tensor
    label_scores: Tensor
    vocabulary: Tensor


@dataclass(frozen=True)
class TokenProposals:
    """Single-token edits of a template's literal text, best first.

    ``replacements``: from gradients, with the first-order change of the loss that each promises.
    ``infills``: insertions and replacements that the model itself finds likely, with their log-probability.
    """

    replacements: list[tuple[Template, float]]
    infills: list[tuple[Template, float]]


class Prompted(ABC):
    """Rows rendered with one template and label words, tokenised, ready for the model."""

    tokens: int
    """Tokens that one pass over all rows processes."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def part(self, rows: Sequence[int]) -> Prompted:
        """Some of the rows, with what is known of them."""


class LanguageModel(ABC):
    """One resident model; fine-tuning never changes its base weights for good.

    Its methods change the network in place while they run, and put it back: threads that share a model call them
    inside ``exclusive``, from ``prompt`` to the scores.
    """

    turn: Turn
    """Whose turn it is to use the model."""
    family: str
    tuning_modes: tuple[str, ...]
    label_anywhere: bool
    """Whether the model predicts a place with text after it as readily as one at the end."""
    tokens_processed: int = 0

    micro_batch: int | None = None
    """Rows of the smallest pass that a lack of memory has led to since this was last set to None."""

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Inside the context no other thread that asks for it uses the model. May be entered again inside.

        The caller's autocast is off, so that scores do not depend on it, and its inference mode: what the network keeps
        (adapters, weights laid out for a kernel) can be trained later.
        """
        full = torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False)
        with self.turn, torch.inference_mode(False), full[0], full[1]:
            torch.get_num_threads()  # a new thread takes on the process's number of threads when it first asks
            yield

    @abstractmethod
    def prompt(self, candidate: Candidate, rows: Sequence[Example]) -> Prompted:
        """Render and tokenise rows. Where the candidate's tuning mode leaves the part up to the text's end as it is,
        that part is run once and its states are kept: the frozen model's, so that prompts are made outside of
        ``adapted``. Raises InputError for unusable label words."""

    @abstractmethod
    def passing_prefixes(self) -> AbstractContextManager[None]:
        """Inside the context prefixes are kept in memory alone, and dropped at its end: for test rows."""

    @abstractmethod
    def score(self, prompted: Prompted) -> Tensor:
        """Float32 on the CPU: log-probabilities of the labels, normalised over them [rows, labels]; of target texts
        the mean log-probability of a token [rows, 1]."""

    @abstractmethod
    def features(self, prompted: Prompted) -> Features:
        """Features of the frozen model."""

    @abstractmethod
    def asking(self, candidate: Candidate, rows: Sequence[Example]) -> Prompted:
        """Rows rendered up to the answer, for ``generate``. Raises UsageError where the family writes no text."""

    @abstractmethod
    def generate(self, prompted: Prompted, length: int) -> list[str]:
        """Each row's answer by greedy decoding, at most ``length`` tokens."""

    @abstractmethod
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
        """Fine-tune from the base weights and return what changed. ``gold``: label indices, 0 for target texts.

        ``ended``: asked after each pass over the rows with the number of passes; True ends the fine-tune. The model
        is in training then, and scores prompts that were made before. ``start``: what an earlier fine-tune of the same
        mode, rank and vectors changed, to go on from. Raises FitFailedError, also for a ``start`` of other parts.
        """

    @abstractmethod
    def adapted(self, settings: Settings, delta: Delta) -> AbstractContextManager[None]:
        """Inside the context the model scores with a fine-tune's ``delta``."""

    @abstractmethod
    def propose_tokens(
        self,
        candidate: Candidate,
        rows: Sequence[Example],
        loss: Callable[[Tensor, Tensor], Tensor],
        *,
        replacements: int,
        infills: int,
    ) -> TokenProposals:
        """Edits of the literal text: the best ``replacements`` by token gradients (HotFlip, Ebrahimi et al. 2018;
        AutoPrompt, Shin et al. 2020) of ``loss(hidden [rows, width], label_scores [rows, labels])``, and ``infills``
        that the model itself finds likely. Each kind costs a pass of its own, and 0 of it none."""

    @abstractmethod
    def perplexity(self, text: str) -> float | None:
        """The frozen model's perplexity of a text, lower is more readable; None where the family knows none
        or the memory is too short for it."""

    @abstractmethod
    def word_tokens(self) -> Mapping[int, str]:
        """Vocabulary ids that are whole words at the predicted place, with their text."""

    @abstractmethod
    def check(self, candidate: Candidate) -> None:
        """Raise InputError for label words that the tokenizer cannot write or tell apart, and for a template that
        the family cannot predict with."""

    @abstractmethod
    def target_length(self, rows: Sequence[Example]) -> int:
        """Tokens of the longest target text, and one for the blank before it."""

    @abstractmethod
    def prepare_prefix(self, candidate: Candidate, rows: Sequence[Example], part: int, parts: int) -> int:
        """Compute and store one share of the kept prefixes of a template; returns the tokens processed."""

    @abstractmethod
    def cut_rows(self, fields: Sequence[str], rows: Sequence[Example], candidate: Candidate | None = None) -> int:
        """How many rows have a field or target text that is cut: to the length limit, or to what the model has room
        for in the candidate's prompt (without one, in a prompt of the fields alone)."""


@dataclass(frozen=True)
class LoadOptions:
    """How a model is loaded.

    ``max_length``: tokens that a field is cut to, and a target text, which then goes without the model's sign of an
    end. ``labels``: the data's, for a classifier's head. ``chat``: wrap
    prompts in the tokenizer's chat format. ``prefix_folder``: where kept prefixes are shared between processes;
    without it they stay in memory. ``family``: None takes what the checkpoint was saved as.
    """

    device: str = "cpu"
    max_length: int = 128
    labels: tuple[str, ...] = ()
    chat: bool = False
    prefix_folder: Path | None = None
    family: str | None = None


@dataclass(frozen=True)
class ModelSource:
    """Where a model's files are, and the name it is known by."""

    name: str
    folder: Path
    config: Mapping[str, Any]
    family: str
    revision: str = ""
    """The commit of a Hub model."""


def pick_device(device: str) -> torch.device:
    """``auto`` takes CUDA, then MPS, then the CPU."""
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
