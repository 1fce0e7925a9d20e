"""Curves of a run, which a tracker writes in addition to its progress view."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from autoprompt.evaluator import Evaluation, Evaluator, Rung
from autoprompt.optimizer import Expected
from autoprompt.registry import TRACKERS
from autoprompt.run import Progress
from autoprompt.trackers import Tracker

DEFAULT = "tensorboard"


class TrackedView:
    """A view that forwards each call to another view, and gives a tracker curves over the number of validated prompts.

    ``validation/loss`` and ``validation/accuracy``: of each short fine-tune, and of the frozen manual prompt;
    ``best/loss``: the lowest so far; ``cost/seconds`` and ``cost/tokens``: totals so far. ``frozen/loss`` is drawn over
    the number of prompts scored without training.
    """

    def __init__(self, shown: Progress, tracker: Tracker) -> None:
        self.shown = shown
        self.tracker = tracker
        self.started = time.monotonic()
        self.best = math.inf
        self.frozen = 0
        self.validated = 0

    def stage(self, text: str) -> None:
        """Forward the call."""
        self.shown.stage(text)

    def expect(self, stages: Sequence[Expected]) -> None:
        """Forward the call."""
        self.shown.expect(stages)

    def note(self, text: str) -> None:
        """Forward the call, and write the note."""
        self.shown.note(text)
        self.tracker.text("note", text, None)

    def evaluated(self, evaluation: Evaluation | None, evaluator: Evaluator) -> None:
        """Forward the call, and write the scores."""
        self.shown.evaluated(evaluation, evaluator)
        if evaluation is None or not evaluation.complete:
            return
        if evaluation.rung == Rung.FROZEN:
            self.frozen += 1
            self.tracker.scalar("frozen/loss", evaluation.loss, self.frozen)
        elif evaluation.rung == Rung.TUNED and evaluation.split == "validation":
            self._validated(evaluation, evaluator)

    def _validated(self, evaluation: Evaluation, evaluator: Evaluator) -> None:
        self.validated += 1
        self.best = min(self.best, evaluation.loss)
        values = {
            "validation/loss": evaluation.loss,
            "best/loss": self.best,
            "cost/seconds": time.monotonic() - self.started,
            "cost/tokens": evaluator.tokens,
        }
        if evaluation.accuracy is not None:
            values["validation/accuracy"] = evaluation.accuracy
        for name, value in values.items():
            self.tracker.scalar(name, value, self.validated)
        self.tracker.text("template", repr(evaluation.candidate.template.format()), self.validated)


@contextmanager
def tracked(shown: Progress, track: str | None) -> Iterator[Progress]:
    """Yield the view; with ``track``, one that also has the run's curves written.

    ``track``: NAME:PLACE with the name of a tracker, or a folder for TensorBoard. Raises what the tracker raises:
    UsageError without its library, StorageError for a place that cannot be written.
    """
    if track is None:
        yield shown
        return
    name, found, place = track.partition(":")
    if not found or name not in TRACKERS:
        name, place = DEFAULT, track
    with closing(TRACKERS[name](place)) as tracker:
        yield TrackedView(shown, tracker)
