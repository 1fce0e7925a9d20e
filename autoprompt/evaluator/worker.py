"""What runs beside the model: each task is data in, data out, and depends on no other task."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch

from autoprompt.candidate import Candidate, Settings, derived_seed
from autoprompt.corpus import Corpus, Example
from autoprompt.errors import InputError
from autoprompt.evaluator.evaluation import Evaluation
from autoprompt.evaluator.proxy import SCORES_STRENGTH, Proxy, cross_fit, deal, fit_probe
from autoprompt.models import Features, FitFailedError, LanguageModel, TokenProposals, load_model
from autoprompt.template import LabelWords, Template

FEATURES_KEPT = 4
_FROZEN = Settings("none")


@dataclass(frozen=True)
class WorkerSpec:
    """All that a worker needs to start. ``corpus`` comes without its test rows."""

    model_folder: Path
    corpus: Corpus
    seed: int
    device: str
    max_length: int
    scratch: Path
    """A folder that all workers share: kept prefixes and fine-tuned weights."""


@dataclass(frozen=True)
class Work:
    """A task's result with what it cost."""

    value: Any
    seconds: float
    tokens: int


class Worker:
    """One resident model and the search's rows."""

    def __init__(self, spec: WorkerSpec) -> None:
        self.spec = spec
        prefixes = spec.scratch / "prefixes"
        prefixes.mkdir(parents=True, exist_ok=True)
        # One thread whatever the number of workers: the bits must not depend on it.
        torch.set_num_threads(1)
        self.model: LanguageModel = load_model(
            spec.model_folder, device=spec.device, max_length=spec.max_length, prefix_folder=prefixes
        )
        self.splits = (spec.corpus.train, spec.corpus.validation)
        self._features: OrderedDict[str, Features] = OrderedDict()

    def gold(self, rows: Sequence[Example]) -> list[int]:
        """Label indices."""
        return [self.spec.corpus.labels.index(row.label) for row in rows]

    @property
    def all_gold(self) -> list[int]:
        """Label indices of the training rows, then the validation rows: the order of ``features``."""
        return self.gold(self.splits[0]) + self.gold(self.splits[1])

    def features(self, template: Template, words: LabelWords) -> Features:
        """Frozen features of training and validation rows, kept for the last few prompts."""
        key = Candidate(template, words, _FROZEN).id
        if key not in self._features:
            parts = [self.model.features(self.model.prompt(template, words, rows)) for rows in self.splits]
            self._features[key] = Features(
                *(torch.cat([getattr(p, name) for p in parts]) for name in ("hidden", "label_scores", "vocabulary"))
            )
            while len(self._features) > FEATURES_KEPT:
                self._features.popitem(last=False)
        return self._features[key]

    def proxy(self, template: Template, words: LabelWords) -> Proxy:
        """The frozen rung's probes."""
        return cross_fit(self.features(template, words), self.all_gold, len(self.spec.corpus.labels))


_WORKER: Worker | None = None


def start_worker(spec: WorkerSpec) -> None:
    """Initialise this process."""
    global _WORKER
    _WORKER = Worker(spec)


def perform(task: Callable[[Worker], Any]) -> Work:
    """Run one task in a process that ``start_worker`` prepared."""
    if _WORKER is None:
        raise RuntimeError("this process was not prepared by start_worker")
    started, before = time.monotonic(), _WORKER.model.tokens_processed
    value = task(_WORKER)
    return Work(value, time.monotonic() - started, _WORKER.model.tokens_processed - before)


@dataclass(frozen=True)
class PreparePrefix:
    """Compute one share of the kept prefixes of a template's head."""

    template: Template
    split: int
    part: int
    parts: int

    def __call__(self, worker: Worker) -> int:
        return worker.model.prepare_prefix(self.template, worker.splits[self.split], self.part, self.parts)


