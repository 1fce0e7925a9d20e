"""Events of a run, which a callback is given in addition to its progress view."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from autoprompt.results import CandidateEvaluated, Event, NoteGiven, PlannedStage, SearchPlanned, StageStarted

if TYPE_CHECKING:  # loading torch would take seconds
    from autoprompt.evaluator import Evaluation, Evaluator
    from autoprompt.optimizer import Expected
    from autoprompt.run import Progress

Callback = Callable[[Event], object]


class CallbackView:
    """A view that forwards each call to another view, and gives a callback the event.

    What the callback raises ends the work, as any other error does.
    """

    def __init__(self, shown: Progress, callback: Callback) -> None:
        self.shown = shown
        self.callback = callback

    def stage(self, text: str) -> None:
        """Forward the call, and tell it."""
        self.shown.stage(text)
        self.callback(StageStarted(text))

    def note(self, text: str) -> None:
        """Forward the call, and tell it."""
        self.shown.note(text)
        self.callback(NoteGiven(text))

    def expect(self, stages: Sequence[Expected]) -> None:
        """Forward the call, and tell it."""
        self.shown.expect(stages)
        self.callback(SearchPlanned(tuple(PlannedStage(one.stage, *(one.seconds or (None, None))) for one in stages)))

    def evaluated(self, evaluation: Evaluation | None, evaluator: Evaluator) -> None:
        """Forward the call, and tell it if it is about a candidate."""
        self.shown.evaluated(evaluation, evaluator)
        if evaluation is not None:
            self.callback(_event(evaluation, evaluator.fitted))


def _event(evaluation: Evaluation, fitted: int) -> CandidateEvaluated:
    candidate = evaluation.candidate
    return CandidateEvaluated(
        template=candidate.template.format(),
        label_words=candidate.label_words.mapping(),
        settings=candidate.settings.to_dict(),
        demos=len(candidate.demos),
        split=evaluation.split,
        rung=int(evaluation.rung),
        fold=evaluation.fold,
        repeat=evaluation.repeat,
        status=evaluation.status,
        loss=evaluation.loss if evaluation.complete else None,
        accuracy=evaluation.accuracy,
        n=len(evaluation.losses),
        reason=evaluation.reason,
        seconds=evaluation.seconds,
        evaluations=fitted,
    )
