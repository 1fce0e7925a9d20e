"""Random draws of a task, each fine-tuned once and scored on all rows: what *agreement* and *end* judge.

The draws are those of ``--strategy random``, after the tuned manual prompt. They are stored task by task under
``.bench/draws``, since they take 10 to 30 minutes a task on two idle cores.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from bench import SCRATCH, Options
from numpy.typing import NDArray
from tasks import MODEL, Task, evaluating, few_shot

from autoprompt.candidate import Candidate
from autoprompt.corpus import Corpus
from autoprompt.errors import InputError
from autoprompt.evaluator import Evaluation, Evaluator
from autoprompt.evaluator.worker import Worker, perform
from autoprompt.models import CandidateFailedError
from autoprompt.optimizer import judged, teach
from autoprompt.registry import STRATEGIES
from autoprompt.run import DataOptions, ModelOptions
from autoprompt.run.inputs import prepare

DRAWS, QUICK_SEED = 36, 5
TEST, UNLABELLED = 256, 128
VERSIONS = ("manual", "manual, refit", "single", "refit", "second", "second, refit")

Stored = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Frozen:
    """What a candidate says before a fine-tune: label scores of the rows of rung 0 [rows][labels], and their labels'
    indices [rows]; None where it cannot be scored."""

    candidate: Candidate

    def __call__(self, worker: Worker) -> Any:
        try:
            worker.model.check(self.candidate)
            scores = worker.features(self.candidate).label_scores.tolist()
            return scores, worker.gold(worker.frozen_rows(self.candidate))
        except (CandidateFailedError, InputError):
            return None


def corpus_of(task: Task) -> Corpus:
    """With rows without labels; where the task has none, the rest of the test rows plays them."""
    corpus = task.load()
    half = TEST if corpus.unlabeled else min(TEST, len(corpus.test) // 2)
    unlabelled = corpus.unlabeled or tuple(replace(row, label="") for row in corpus.test[half:])
    return replace(corpus, test=corpus.test[:half], unlabeled=unlabelled[:UNLABELLED])


def drawn(task: Task, given: Options) -> Stored:
    """The task's draws, measured where they are not stored.

    ``val``, ``votes``, ``test``: log-probabilities, or probabilities on the rows without labels, [draws, rows, labels];
    ``vgold``, ``tgold`` [rows]; ``frozen`` [draws, rows, labels]: label scores of training and validation rows,
    ``fgold`` [rows]; ``seconds`` [draws] of a fine-tune; ``versions`` [6, rows, labels]: test log-probabilities of
    ``VERSIONS``, with ``version_seconds`` and ``version_bytes`` [6]; ``candidates`` [draws]: as JSON.
    """
    place = SCRATCH / "draws" / f"{task.name.replace('/', '-')}.npz"
    if given.fresh or not place.is_file():
        print("  drawing for", task.name, flush=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        np.savez(place, **_measured(task))
    with np.load(place) as stored:
        return dict(stored)


def _measured(task: Task) -> Stored:
    corpus = corpus_of(task)
    space = prepare(task.source, DataOptions(), ModelOptions(MODEL), (), None, None, task.seed).space
    with evaluating(corpus, task.seed) as evaluator:
        strategy = STRATEGIES["random"](space, evaluator, random.Random(task.seed))  # noqa: S311
        chosen = [space.manual_tuned]
        while len(chosen) <= DRAWS:
            chosen += [p.candidate for p in strategy.ask() if p.candidate not in chosen and not p.candidate.demos]
        chosen = chosen[: DRAWS + 1]
        fitted = evaluator.fit(chosen)
        # After the fine-tunes, which keep the states of the texts.
        frozen = [work.value for work in evaluator.executor.map(perform, [Frozen(c) for c in chosen])]
        whole = [(seen, own) for seen, own in zip(frozen, fitted, strict=True) if seen and own.complete]
        tested = evaluator.test([own for _, own in whole], corpus.test)
        ended = _versions(evaluator, [own for _, own in whole], corpus)
    return {
        "candidates": np.array([json.dumps(own.candidate.to_dict()) for _, own in whole]),
        "val": np.array([own.log_probs for _, own in whole], dtype=np.float32),
        "vgold": np.array(whole[0][1].gold),
        "votes": np.array([own.votes for _, own in whole], dtype=np.float32),
        "test": np.array([test.log_probs for test in tested], dtype=np.float32),
        "tgold": np.array([corpus.labels.index(row.label) for row in corpus.test]),
        "frozen": np.array([scores for (scores, _), _ in whole], dtype=np.float32),
        "fgold": np.array(whole[0][0][1]),
        "seconds": np.array([own.seconds for _, own in whole]),
        **ended,
    }


def _versions(evaluator: Evaluator, fitted: Sequence[Evaluation], corpus: Corpus) -> Stored:
    """What the end of a search makes of the first two by the estimate, and of the manual prompt."""
    order = sorted(judged(fitted, fitted), key=lambda evaluation: evaluation.fitness)
    manual = next(e for e in order if e.candidate == fitted[0].candidate)
    winner, second, *_ = (e for e in order if e is not manual)
    found = [manual, winner, second]
    again = evaluator.refit([e.candidate for e in found], teach(order))
    versions = evaluator.with_weights([one for pair in zip(found, again, strict=True) for one in pair])
    tests = evaluator.test(versions, corpus.test)
    return {
        "versions": np.array([test.log_probs for test in tests], dtype=np.float32),
        "version_seconds": np.array([one.seconds for one in versions]),
        "version_bytes": np.array([Path(str(one.weights)).stat().st_size for one in versions]),
    }


def swapped(task: Task, given: Options) -> Stored:
    """The same candidates after a fine-tune on the validation rows, scored on the training rows: ``val`` [draws, rows,
    labels] and ``vgold`` [rows]."""
    place = SCRATCH / "draws" / f"{task.name.replace('/', '-')}-swapped.npz"
    if given.fresh or not place.is_file():
        chosen = [Candidate.from_dict(json.loads(one)) for one in drawn(task, given)["candidates"]]
        print("  the other fold of", task.name, flush=True)
        corpus = replace(corpus_of(task), unlabeled=())
        with evaluating(corpus, task.seed) as evaluator:
            fitted = evaluator.fit(chosen, fold=1)
        np.savez(
            place,
            val=np.array([own.log_probs for own in fitted], dtype=np.float32),
            vgold=np.array(fitted[0].gold),
        )
    with np.load(place) as stored:
        return dict(stored)


def tasks_of(given: Options) -> list[Task]:
    """Without ``DATA`` a quick run takes one sample each of two embedded corpora."""
    if given.quick:
        return [Task(f"{name}/seed-{QUICK_SEED}", name, QUICK_SEED) for name in ("rotten-tomatoes", "tickets")]
    return few_shot(given)
