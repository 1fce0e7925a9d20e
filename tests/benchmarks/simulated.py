"""Workers that do nothing but take as long as real ones: the driver, its search and its leaderboard are real.

A task's seconds are drawn from those that tasks of its kind took a real worker, by a hash of what is asked: they do not
depend on who does it. Its outcome is made up, from such a hash as well. No thread sleeps: a slot knows when its task
ends, and the executor waits for the first to end.
"""

from __future__ import annotations

import math
import os
import pickle
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from autoprompt.corpus import Corpus
from autoprompt.evaluator import Evaluation, Readiness
from autoprompt.evaluator.journal import task_key
from autoprompt.evaluator.worker import Work
from autoprompt.execution.ordered_map import Executor, Slot
from autoprompt.hashing import digest
from autoprompt.models import TokenProposals
from autoprompt.template import LabelWords, Template

WORDS = tuple(a + b for a in ("ba", "ko", "li", "mu", "ra", "se", "ti") for b in ("do", "fe", "ga", "ni", "po", "zu"))
SPREAD = 0.15
"""Nats by which candidates differ."""

NOISE = tuple(random.Random(0).gauss(0, 0.3) for _ in range(4096))  # noqa: S311
"""Of losses, drawn once: making them up is no work of the driver's, in whose process it is done."""

Seconds = Mapping[str, Sequence[float]]
"""What tasks took, by the names of their kinds."""


@dataclass
class Simulated:
    """A place with so many workers; ``busy``: seconds that they worked, ``mapped``: of the maps in which they did."""

    workers: int
    seconds: Seconds
    corpus: Corpus
    device: str = "cpu"
    warnings: list[str] = field(default_factory=list)
    busy: float = 0.0
    mapped: float = 0.0
    begun: float = 0.0
    """When the first task began, in monotonic seconds."""
    tasks: int = 0

    def executor(self, *_: Any) -> Executor[Any]:
        return _Sleeping(self)

    def model(self, folder: Path) -> os.PathLike[str]:
        return folder

    def shared(self, scratch: Path) -> os.PathLike[str]:
        return scratch

    def work(self, task: Any) -> Work:
        """A task's outcome with what it takes."""
        name, rng = type(task).__name__, random.Random(digest(task_key(task)))  # noqa: S311
        seconds = rng.choice(self.seconds.get(name) or [0.0]) / getattr(task, "parts", 1)
        return Work(getattr(self, f"_{name}")(task, rng), seconds, 1)

    def _CheckTask(self, *_: Any) -> Readiness:  # noqa: N802 - named like what it answers
        return Readiness(0, ("none", "tail", "lora"), WORDS, "causal", True, 0)

    def _PreparePrefix(self, task: Any, _: random.Random) -> int:  # noqa: N802
        return len(self.corpus.train) * 30 // task.parts + 1

    def _FrozenTask(self, task: Any, rng: random.Random) -> Evaluation:  # noqa: N802
        rows = (*self.corpus.train, *self.corpus.validation)
        return replace(self._scored(task.evaluation, rows, rng), readability=rng.uniform(50, 500))

    def _FitTask(self, task: Any, rng: random.Random) -> Evaluation:  # noqa: N802
        done = self._scored(task.evaluation, self.corpus.validation, rng)
        if task.bar is None:
            return done
        early = done.loss * 1.3
        if early > task.bar:
            return replace(done, status="pruned", reason="behind", milestone=early)
        return replace(done, milestone=early)

    def _WeightsTask(self, task: Any, rng: random.Random) -> tuple[Evaluation, bytes]:  # noqa: N802
        return self._scored(task.evaluation, self.corpus.validation, rng), b""

    def _TestTask(self, task: Any, rng: random.Random) -> list[Evaluation]:  # noqa: N802
        return [self._scored(evaluation, task.rows, rng) for evaluation in task.evaluations]

    def _ProposeTask(self, task: Any, rng: random.Random) -> TokenProposals:  # noqa: N802
        counts = task.replacements, task.infills
        return TokenProposals(*([(_edited(task.candidate.template, rng), -1.0) for _ in range(n)] for n in counts))

    def _WordsTask(self, task: Any, rng: random.Random) -> list[LabelWords]:  # noqa: N802
        labels = self.corpus.labels
        drawn = [rng.sample(WORDS, len(labels)) for _ in range(task.count)]
        return [LabelWords(tuple(zip(labels, words, strict=True))) for words in drawn]

    def _scored(self, evaluation: Evaluation, rows: Sequence[Any], rng: random.Random) -> Evaluation:
        """A loss of its own for the candidate, the same on all its rungs but for noise on the rows."""
        own = random.Random(evaluation.candidate.id).gauss(0.5, SPREAD)  # noqa: S311
        labels = self.corpus.labels
        gold = tuple(labels.index(row.label) for row in rows)
        first = rng.randrange(len(NOISE) - len(rows))
        losses = tuple(max(0.01, own + noise) for noise in NOISE[first : first + len(rows)])
        rest = [math.log((1 - math.exp(-loss)) / (len(labels) - 1)) for loss in losses]
        return replace(
            evaluation,
            labels=labels,
            row_ids=tuple(row.row_id for row in rows),
            gold=gold,
            losses=losses,
            log_probs=tuple(
                tuple(-loss if place == g else other for place in range(len(labels)))
                for g, loss, other in zip(gold, losses, rest, strict=True)
            ),
        )


@contextmanager
def taking_place(place: Any) -> Iterator[None]:
    """Searches inside have their workers there."""
    from autoprompt.run import searching

    before = searching.open_backend
    searching.open_backend = lambda *_: _given(place)  # type: ignore[assignment]
    try:
        yield
    finally:
        searching.open_backend = before


@contextmanager
def _given(place: Any) -> Iterator[Any]:
    yield place


class _Sleeping(Executor["_SleepingSlot"]):
    def __init__(self, place: Simulated) -> None:
        super().__init__([_SleepingSlot(place) for _ in range(place.workers)])
        self._place = place

    def map(self, *given: Any, **more: Any) -> Iterator[Any]:
        started = time.monotonic()
        try:
            yield from super().map(*given, **more)
        finally:
            self._place.mapped += time.monotonic() - started

    def close(self) -> None:
        self._closed = True

    def _wait(self, busy: Sequence[_SleepingSlot], timeout: float | None) -> list[_SleepingSlot]:
        first = min(slot.end for slot in busy) - time.monotonic()
        time.sleep(max(0.0, first if timeout is None else min(first, timeout)))
        now = time.monotonic()
        return [slot for slot in busy if slot.end <= now]


class _SleepingSlot(Slot):
    def __init__(self, place: Simulated) -> None:
        super().__init__()
        self._place = place
        self._work: Work | None = None
        self.end = 0.0

    def _send(self, asked: bytes) -> None:
        function: Callable[[Any], Any]
        function, task = pickle.loads(asked)  # noqa: S301 - what was pickled a moment ago
        del function
        place = self._place
        self._work = place.work(task)
        self.end = time.monotonic() + self._work.seconds
        place.begun = place.begun or time.monotonic()
        place.busy += self._work.seconds
        place.tasks += 1

    def _receive(self) -> bytes | None:
        return pickle.dumps((None, self._work))

    def _end(self, *, at_once: bool) -> str:  # noqa: ARG002
        raise AssertionError("simulated workers do not die")


def _edited(template: Template, rng: random.Random) -> Template:
    """One more word before the label."""
    return Template.parse(template.format().replace("{label}", f"{rng.choice(WORDS)} {{label}}"))
