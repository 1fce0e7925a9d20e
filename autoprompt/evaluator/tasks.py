"""What runs beside the model: each task is data in, data out, and depends on no other task.

``lost`` gives a task's result where its process was lost, from the reason.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from autoprompt.candidate import Candidate, derived_seed
from autoprompt.corpus import Example
from autoprompt.errors import InputError, WorkerLostError
from autoprompt.evaluator.evaluation import Evaluation, Rung
from autoprompt.evaluator.halving import Milestone
from autoprompt.evaluator.scoring import finite, read, rows_of, scored_with, without_content
from autoprompt.evaluator.worker import FROZEN, Worker
from autoprompt.models import FitFailedError
from autoprompt.models.saving import save
from autoprompt.template import Soft, Template


@dataclass(frozen=True)
class PreparePrefix:
    """Compute one share of the kept prefixes of a candidate's head."""

    candidate: Candidate
    split: int
    part: int
    parts: int

    def __call__(self, worker: Worker) -> int:
        rows = worker.unshown(self.candidate, worker.splits[self.split])
        return worker.model.prepare_prefix(self.candidate, rows, self.part, self.parts)

    def lost(self, _reason: str) -> int:
        """Nothing is kept: whoever needs a prefix computes it."""
        return 0


@dataclass(frozen=True)
class FrozenTask:
    """Rung 0: proxy losses over training and validation rows, and the readability of the literal text.

    Target texts have no classes to probe: their frozen loss itself stands.
    """

    evaluation: Evaluation

    def __call__(self, worker: Worker) -> Evaluation:
        candidate = self.evaluation.candidate
        try:
            worker.model.check(candidate)
            scored = self._probed(worker) if worker.labels else self._likelihoods(worker)
            if not scored.complete:
                return scored
            return replace(scored, readability=worker.model.perplexity(" ".join(candidate.template.literals)))
        except (FitFailedError, InputError) as error:
            return self.evaluation.failed(str(error))

    def _probed(self, worker: Worker) -> Evaluation:
        candidate = self.evaluation.candidate
        features = worker.features(candidate)
        if not (torch.isfinite(features.hidden).all() and torch.isfinite(features.label_scores).all()):
            return self.evaluation.failed("a frozen feature is not finite")
        proxy = worker.proxy(candidate)
        log_probs = torch.stack(proxy.log_probs(features.hidden, features.label_scores)).sum(0).log_softmax(-1)
        result = replace(
            self.evaluation,
            labels=worker.labels,
            row_ids=tuple(row.row_id for row in worker.judged(candidate)),
            gold=tuple(worker.gold(worker.judged(candidate))),
            log_probs=rows_of(log_probs),
            losses=tuple(proxy.losses(features.hidden, features.label_scores).tolist()),
        )
        return finite(result)

    def _likelihoods(self, worker: Worker) -> Evaluation:
        frozen = replace(self.evaluation.candidate, settings=FROZEN)
        parts = [worker.unshown(frozen, split) for split in worker.splits]
        scores = torch.cat([worker.model.score(worker.model.prompt(frozen, rows)) for rows in parts])
        return read(self.evaluation, worker, worker.judged(frozen), scores)

    def lost(self, reason: str) -> Evaluation:
        """A failure."""
        return self.evaluation.failed(reason)


