"""``LanguageModel``, the interface of every model family, and the types that it uses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Example
from autoprompt.models.locks import Turn
from autoprompt.template import Template

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Delta: TypeAlias = "Mapping[str, Tensor]"
"""Result of a fine-tune: the trained values by parameter name."""


class FitFailedError(Exception):
    """One candidate could not be fine-tuned or scored (for example, a non-finite loss); the model stays usable."""


@dataclass(frozen=True)
class Features:
    """Features of the frozen model at the predicted place, in the order of the rows.

    ``hidden``: [rows, width]. ``label_scores``: [rows, labels], unnormalised mean log-probabilities. ``vocabulary``:
    [rows, vocabulary] logits of the first predicted token. A classifier has no label words: the last two have no
    columns, and ``hidden`` is the mean of the last layer's states.
    """

    hidden: Tensor
    label_scores: Tensor
    vocabulary: Tensor


@dataclass(frozen=True)
class TokenProposals:
    """Single-token edits of a template's literal text, best first.

    ``replacements``: from gradients, each with its predicted first-order change of the loss. ``infills``: insertions
    and replacements that the model itself rates as likely, each with its log-probability.
    """

    replacements: list[tuple[Template, float]]
    infills: list[tuple[Template, float]]


class Prompted(ABC):
    """Rows rendered with one template and its label words, tokenised, ready for the model."""

    tokens: int
    """Tokens that one pass over all rows processes."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def part(self, rows: Sequence[int]) -> Prompted:
        """The rows with these indices, with everything already computed for them."""


class LanguageModel(ABC):
    """One loaded model; fine-tuning never changes its base weights permanently.

    Methods change the network in place while they run and restore it afterwards. Threads that share a model must
    therefore hold ``exclusive`` from ``prompt`` to the scores.
    """

    turn: Turn
    """Lock for the threads that share the model."""
    family: str
    tuning_modes: tuple[str, ...]
    label_anywhere: bool
    """Whether the model predicts a label in the middle of a text as well as one at the end."""
    tokens_processed: int = 0

    micro_batch: int | None = None
    """Rows of the smallest pass to which a memory shortage has led since this was last set to None."""

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Inside the context no other thread can enter ``exclusive``; the same thread can enter it again.

        The caller's autocast is off, so that scores do not depend on it. The caller's inference mode is off too, so
        that tensors that stay in the network (adapters, weights packed for a kernel) can be used in training later.
        """
        import torch

        full = torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False)
        with self.turn, torch.inference_mode(False), full[0], full[1]:
            torch.get_num_threads()  # the first call in a new thread applies the process's number of threads
            yield

    @abstractmethod
    def prompt(self, candidate: Candidate, rows: Sequence[Example]) -> Prompted:
        """Render and tokenise rows.

        If the candidate's tuning mode does not affect the part up to the end of the text, that part is run once and its
        states are cached. The states are those of the frozen model, so prompts must be made outside of ``adapted``.
        Raises InputError for unusable label words.
        """

    @abstractmethod
    def passing_prefixes(self) -> AbstractContextManager[None]:
        """Inside the context prefixes are cached in memory only and dropped at its end: for test rows."""

    @abstractmethod
    def score(self, prompted: Prompted) -> Tensor:
        """Log-probabilities of the labels, normalised over the labels [rows, labels]; float32 on the CPU.

        For target texts: the mean log-probability per token [rows, 1].
        """

    @abstractmethod
    def features(self, prompted: Prompted) -> Features:
        """Features of the frozen model."""

    @abstractmethod
    def asking(self, candidate: Candidate, rows: Sequence[Example]) -> Prompted:
        """Prompts up to the answer, for ``generate``. Raises UsageError for a family that generates no text."""

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

        ``ended``: called after each pass over the rows with the number of passes; True ends the fine-tune. During the
        call the model has the weights trained so far and can score prompts made before the fine-tune. ``start``: the
        result of an earlier fine-tune of the same mode, rank and vectors, to continue from. Raises FitFailedError, also
        for a ``start`` with other parameters.
        """

    @abstractmethod
    def adapted(self, settings: Settings, delta: Delta) -> AbstractContextManager[None]:
        """Inside the context the model scores with the weights ``delta`` of a fine-tune."""

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
        """Propose edits of the literal text.

        ``replacements``: how many by token gradients (HotFlip, Ebrahimi et al. 2018; AutoPrompt, Shin et al. 2020) of
        ``loss(hidden [rows, width], label_scores [rows, labels])``. ``infills``: how many that the model itself rates
        as likely. Each kind costs a separate pass, and none if its number is 0.
        """

    @abstractmethod
    def perplexity(self, text: str) -> float | None:
        """The frozen model's perplexity of a text; lower is more readable.

        None where the family has no perplexity, or memory is too short for the text.
        """

    @abstractmethod
    def word_tokens(self) -> Mapping[int, str]:
        """Vocabulary ids that are whole words at the predicted place, with their text."""

    @abstractmethod
    def check(self, candidate: Candidate) -> None:
        """Raise InputError for an unusable candidate.

        That is one with label words that the tokenizer cannot encode or distinguish, or with a template that the family
        cannot predict with.
        """

    @abstractmethod
    def target_length(self, rows: Sequence[Example]) -> int:
        """Tokens of the longest target text, plus one for the space before it."""

    @abstractmethod
    def prepare_prefix(self, candidate: Candidate, rows: Sequence[Example], part: int, parts: int) -> int:
        """Compute and cache one share of a template's prefixes (``part`` of ``parts``); return the tokens processed."""

    @abstractmethod
    def cut_rows(self, fields: Sequence[str], rows: Sequence[Example], candidate: Candidate | None = None) -> int:
        """Number of rows with a field or target text that is cut.

        A field is cut to the length limit, or to the room that the model has for it in the candidate's prompt (without
        ``candidate``: in a prompt of the fields alone).
        """


@dataclass(frozen=True)
class LoadOptions:
    """How a model is loaded.

    ``max_length``: tokens to which a field or a target text is cut; a cut target text gets no end-of-text token.
    ``labels``: the labels of the data, for a classifier's head. ``chat``: wrap prompts in the tokenizer's chat format.
    ``prefix_folder``: folder of the prefix cache that processes share; None caches in memory. ``family``: None means
    the family that the checkpoint was saved as.
    """

    device: str = "cpu"
    max_length: int = 128
    labels: tuple[str, ...] = ()
    chat: bool = False
    prefix_folder: Path | None = None
    family: str | None = None


@dataclass(frozen=True)
class ModelSource:
    """A model that was found: its name, folder, config and family."""

    name: str
    folder: Path
    config: Mapping[str, Any]
    family: str
    revision: str = ""
    """The commit of a Hub model."""


def pick_device(device: str) -> torch.device:
    """The torch device of this name; ``auto`` means CUDA, else MPS, else the CPU."""
    import torch

    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
