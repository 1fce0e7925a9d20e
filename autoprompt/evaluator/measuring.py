"""What the units of a search cost one worker: measured on a few rows before the search begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import pairwise
from statistics import fmean

from autoprompt.candidate import Candidate
from autoprompt.corpus import Example
from autoprompt.evaluator.tasks import TimeWriting
from autoprompt.evaluator.worker import FROZEN, Worker
from autoprompt.models import FitFailedError
from autoprompt.models.types import Prompted

MEASURED_ROWS = 8
"""Training rows that are measured: a batch of the default size."""
QUICK = 1.0
"""Seconds below which a unit is measured twice: a model's first passes are slower than all others."""


@dataclass(frozen=True)
class Speed:
    """Seconds of wall time that one worker needs beside the others; 0 where there is no such unit.

    ``prefix``: to render a row and compute its kept prefix, of ``tokens`` tokens. ``frozen``: to score a row for the
    frozen rung. ``scored``: to score a row as fine-tuned, beside its prefix. ``trained``: an optimiser step, by each
    row of its batch. ``written``: a token of a text that a row is to have.
    """

    prefix: float = 0.0
    tokens: float = 0.0
    frozen: float = 0.0
    scored: float = 0.0
    trained: float = 0.0
    written: float = 0.0


def mean_speed(speeds: Sequence[Speed]) -> Speed:
    """The mean of what several workers measured at the same time."""
    return Speed(*map(fmean, zip(*map(astuple, speeds), strict=True)))


@dataclass(frozen=True)
class MeasureTask:
    """Pass over a few training rows and train on them for two steps. Nothing of it is kept."""

    candidate: Candidate

    def __call__(self, worker: Worker) -> Speed:
        rows = _spread(worker.unshown(self.candidate, worker.splits[0]))
        if not rows:  # all are solved examples: the fine-tune says so
            return Speed()
        try:
            return self._measured(worker, rows)
        except FitFailedError:  # which the candidate's own evaluation says
            return Speed()

    def _measured(self, worker: Worker, rows: Sequence[Example]) -> Speed:
        model, frozen = worker.model, replace(self.candidate, settings=FROZEN)
        look = model.features if worker.labels else model.score
        before = model.tokens_processed
        with model.passing_prefixes():
            prefix = _seconds(lambda: model.prompt(frozen, rows), again=False)
            tokens = model.tokens_processed - before
            prompted = model.prompt(frozen, rows)
            probed = scored = _seconds(lambda: look(prompted))
            trained = 0.0
            if self.candidate.settings.tuning != "none":
                own = model.prompt(self.candidate, rows)
                scored = _seconds(lambda: model.score(own))
                trained = self._trained(worker, own, rows)
        if prefix < QUICK:
            with model.passing_prefixes():
                prefix = min(prefix, _seconds(lambda: model.prompt(frozen, rows), again=False))
        written = 0.0 if worker.labels else TimeWriting(self.candidate)(worker)
        count = len(rows)
        return Speed(prefix / count, tokens / count, probed / count, scored / count, trained / count, written)

    def _trained(self, worker: Worker, prompted: Prompted, rows: Sequence[Example]) -> float:
        """Seconds of a pass over the rows: of the second one, unless the first was long or learnt all."""
        settings = self.candidate.settings
        settings = settings.change(epochs=2, batch_size=min(len(rows), settings.batch_size))
        ends = [time.monotonic()]

        def ended(_: int) -> bool:
            ends.append(time.monotonic())
            return ends[-1] - ends[-2] > QUICK

        worker.model.tune(prompted, worker.gold(rows), settings, 0, ended)
        ends.append(time.monotonic())
        return min(later - earlier for earlier, later in pairwise(ends[:3]))

    def lost(self, _reason: str) -> Speed:
        """Unknown."""
        return Speed()


def _spread(rows: Sequence[Example]) -> Sequence[Example]:
    """A few rows from all over the split: data may be sorted."""
    count = min(MEASURED_ROWS, len(rows))
    return [rows[place * len(rows) // count] for place in range(count)]


def _seconds(work: Callable[[], object], *, again: bool = True) -> float:
    """Of the work; where it is quick, of the faster of two times."""
    started = time.monotonic()
    work()
    took = time.monotonic() - started
    return min(took, _seconds(work, again=False)) if again and took < QUICK else took
