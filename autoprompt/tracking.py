"""TensorBoard curves of a run, written in addition to its progress view."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from autoprompt.errors import StorageError, UsageError
from autoprompt.evaluator import Evaluation, Evaluator, Rung
from autoprompt.optimizer import Expected
from autoprompt.run import Progress


class Tracked:
    """A view that forwards each call to another view and writes curves over the number of validated prompts.

    ``validation/loss`` and ``validation/accuracy``: of each short fine-tune, and of the frozen manual prompt;
    ``best/loss``: the lowest so far; ``cost/seconds`` and ``cost/tokens``: totals so far. ``frozen/loss`` is drawn over
    the number of prompts scored without training.
    """

    def __init__(self, shown: Progress, writer: Any) -> None:
        self.shown = shown
        self.writer = writer
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
        self.writer.add_text("note", text)

    def evaluated(self, evaluation: Evaluation | None, evaluator: Evaluator) -> None:
        """Forward the call, and write the scores."""
        self.shown.evaluated(evaluation, evaluator)
        if evaluation is None or not evaluation.complete:
            return
        if evaluation.rung == Rung.FROZEN:
            self.frozen += 1
            self.writer.add_scalar("frozen/loss", evaluation.loss, self.frozen)
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
        if evaluation.labels:
            gold = [evaluation.labels[place] for place in evaluation.gold]
            right = sum(p == g for p, g in zip(evaluation.predictions, gold, strict=True))
            values["validation/accuracy"] = right / len(gold)
        for name, value in values.items():
            self.writer.add_scalar(name, value, self.validated)
        self.writer.add_text("template", repr(evaluation.candidate.template.format()), self.validated)


@contextmanager
def tracked(shown: Progress, folder: str | None) -> Iterator[Progress]:
    """Yield the view; with a ``folder``, one that also writes the run's curves there.

    Raises UsageError if the extra "tracking" is not installed, StorageError if the folder cannot be written.
    """
    if folder is None:
        yield shown
        return
    try:
        from tensorboardX import SummaryWriter
    except ModuleNotFoundError as error:
        raise UsageError(
            "--track needs tensorboardX, which is not installed; run pip install 'autoprompt-engine[tracking]'."
        ) from error
    try:
        writer = SummaryWriter(folder)
    except OSError as error:
        raise StorageError(f"The curves cannot be written to {folder} ({error.strerror}); choose another.") from error
    try:
        yield Tracked(shown, writer)
    finally:
        writer.close()