@dataclass(frozen=True)
class FrozenTask:
    """Rung 0: proxy losses over training and validation rows, and the readability of the literal text."""

    evaluation: Evaluation

    def __call__(self, worker: Worker) -> Evaluation:
        candidate = self.evaluation.candidate
        try:
            worker.model.check_words(candidate.template, candidate.label_words)
            features = worker.features(candidate.template, candidate.label_words)
        except InputError as error:
            return self.evaluation.failed(str(error))
        if not (torch.isfinite(features.hidden).all() and torch.isfinite(features.label_scores).all()):
            return self.evaluation.failed("a frozen feature is not finite")
        proxy = worker.proxy(candidate.template, candidate.label_words)
        first, second = proxy.log_probs(features.hidden, features.label_scores)
        result = replace(
            self.evaluation,
            row_ids=tuple(row.row_id for rows in worker.splits for row in rows),
            gold=tuple(worker.all_gold),
            log_probs=_rows((first + second).log_softmax(-1)),
            losses=tuple(proxy.losses(features.hidden, features.label_scores).tolist()),
            readability=worker.model.perplexity(" ".join(candidate.template.literals)),
        )
        return _finite(result)


@dataclass(frozen=True)
class FitTask:
    """Rungs 1 and 2: fine-tune with the candidate's settings, score the other split.

    Fold 0 trains on the training rows and validates on the validation rows; fold 1 the other way round.
    Initialisation and row order come from (seed, fold, repeat) alone: comparisons are paired.
    """

    evaluation: Evaluation

    def __call__(self, worker: Worker) -> Evaluation:
        task, model = self.evaluation, worker.model
        train, validation = worker.splits if task.fold == 0 else worker.splits[::-1]
        candidate = task.candidate
        settings = candidate.settings
        if settings.tuning not in model.tuning_modes:
            return task.failed(f"this model cannot be tuned with {settings.tuning!r}, only {model.tuning_modes}")
        keep = settings.tuning != "full"
        try:
            model.check_words(candidate.template, candidate.label_words)
            held_out = model.prompt(candidate.template, candidate.label_words, validation, keep_prefix=keep)
            if settings.tuning == "none":
                log_probs, weights = model.score(held_out), None
            else:
                rows = model.prompt(candidate.template, candidate.label_words, train, keep_prefix=keep)
                seed = derived_seed(worker.spec.seed, "fit", task.fold, task.repeat)
                delta = model.tune(rows, worker.gold(train), settings, seed)
                with model.adapted(settings, delta):
                    log_probs = model.score(held_out)
                weights = _save(worker, task, delta) if task.fold == task.repeat == 0 else None
        except (FitFailedError, InputError) as error:
            return task.failed(str(error))
        return _finite(_scored(task, worker, validation, log_probs, weights))


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
                delta = load_file(task.weights) if task.weights else {}
                done.append(_finite(self._score(worker, task, delta)))
        return done

    def _score(self, worker: Worker, task: Evaluation, delta: Mapping[str, torch.Tensor]) -> Evaluation:
        candidate, settings = task.candidate, task.candidate.settings
        prompted = worker.model.prompt(
            candidate.template, candidate.label_words, self.rows, keep_prefix=settings.tuning != "full"
        )
        with worker.model.adapted(settings, delta):
            log_probs = worker.model.score(prompted)
        return _scored(task, worker, self.rows, log_probs, task.weights)


@dataclass(frozen=True)
class ProposeTask:
    """Token edits of a candidate's template, from gradients of the loss that ranks frozen candidates."""

    candidate: Candidate
    count: int

    def __call__(self, worker: Worker) -> TokenProposals:
        template, words = self.candidate.template, self.candidate.label_words
        rows = worker.splits[0]
        if self.candidate.settings.tuning == "none":
            gold = torch.tensor(worker.gold(rows))
            return worker.model.propose_tokens(
                template,
                words,
                rows,
                lambda _, s: torch.nn.functional.cross_entropy(s.cpu(), gold),
                count=self.count,
            )
        loss = worker.proxy(template, words).training_loss(slice(0, len(rows)))
        return worker.model.propose_tokens(template, words, rows, loss, count=self.count)


