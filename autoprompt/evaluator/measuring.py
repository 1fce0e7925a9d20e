"""Speed of one worker for each unit of a search's work, measured on a few rows before the search begins."""

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
from autoprompt.models import CandidateFailedError, EncodedPrompt

MEASURED_ROWS = 8
"""Training rows used for measuring: one batch of the default size."""
QUICK = 5.0
"""Seconds below which a unit is measured twice: a model's first passes are slower than all later ones. On film reviews
the default model's first epoch took .8 to 1.2 s and the next one .12 s, on two EPYC cores."""


@dataclass(frozen=True)
class Speed:
    """Seconds of wall time that one worker needs while the others work too; 0 where there is no such unit.

    ``prefix``: render a row and compute its prefix of ``tokens`` tokens. ``frozen``: score a row for the frozen rung.
    ``scored``: score a row with the fine-tune, prefix excluded. ``trained``: optimiser step, per row of its batch.
    ``written``: generate one token for one row.
    """

    prefix: float = 0.0
    tokens: float = 0.0
    frozen: float = 0.0
    scored: float = 0.0
    trained: float = 0.0
    written: float = 0.0


def mean_speed(speeds: Sequence[Speed]) -> Speed:
    """Return the mean of what several workers measured at the same time."""
    return Speed(*map(fmean, zip(*map(astuple, speeds), strict=True)))


@dataclass(frozen=True)
class MeasureTask:
    """Measure the speed on a few training rows, with a fine-tune of two epochs. Nothing of it is kept."""

    candidate: Candidate

    def __call__(self, worker: Worker) -> Speed:
        rows = _spread(worker.without_demos(self.candidate, worker.splits[0]))
        if not rows:  # all are demonstrations: the fine-tune reports it
            return Speed()
        try:
            return self._measured(worker, rows)
        except CandidateFailedError:  # the candidate's own evaluation reports it
            return Speed()

    def _measured(self, worker: Worker, rows: Sequence[Example]) -> Speed:
        model, frozen = worker.model, replace(self.candidate, settings=FROZEN)
        look = model.features if worker.labels else model.score
        before = model.tokens_processed
        with model.temporary_prefixes():
            prefix = _seconds(lambda: model.prompt(frozen, rows), again=False)
            tokens = model.tokens_processed - before
            prompted = model.prompt(frozen, rows)
            untuned = scored = _seconds(lambda: look(prompted))
            trained = 0.0
            if self.candidate.settings.tuning != "none":
                own = model.prompt(self.candidate, rows)
                scored = _seconds(lambda: model.score(own))
                trained = self._trained(worker, own, rows)
        if prefix < QUICK:
            with model.temporary_prefixes():
                prefix = min(prefix, _seconds(lambda: model.prompt(frozen, rows), again=False))
        written = 0.0 if worker.labels else TimeWriting(self.candidate)(worker)
        count = len(rows)
        return Speed(prefix / count, tokens / count, untuned / count, scored / count, trained / count, written)

    def _trained(self, worker: Worker, prompted: EncodedPrompt, rows: Sequence[Example]) -> float:
        """Return the seconds of one epoch: the faster of two, or the first where it is slow or ends the fine-tune."""
        settings = self.candidate.settings
        settings = settings.change(epochs=2, batch_size=min(len(rows), settings.batch_size))
        ends = [time.monotonic()]

        def ended(_: int) -> bool:
            ends.append(time.monotonic())
            return ends[-1] - ends[-2] > QUICK

        worker.model.tune(prompted, worker.gold(rows), settings, 0, ended)
        if len(ends) == 1:  # the rows were learnt in the first epoch
            ends.append(time.monotonic())
        return min(later - earlier for earlier, later in pairwise(ends[:3]))

    def lost(self, _reason: str) -> Speed:
        """Return an unknown speed."""
        return Speed()


def _spread(rows: Sequence[Example]) -> Sequence[Example]:
    """Return a few rows from all over the split, since data may be sorted."""
    count = min(MEASURED_ROWS, len(rows))
    return [rows[place * len(rows) // count] for place in range(count)]


def _seconds(work: Callable[[], object], *, again: bool = True) -> float:
    """Return the seconds that the work takes; quick work is run twice and the faster time counts."""
    started = time.monotonic()
    work()
    took = time.monotonic() - started
    return min(took, _seconds(work, again=False)) if again and took < QUICK else took
