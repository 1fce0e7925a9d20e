"""Worker: a process with the loaded model and the search's rows, and the function that runs a task in it."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Corpus, Example
from autoprompt.errors import UsageError, WorkerLostError, first_line, parameter
from autoprompt.evaluator.proxy import Proxy, proxy_of, stratified_folds
from autoprompt.models import Features, LanguageModel, is_short_memory, load_model

FEATURES_KEPT = 4
FROZEN = Settings("none")


@dataclass(frozen=True)
class WorkerSpec:
    """All that a worker needs to start.

    ``model_folder``: a path that opens on the worker's machine. ``corpus``: without its test rows. ``scratch``: a
    folder that the workers of one machine share, for the prefix cache. ``weights``: the driver's folder for fine-tuned
    weights; a worker on a machine without this folder saves none. ``metric``: scores generated texts. ``folds``: parts
    of the cross-validation over training and validation rows together; None swaps the two splits.
    """

    model_folder: PathLike[str]
    corpus: Corpus
    seed: int
    device: str
    max_length: int
    scratch: PathLike[str]
    weights: Path
    metric: str = "accuracy"
    folds: int | None = None
    family: str | None = None
    chat: bool = False


@dataclass(frozen=True)
class Work:
    """A task's result and its cost: wall seconds, tokens processed, CPU seconds."""

    value: Any
    seconds: float
    tokens: int
    cpu: float = 0.0
    """CPU seconds of the worker's process; 0 where they are not known or the device is not the CPU."""


class Worker:
    """The loaded model and the search's rows."""

    def __init__(self, spec: WorkerSpec) -> None:
        self.spec = spec
        prefixes = Path(spec.scratch) / "prefixes"
        prefixes.mkdir(parents=True, exist_ok=True)
        # One thread for any number of workers, so that scores are bit-identical.
        torch.set_num_threads(1)
        self.model: LanguageModel = load_model(
            Path(spec.model_folder),
            device=spec.device,
            max_length=spec.max_length,
            labels=spec.corpus.labels,
            prefix_folder=prefixes,
            family=spec.family,
            chat=spec.chat,
        )
        self.splits = (spec.corpus.train, spec.corpus.validation)
        self._features: OrderedDict[str, Features] = OrderedDict()

    @property
    def labels(self) -> tuple[str, ...]:
        """The corpus's labels; empty for target texts."""
        return self.spec.corpus.labels

    def gold(self, rows: Sequence[Example]) -> list[int]:
        """Return the rows' label indices; 0 for target texts."""
        return [self.labels.index(row.label) if self.labels else 0 for row in rows]

    @staticmethod
    def without_demos(candidate: Candidate, rows: Sequence[Example]) -> tuple[Example, ...]:
        """Return the rows without the candidate's demonstrations, which are neither trained on nor scored."""
        shown = {demo.row_id for demo in candidate.demos}
        return tuple(row for row in rows if row.row_id not in shown)

    @cached_property
    def counterpart(self) -> tuple[Example, ...]:
        """The first validation rows of each label, as many as training has of it. Beside few training rows they may be
        a small part: no fine-tune takes longer for it, and no frozen score."""
        left = Counter(self.gold(self.splits[0]))
        found = []
        for row, label in zip(self.splits[1], self.gold(self.splits[1]), strict=True):
            if left[label] > 0:
                left[label] -= 1
                found.append(row)
        return tuple(found)

    def frozen_rows(self, candidate: Candidate) -> tuple[Example, ...]:
        """Return training rows, then their counterpart, without demonstrations: the rows of ``features``."""
        return self.without_demos(candidate, (*self.splits[0], *self.counterpart))

    @cached_property
    def target_length(self) -> int:
        """Most tokens of a generated text: the length of the longest training target."""
        return self.model.target_length(self.spec.corpus.train)

    def fold(self, number: int) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
        """Return training and held-out rows of a fold. Fold 0 is the data's own split. Any other fold swaps training
        rows and their counterpart, or with ``folds`` holds out one stratified part of both splits together, assigned in
        the rows' order."""
        if number == 0:
            return self.splits
        if self.spec.folds is None:
            return self.counterpart, self.splits[0]
        pool = (*self.splits[0], *self.splits[1])
        parts = stratified_folds(self.gold(pool), self.spec.folds).tolist()
        train = tuple(row for row, part in zip(pool, parts, strict=True) if part != number - 1)
        return train, tuple(row for row, part in zip(pool, parts, strict=True) if part == number - 1)

    def features(self, candidate: Candidate) -> Features:
        """Return frozen features of training rows and their counterpart, cached for the last few prompts."""
        frozen = replace(candidate, settings=FROZEN)
        if frozen.id not in self._features:
            splits = (self.without_demos(candidate, rows) for rows in (self.splits[0], self.counterpart))
            parts = [self.model.features(self.model.prompt(frozen, rows)) for rows in splits]
            self._features[frozen.id] = Features(
                *(torch.cat([getattr(p, name) for p in parts]) for name in ("hidden", "label_scores", "vocabulary"))
            )
            while len(self._features) > FEATURES_KEPT:
                self._features.popitem(last=False)
        return self._features[frozen.id]

    def proxy(self, candidate: Candidate) -> Proxy:
        """Return what the frozen rung scores features with."""
        return proxy_of(self.features(candidate), self.gold(self.frozen_rows(candidate)), len(self.labels))


_WORKER: Worker | None = None


def start_worker(spec: WorkerSpec) -> None:
    """Load the model in this process. Raises UsageError where it does not fit into memory."""
    global _WORKER
    try:
        _WORKER = Worker(spec)
    except (MemoryError, RuntimeError) as error:
        if not is_short_memory(error):
            raise
        raise UsageError(
            f"The model does not fit into the memory of a worker; use fewer {parameter('workers')}, or a smaller "
            f"{parameter('model')}."
        ) from error


def perform(task: Callable[[Worker], Any]) -> Work:
    """Run one task in a process that ``start_worker`` prepared. Raises WorkerLostError where the device fails, or
    where memory is too small for work that cannot be split."""
    if _WORKER is None:
        raise RuntimeError("this process was not prepared by start_worker")
    _WORKER.model.micro_batch = None  # recorded for each task anew
    started, before = time.monotonic(), _WORKER.model.tokens_processed
    computed = time.process_time()
    try:
        value = task(_WORKER)
    except torch.AcceleratorError as error:  # every later call in this process would fail as well
        raise WorkerLostError(f"the device failed: {first_line(error)}") from error
    except (MemoryError, RuntimeError) as error:
        if not is_short_memory(error):
            raise
        raise WorkerLostError("out of memory") from error
    cpu = time.process_time() - computed if _WORKER.spec.device == "cpu" else 0.0
    return Work(value, time.monotonic() - started, _WORKER.model.tokens_processed - before, cpu)
