"""The end of a search: the winner trained once more on all rows, and the one look at the test rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from autoprompt.evaluator import Evaluation, Evaluator
from autoprompt.leaderboard import keep_weights
from autoprompt.optimizer import Forecast, Outcome, blocks_of
from autoprompt.results import WinnerVersion
from autoprompt.run.inputs import Task
from autoprompt.run.options import Progress
from autoprompt.run.recording import Recorder, paired_difference

SINGLE, REFIT = "single", "refit"
"""Names of the winner's versions: as the search found it, and trained once more."""


@dataclass
class Ending:
    """What the winner and the manual baselines came to.

    ``versions``: of the winner, as the search found it and, where it was trained once more, as it is then, with weights
    on this machine; the last is kept. ``rows``: the number of rows that each was given. ``tests``: candidate id ->
    complete evaluation of the test rows, as the search found it; empty where there are none. ``test``: that of the
    version that is kept.
    """

    versions: list[Evaluation]
    rows: list[int]
    tests: dict[str, Evaluation] = field(default_factory=dict)
    test: Evaluation | None = None

    def keep_winner(self, board: Path) -> str | None:
        """Store the weights of the winner. Returns their name; None for a frozen model. Raises StorageError."""
        last = self.versions[-1]
        return keep_weights(board, Path(last.weights)) if last.weights else None

    def compared(self, recorder: Recorder) -> dict[str, WinnerVersion]:
        """The winner's versions by name; empty where there is only one."""
        if len(self.versions) == 1:
            return {}
        single, refit = self.tests.get(self.versions[0].candidate.id), self.test
        scores = [recorder.score(test) if test else None for test in (single, refit)]
        change = paired_difference(recorder, refit, single) if refit and single else None
        return {
            SINGLE: WinnerVersion(rows=self.rows[0], test=scores[0], difference=None),
            REFIT: WinnerVersion(rows=self.rows[1], test=scores[1], difference=change),
        }


def end_search(
    task: Task,
    evaluator: Evaluator,
    outcome: Outcome,
    recorder: Recorder,
    progress: Progress,
    forecast: Forecast,
    *,
    test: bool,
) -> Ending:
    """Train the winner once more, where the outcome has answers for that, then score the test rows (``test``) with both
    of its versions, and with the manual baselines. ``forecast`` is told which of these begins.

    A fine-tune that fails is left out, with a note. Raises StorageError where weights cannot be written.
    """
    corpus = task.corpus
    trained = evaluator.with_weights(outcome.trained)
    ending = Ending([e for e in trained if e.candidate == outcome.best.candidate], [len(corpus.train)])
    if outcome.answers:
        forecast.begin("refit")
        progress.stage("refit")
        (again,) = evaluator.refit([outcome.best.candidate], outcome.answers)
        if again.complete:
            ending.versions.append(again)
            ending.rows.append(len(corpus.train) + len(corpus.validation) + len(outcome.answers))
        else:
            progress.note(f"The winner was not trained once more: {again.reason}.")
    if test and corpus.test:
        forecast.begin("test", blocks_of(len(corpus.test)))
        progress.stage("test")
        refit = ending.versions[1:]
        tested = evaluator.test([*trained, *refit], corpus.test)
        recorder(tested, "finalist")
        complete = [e if e.complete else None for e in tested]
        ending.tests = {e.candidate.id: e for e in complete[: len(trained)] if e}
        ending.test = complete[-1] if refit else ending.tests.get(outcome.best.candidate.id)
    return ending
