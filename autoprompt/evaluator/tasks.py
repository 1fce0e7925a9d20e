"""Worker tasks: check, prefix cache, frozen score, fine-tune, weights, generation speed, test rows.

Each task takes and returns data, and depends on no other task. ``lost`` returns a task's result where its worker was
lost, from the reason.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from autoprompt.candidate import Candidate, derived_seed
from autoprompt.corpus import Example
from autoprompt.errors import InputError, WorkerLostError, parameter
from autoprompt.evaluator.evaluation import Evaluation, Rung
from autoprompt.evaluator.halving import Milestone
from autoprompt.evaluator.scoring import (
    as_rows,
    content_free_prompts,
    failed_unless_finite,
    predict_unlabelled,
    score_rows,
    to_evaluation,
    votes_on_unlabelled,
)
from autoprompt.evaluator.worker import FROZEN, Worker
from autoprompt.models import CandidateFailedError, save
from autoprompt.template import Soft, Template


@dataclass(frozen=True)
class PreparePrefix:
    """Compute one share of the prefix cache of a candidate's head, on a split: training rows (0), validation
    rows (1) or unlabelled rows (2)."""

    candidate: Candidate
    split: int
    part: int
    parts: int

    def __call__(self, worker: Worker) -> int:
        split = (*worker.splits, worker.spec.corpus.unlabeled)[self.split]
        rows = worker.without_demos(self.candidate, split)
        return worker.model.prepare_prefix(self.candidate, rows, self.part, self.parts)

    def lost(self, _reason: str) -> int:
        """Return 0: nothing is cached, and each later task computes the prefixes that it needs."""
        return 0


@dataclass(frozen=True)
class FrozenTask:
    """Rung 0: the proxy's losses over ``Worker.frozen_rows``, and the readability of the literal text.

    Target texts have no classes; there it is the frozen loss itself.
    """

    evaluation: Evaluation

    def __call__(self, worker: Worker) -> Evaluation:
        candidate = self.evaluation.candidate
        try:
            worker.model.check(candidate)
            scored = self._classified(worker) if worker.labels else self._likelihoods(worker)
            if not scored.complete:
                return scored
            return replace(scored, readability=worker.model.perplexity(" ".join(candidate.template.literals)))
        except (CandidateFailedError, InputError) as error:
            return self.evaluation.failed(str(error))

    def _classified(self, worker: Worker) -> Evaluation:
        candidate = self.evaluation.candidate
        features = worker.features(candidate)
        if not (torch.isfinite(features.hidden).all() and torch.isfinite(features.label_scores).all()):
            return self.evaluation.failed("a frozen feature is not finite")
        proxy = worker.proxy(candidate)
        result = replace(
            self.evaluation,
            labels=worker.labels,
            row_ids=tuple(row.row_id for row in worker.frozen_rows(candidate)),
            gold=tuple(worker.gold(worker.frozen_rows(candidate))),
            log_probs=as_rows(proxy.log_probs(features.hidden, features.label_scores)),
            losses=tuple(proxy.losses(features.hidden, features.label_scores).tolist()),
        )
        return failed_unless_finite(result)

    def _likelihoods(self, worker: Worker) -> Evaluation:
        frozen = replace(self.evaluation.candidate, settings=FROZEN)
        parts = [worker.without_demos(frozen, split) for split in (worker.splits[0], worker.counterpart)]
        scores = torch.cat([worker.model.score(worker.model.prompt(frozen, rows)) for rows in parts])
        return to_evaluation(self.evaluation, worker, worker.frozen_rows(frozen), scores)

    def lost(self, reason: str) -> Evaluation:
        """A failure."""
        return self.evaluation.failed(reason)


@dataclass(frozen=True)
class FitTask:
    """Rungs 1 and 2: fine-tune with the candidate's settings, score the held-out rows of the fold.

    Initialisation and row order depend on (seed, fold, repeat) alone, so that comparisons are paired. Demonstrations
    are not trained on. On rung 2 texts are generated, where the corpus has target texts, and scored with the metric.
    The fine-tune of the data's own split also predicts the unlabelled rows, where the corpus has labels.
    ``bar``: the validation loss at the milestone above which the fine-tune is stopped; None: no check before its end.
    """

    evaluation: Evaluation
    bar: float | None = None

    def __call__(self, worker: Worker) -> Evaluation:
        scored, delta = self.fitted(worker)
        # A worker without the driver's folder saves no weights: ``WeightsTask`` brings those that are needed later.
        kept = delta and self.evaluation.fold == self.evaluation.repeat == 0 and worker.spec.weights.is_dir()
        return replace(scored, weights=_save(worker, self.evaluation, delta)) if kept else scored

    def fitted(self, worker: Worker) -> tuple[Evaluation, Mapping[str, Tensor]]:
        """Return the evaluation and the fine-tuned weights, which are empty where it is not complete."""
        task, model = self.evaluation, worker.model
        train, held_out = worker.fold(task.fold)
        settings = task.candidate.settings
        train, held_out = worker.without_demos(task.candidate, train), worker.without_demos(task.candidate, held_out)
        if settings.tuning not in model.tuning_modes:
            return task.failed(f"this model cannot be tuned with {settings.tuning!r}, only {model.tuning_modes}"), {}
        if settings.tuning == "none" and task.candidate.template.soft:
            return task.failed("trainable vectors need a tuning mode that trains them"), {}
        if not train or not held_out:
            return task.failed("the solved examples leave no rows to train on or to validate on"), {}
        try:
            model.check(task.candidate)
            prompted = model.prompt(task.candidate, held_out)
            empty = content_free_prompts(task.candidate, worker, held_out)
            bar = self.bar if settings.tuning != "none" else None
            milestone = Milestone(task, worker, held_out, prompted, empty, bar) if bar is not None else None
            delta = self._trained(worker, train, milestone) if settings.tuning != "none" else {}
            if milestone is not None and milestone.behind:
                return milestone.pruned(), {}
            write = task.rung == Rung.REPEATED and not worker.labels
            scored = score_rows(task, worker, held_out, delta, write=write, prompts=(prompted, empty))
            if scored.complete and votes_on_unlabelled(task, worker):
                scored = replace(scored, votes=predict_unlabelled(task.candidate, worker, delta))
        except (CandidateFailedError, InputError) as error:
            return task.failed(str(error)), {}
        if model.micro_batch is not None and scored.complete:
            halved = f"out of memory: computed in parts of {model.micro_batch} rows"
            scored = replace(scored, reason="; ".join(filter(None, (scored.reason, halved))))
        if milestone is not None and scored.complete:  # training may end before the milestone
            scored = replace(scored, milestone=milestone.loss if milestone.seen else scored.loss)
        return scored, delta if scored.complete else {}

    def _trained(self, worker: Worker, train: tuple[Example, ...], milestone: Milestone | None) -> Mapping[str, Tensor]:
        task = self.evaluation
        seed = derived_seed(worker.spec.seed, "fit", task.fold, task.repeat)
        prompted = worker.model.prompt(task.candidate, train)
        ended = milestone.watching(len(train)) if milestone else lambda _: False
        return worker.model.tune(prompted, worker.gold(train), task.candidate.settings, seed, ended)

    def lost(self, reason: str) -> Evaluation:
        """A failure."""
        return self.evaluation.failed(reason)


@dataclass(frozen=True)
class WeightsTask:
    """Repeat a short fine-tune for its weights, which are sent to the driver as the bytes of a safetensors file."""

    evaluation: Evaluation

    def __call__(self, worker: Worker) -> tuple[Evaluation, bytes]:
        from safetensors.torch import save

        scored, delta = FitTask(self.evaluation).fitted(worker)
        return scored, save(dict(delta)) if delta else b""

    def lost(self, reason: str) -> tuple[Evaluation, bytes]:
        """A failure."""
        return self.evaluation.failed(reason), b""


@dataclass(frozen=True)
class TimeWriting:
    """Measure the seconds that the frozen model needs to generate one token for one row, on the training rows.

    The difference between a longer and a shorter text leaves out the prompt. 0 where memory is too small.
    """

    candidate: Candidate
    shorter: int = 2
    longer: int = 8

    def __call__(self, worker: Worker) -> float:
        rows = worker.without_demos(self.candidate, worker.splits[0])
        bare = Template(tuple(s for s in self.candidate.template.segments if not isinstance(s, Soft)))
        if not rows:  # all are demonstrations: the fine-tune reports it
            return 0.0
        took = []
        try:
            answers = worker.model.answer_prompt(replace(self.candidate, template=bare, settings=FROZEN), rows)
            for length in (self.shorter, self.longer):
                started = time.perf_counter()
                worker.model.generate(answers, length)
                took.append(time.perf_counter() - started)
        except CandidateFailedError:
            return 0.0
        return max(0.0, took[1] - took[0]) / (self.longer - self.shorter) / len(rows)

    def lost(self, _reason: str) -> float:
        """Return 0: unknown."""
        return 0.0


@dataclass(frozen=True)
class TestTask:
    """Score some test rows with several candidates; candidates with the same head share its prefix pass."""

    __test__ = False  # pytest would take it for a test class by its name
    evaluations: tuple[Evaluation, ...]
    rows: tuple[Example, ...]

    def __call__(self, worker: Worker) -> list[Evaluation]:
        from safetensors.torch import load_file

        with worker.model.temporary_prefixes():
            done = []
            for task in self.evaluations:
                if not task.complete:  # its repeated fine-tune failed
                    done.append(task)
                    continue
                delta = load_file(task.weights) if task.weights else {}
                try:
                    task = replace(task, weights=None)  # the fine-tune's evaluation names them, not the test's
                    done.append(score_rows(task, worker, self.rows, delta, write=not worker.labels))
                except (CandidateFailedError, InputError) as error:
                    done.append(task.failed(str(error)))
        return done

    def lost(self, reason: str) -> list[Evaluation]:
        """Return a failure for each candidate."""
        return [evaluation.failed(reason) for evaluation in self.evaluations]


@dataclass(frozen=True)
class Readiness:
    """What a run must know about its model and data: the number of rows with a field that is cut, tuning modes, whole
    words, the family, and whether text may follow the predicted position."""

    cut_rows: int
    tuning_modes: tuple[str, ...]
    vocabulary: tuple[str, ...]
    family: str
    label_anywhere: bool
    target_length: int
    """Most tokens of a generated text; 0 where the data has labels."""


@dataclass(frozen=True)
class CheckTask:
    """Check template and label words with the model before a search."""

    candidate: Candidate

    def __call__(self, worker: Worker) -> Readiness:
        model = worker.model
        model.check(self.candidate)
        rows = [row for rows in worker.splits for row in rows]
        words = sorted({word.lower() for word in model.word_tokens().values()})
        return Readiness(
            model.cut_rows(worker.spec.corpus.fields, rows, self.candidate),
            model.tuning_modes,
            tuple(words),
            model.family,
            model.label_anywhere,
            0 if worker.labels else worker.target_length,
        )

    def lost(self, reason: str) -> Readiness:
        """Raises WorkerLostError: no search can start without this check."""
        raise WorkerLostError(f"The model could not be loaded and tried ({reason}); use fewer {parameter('workers')}.")


def weights_name(candidate: Candidate, rung: int = Rung.TUNED) -> str:
    """Return the name of the file with a candidate's weights, as they were trained on a rung."""
    return f"{candidate.id[:32]}{f'-{rung:d}' if rung > Rung.REPEATED else ''}.safetensors"


def _save(worker: Worker, task: Evaluation, delta: Mapping[str, Tensor]) -> str:
    """Write the weights and return their path. Raises StorageError when they cannot be written."""
    path = worker.spec.weights / weights_name(task.candidate)
    save(delta, path, "The fine-tuned weights")
    return str(path)
