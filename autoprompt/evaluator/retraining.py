"""Retraining: the named winner fine-tuned once more, on more rows than those that it was found with."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from autoprompt.candidate import Settings, derived_seed
from autoprompt.errors import InputError
from autoprompt.evaluator.evaluation import Evaluation, Rung
from autoprompt.evaluator.worker import Worker
from autoprompt.models import CandidateFailedError

MOST_TIMES = {Rung.REFITTED: 2, Rung.TAUGHT: 4}
"""Most optimiser steps, in those of a short fine-tune. It ends as soon as the rows are learnt, mostly before."""


@dataclass(frozen=True)
class RetrainTask:
    """Fine-tune a candidate from the pretrained model, and return the weights as the bytes of a safetensors file.

    On rung ``REFITTED`` on training and validation rows, as scikit-learn's ``GridSearchCV(refit=True)`` does. On rung
    ``TAUGHT`` also on the unlabelled rows with a teacher's ``answers``, one label index for each (pattern-exploiting
    training, Schick and Schütze 2021).
    """

    evaluation: Evaluation
    answers: tuple[int, ...] = ()

    def __call__(self, worker: Worker) -> tuple[Evaluation, bytes]:
        from safetensors.torch import save

        candidate = self.evaluation.candidate
        labelled = worker.scored_rows(candidate)
        rows = (*labelled, *worker.spec.corpus.unlabeled[: len(self.answers)])
        if not labelled:
            return self.evaluation.failed("the solved examples leave no rows to train on"), b""
        most = MOST_TIMES[Rung(self.evaluation.rung)] * candidate.settings.steps(len(worker.splits[0]))
        try:
            prompted = worker.model.prompt(candidate, rows)
            gold = [*worker.gold(labelled), *self.answers]
            settings = limited(candidate.settings, len(rows), most)
            delta = worker.model.tune(prompted, gold, settings, derived_seed(worker.spec.seed, "retrain"))
        except (CandidateFailedError, InputError) as error:
            return self.evaluation.failed(str(error)), b""
        return self.evaluation, save(dict(delta))

    def lost(self, reason: str) -> tuple[Evaluation, bytes]:
        """A failure."""
        return self.evaluation.failed(reason), b""


def limited(settings: Settings, rows: int, steps: int) -> Settings:
    """The settings with fewer epochs, where those would take more than so many steps with these rows."""
    return replace(
        settings, epochs=max(1, min(settings.epochs, math.ceil(steps / settings.steps(rows) * settings.epochs)))
    )