@dataclass(frozen=True)
class FitTask:
    """Rungs 1 and 2: fine-tune with the candidate's settings, score the held-out rows of the fold.

    Initialisation and row order come from (seed, fold, repeat) alone: comparisons are paired. Solved examples are no
    training rows. On the last rung target texts are written, and judged by the metric. ``bar``: the validation
    loss above which the fine-tune is stopped on its way; None: it is not looked at before its end.
    """

    evaluation: Evaluation
    bar: float | None = None

    def __call__(self, worker: Worker) -> Evaluation:
        scored, delta = self.fitted(worker)
        # Where the driver's folder is not, another machine needs them: they are asked for when it is known whose.
        kept = delta and self.evaluation.fold == self.evaluation.repeat == 0 and worker.spec.weights.is_dir()
        return replace(scored, weights=_save(worker, self.evaluation, delta)) if kept else scored

    def fitted(self, worker: Worker) -> tuple[Evaluation, Mapping[str, Tensor]]:
        """The evaluation with what the fine-tune changed: nothing where it is not complete."""
        task, model = self.evaluation, worker.model
        train, held_out = worker.fold(task.fold)
        settings = task.candidate.settings
        train, held_out = worker.unshown(task.candidate, train), worker.unshown(task.candidate, held_out)
        if settings.tuning not in model.tuning_modes:
            return task.failed(f"this model cannot be tuned with {settings.tuning!r}, only {model.tuning_modes}"), {}
        if settings.tuning == "none" and task.candidate.template.soft:
            return task.failed("trainable vectors need a tuning mode that trains them"), {}
        if not train or not held_out:
            return task.failed("the solved examples leave no rows to train or to judge on"), {}
        try:
            model.check(task.candidate)
            prompted = model.prompt(task.candidate, held_out)
            empty = without_content(task.candidate, worker, held_out)
            bar = self.bar if settings.tuning != "none" else None
            milestone = Milestone(task, worker, held_out, prompted, empty, bar) if bar is not None else None
            delta = self._trained(worker, train, milestone) if settings.tuning != "none" else {}
            if milestone is not None and milestone.behind:
                return milestone.pruned(), {}
            write = task.rung == Rung.REPEATED and not worker.labels
            scored = scored_with(task, worker, held_out, delta, write=write, prompts=(prompted, empty))
        except (FitFailedError, InputError) as error:
            return task.failed(str(error)), {}
        if model.micro_batch is not None and scored.complete:
            halved = f"out of memory: worked in parts of {model.micro_batch} rows"
            scored = replace(scored, reason="; ".join(filter(None, (scored.reason, halved))))
        if milestone is not None and scored.complete:  # one that has learnt by then has reached its end
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
    """A short fine-tune once more, for its weights: they travel to the driver, as a safetensors file's bytes."""

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
    """Seconds that the frozen model takes to write one token for one row, among the training rows.

    The difference of a longer and a shorter text: what is read before is left out. 0 where memory does not last.
    """

    candidate: Candidate
    shorter: int = 2
    longer: int = 8

    def __call__(self, worker: Worker) -> float:
        rows = worker.unshown(self.candidate, worker.splits[0])
        bare = Template(tuple(s for s in self.candidate.template.segments if not isinstance(s, Soft)))
        if not rows:  # all are solved examples: the fine-tune says so
            return 0.0
        took = []
        try:
            asking = worker.model.asking(replace(self.candidate, template=bare, settings=FROZEN), rows)
            for length in (self.shorter, self.longer):
                started = time.perf_counter()
                worker.model.generate(asking, length)
                took.append(time.perf_counter() - started)
        except FitFailedError:
            return 0.0
        return max(0.0, took[1] - took[0]) / (self.longer - self.shorter) / len(rows)

    def lost(self, _reason: str) -> float:
        """Unknown."""
        return 0.0


@dataclass(frozen=True)
class TestTask:
    """Score some test rows with several candidates; those that share a head share its pass."""

    __test__ = False  # no test class, whatever pytest thinks of its name
    evaluations: tuple[Evaluation, ...]
    rows: tuple[Example, ...]

    def __call__(self, worker: Worker) -> list[Evaluation]:
        from safetensors.torch import load_file

        with worker.model.passing_prefixes():
            done = []
            for task in self.evaluations:
                if not task.complete:  # trained once more, and in vain
                    done.append(task)
                    continue
                delta = load_file(task.weights) if task.weights else {}
                try:
                    task = replace(task, weights=None)  # they stay where they are
                    done.append(scored_with(task, worker, self.rows, delta, write=not worker.labels))
                except (FitFailedError, InputError) as error:
                    done.append(task.failed(str(error)))
        return done

    def lost(self, reason: str) -> list[Evaluation]:
        """Failures all."""
        return [evaluation.failed(reason) for evaluation in self.evaluations]


@dataclass(frozen=True)
class Readiness:
    """What a run must know of its model and data: rows whose fields are cut, tuning modes, whole words, the family,
    and whether text may follow the predicted place."""

    cut_rows: int
    tuning_modes: tuple[str, ...]
    vocabulary: tuple[str, ...]
    family: str
    label_anywhere: bool
    target_length: int
    """Tokens that a written text may have; 0 where the data has labels."""


@dataclass(frozen=True)
class CheckTask:
    """Check the label words against the tokenizer before a search."""

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
        """Raises WorkerLostError: without the model's word there is no search."""
        raise WorkerLostError(f"The model could not be loaded and asked ({reason}); use fewer --workers.")


def weights_name(candidate: Candidate) -> str:
    """Of the file that a candidate's weights lie in."""
    return f"{candidate.id[:32]}.safetensors"


def _save(worker: Worker, task: Evaluation, delta: Mapping[str, Tensor]) -> str:
    """Where the weights lie now. Raises StorageError when they cannot be written."""
    path = worker.spec.weights / weights_name(task.candidate)
    save(delta, path, "The fine-tuned weights")
    return str(path)
