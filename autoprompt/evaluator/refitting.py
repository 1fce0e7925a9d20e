"""Refitting: the named winner fine-tuned once more, on all rows but those of the test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from autoprompt.candidate import Settings, derived_seed
from autoprompt.corpus import Example
from autoprompt.errors import InputError
from autoprompt.evaluator.evaluation import Evaluation
from autoprompt.evaluator.worker import Worker
from autoprompt.models import CandidateFailedError, Label

MOST_TIMES = 2
"""Most optimiser steps, in those of a short fine-tune."""


@dataclass(frozen=True)
class RefitTask:
    """Fine-tune a candidate from the pretrained model, and return the weights as the bytes of a safetensors file.

    On training and validation rows, as scikit-learn's ``GridSearchCV(refit=True)`` does, and on the unlabelled rows
    with a teacher's ``answers``, probabilities of the labels [rows][labels] (pattern-exploiting training, Schick and
    Schütze 2021). ``results/benchmarks/end.md`` has the rules that were tried: without unlabelled rows it loses.
    """

    evaluation: Evaluation
    answers: tuple[tuple[float, ...], ...]

    def __call__(self, worker: Worker) -> tuple[Evaluation, bytes]:
        from safetensors.torch import save

        candidate = self.evaluation.candidate
        labelled = worker.without_demos(candidate, (*worker.splits[0], *worker.splits[1]))
        rows = (*labelled, *worker.spec.corpus.unlabeled[: len(self.answers)])
        if not labelled:
            return self.evaluation.failed("the solved examples leave no rows to train on"), b""
        most = MOST_TIMES * candidate.settings.steps(len(worker.splits[0]))
        try:
            prompted = worker.model.prompt(candidate, rows)
            settings = limited(candidate.settings, len(rows), most)
            seed = derived_seed(worker.spec.seed, "retrain")
            delta = worker.model.tune(prompted, self._gold(worker, labelled), settings, seed)
        except (CandidateFailedError, InputError) as error:
            return self.evaluation.failed(str(error)), b""
        return self.evaluation, save(dict(delta))

    def _gold(self, worker: Worker, labelled: Sequence[Example]) -> Sequence[Label]:
        """What each row is to answer: label indices, with a teacher probabilities."""
        gold = worker.gold(labelled)
        return [*(tuple(float(place == label) for place in range(len(worker.labels))) for label in gold), *self.answers]

    def lost(self, reason: str) -> tuple[Evaluation, bytes]:
        """A failure."""
        return self.evaluation.failed(reason), b""


def limited(settings: Settings, rows: int, steps: int) -> Settings:
    """The settings with fewer epochs, where those would take more than so many steps with these rows."""
    of_one = replace(settings, epochs=1).steps(rows)
    return replace(settings, epochs=min(settings.epochs, math.ceil(steps / of_one)))