@dataclass(frozen=True)
class WordsTask:
    """Rank label words for a template on its cached logits: no further pass through the model.

    Words that are likelier under their label than under the others (a likelihood ratio over the training rows)
    are short-listed for each label; combinations are ordered by the cross-fitted loss of the label scores.
    """

    template: Template
    words: LabelWords
    count: int
    per_label: int = 4
    plausible: int = 400

    def __call__(self, worker: Worker) -> list[LabelWords]:
        features = worker.features(self.template, self.words)
        if not torch.isfinite(features.vocabulary).all():
            return []
        texts = worker.model.word_tokens()
        gold = torch.tensor(worker.all_gold)
        train = len(worker.splits[0])
        log_probs = features.vocabulary.log_softmax(-1)
        ids = torch.tensor(sorted(texts))
        shortlists = []
        for label in range(len(self.words.labels)):
            member = gold[:train] == label
            inside = log_probs[:train][member][:, ids].mean(0)
            outside = log_probs[:train][~member][:, ids].mean(0)
            likely = inside.argsort(descending=True, stable=True)[: self.plausible]
            ratio = (inside - outside)[likely].argsort(descending=True, stable=True)
            best = [int(ids[likely[i]]) for i in ratio[: self.per_label]]
            shortlists.append([(texts[token], token) for token in best])
        return self._combine(worker, features, shortlists)

    def _combine(self, worker: Worker, features: Features, shortlists: list[list[tuple[str, int]]]) -> list[LabelWords]:
        gold = worker.all_gold
        fold_of = deal(gold)
        labels = self.words.labels
        ranked = []
        combinations = product(*shortlists) if len(labels) <= 3 else zip(*shortlists, strict=False)
        for combination in combinations:
            if len({word.lower() for word, _ in combination}) < len(labels):
                continue
            scores = features.vocabulary[:, [token for _, token in combination]].log_softmax(-1)
            probe = fit_probe(
                scores.double().numpy(), torch.tensor(gold).numpy(), fold_of, len(labels), SCORES_STRENGTH
            )
            held_out = probe.log_probs(scores, torch.from_numpy(fold_of))
            loss = float(torch.nn.functional.nll_loss(held_out, torch.tensor(gold)))
            ranked.append((loss, tuple(word for word, _ in combination)))
        return [LabelWords(tuple(zip(labels, words, strict=True))) for _, words in sorted(ranked)[: self.count]]


@dataclass(frozen=True)
class Readiness:
    """What a run must know of its model and data: rows whose fields are cut, tuning modes, whole words."""

    cut_rows: int
    tuning_modes: tuple[str, ...]
    vocabulary: tuple[str, ...]


@dataclass(frozen=True)
class CheckTask:
    """Check the label words against the tokenizer before a search."""

    template: Template
    words: LabelWords

    def __call__(self, worker: Worker) -> Readiness:
        model = worker.model
        model.check_words(self.template, self.words)
        rows = [row for rows in worker.splits for row in rows]
        words = sorted({word.lower() for word in model.word_tokens().values()})
        return Readiness(model.cut_rows(worker.spec.corpus.fields, rows), model.tuning_modes, tuple(words))


def _scored(
    task: Evaluation, worker: Worker, rows: Sequence[Example], log_probs: torch.Tensor, weights: str | None
) -> Evaluation:
    gold = worker.gold(rows)
    values = _rows(log_probs)
    return replace(
        task,
        row_ids=tuple(row.row_id for row in rows),
        gold=tuple(gold),
        log_probs=values,
        losses=tuple(-row[label] for row, label in zip(values, gold, strict=True)),
        weights=weights,
    )


def _finite(evaluation: Evaluation) -> Evaluation:
    if all(math.isfinite(value) for row in evaluation.log_probs for value in row) and all(
        map(math.isfinite, evaluation.losses)
    ):
        return evaluation
    return evaluation.failed("a score is not finite")


def _rows(values: torch.Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in values.tolist())


def _save(worker: Worker, task: Evaluation, delta: Any) -> str:
    from safetensors.torch import save_file

    path = worker.spec.scratch / f"{task.candidate.id[:32]}.safetensors"
    save_file(dict(delta), path)
    return str(path)
