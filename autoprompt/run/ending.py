"""The end of a search: the winner trained once more on further rows, and the one look at the test rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from autoprompt.candidate import Candidate
from autoprompt.evaluator import Evaluation, Evaluator, Rung
from autoprompt.leaderboard import keep_weights
from autoprompt.optimizer import Outcome
from autoprompt.results import WinnerVersion
from autoprompt.run.inputs import Task
from autoprompt.run.options import Progress
from autoprompt.run.recording import Recorder, paired_difference

VERSIONS = {Rung.REFITTED: "refit", Rung.TAUGHT: "taught"}
"""Names of the winner's versions that were trained on more rows than those of the search (``SINGLE``)."""
SINGLE = "single"


@dataclass
class Ending:
    """What the winner and the manual baselines came to.

    ``trained``: by candidate id, its fine-tunes with weights on this machine; the last is the one that is kept.
    ``tests``: likewise, complete evaluations of the test rows; empty where there are none. ``rows``: the number of rows
    that a fine-tune is given, by rung.
    """

    trained: dict[str, list[Evaluation]]
    rows: dict[int, int]
    tests: dict[str, list[Evaluation]] = field(default_factory=dict)

    @property
    def kept(self) -> dict[str, Evaluation]:
        """The test evaluation of each candidate as it is kept; without those whose test failed."""
        rung = {candidate: versions[-1].rung for candidate, versions in self.trained.items()}
        return {id_: e for id_, versions in self.tests.items() for e in versions if e.rung == rung[id_]}

    def keep_winner(self, board: Path, winner: Candidate) -> str | None:
        """Store the weights of the winner. Returns their name; None for a frozen model. Raises StorageError."""
        last = self.trained[winner.id][-1]
        return keep_weights(board, Path(last.weights)) if last.weights else None

    def versions(self, winner: Candidate, recorder: Recorder) -> dict[str, WinnerVersion]:
        """The winner's versions by name; empty where there is only one."""
        trained = self.trained[winner.id]
        if len(trained) == 1:
            return {}
        tested = {evaluation.rung: evaluation for evaluation in self.tests.get(winner.id, [])}
        single = tested.get(trained[0].rung)
        found = {}
        for one in trained:
            test = tested.get(one.rung)
            changed = paired_difference(recorder, test, single) if test and single and test is not single else None
            found[VERSIONS.get(Rung(one.rung), SINGLE)] = WinnerVersion(
                rows=self.rows.get(one.rung, self.rows[Rung.TUNED]),
                test=recorder.score(test) if test else None,
                difference=changed,
            )
        return found


def end_search(
    task: Task,
    evaluator: Evaluator,
    outcome: Outcome,
    recorder: Recorder,
    progress: Progress,
    *,
    refit: bool,
    test: bool,
) -> Ending:
    """Train the winner and the tuned manual template once more (``refit``), then score the test rows (``test``) with
    them all, and with the manual template.

    A fine-tune that fails is left out, with a note. Raises StorageError where weights cannot be written.
    """
    corpus = task.corpus
    labelled = len(corpus.train) + len(corpus.validation)
    taught = labelled + len(outcome.answers)
    rows: dict[int, int] = {Rung.TUNED: len(corpus.train), Rung.REFITTED: labelled, Rung.TAUGHT: taught}
    trained = {e.candidate.id: [e] for e in evaluator.with_weights(outcome.trained)}
    if refit:
        progress.stage("refit")
        for again in _retrained(task, evaluator, outcome):
            if again.complete:
                trained[again.candidate.id].append(again)
            else:
                progress.note(f"A prompt was not trained on more rows: {again.reason}.")
    ending = Ending(trained, rows)
    if test and corpus.test:
        progress.stage("test")
        tested = evaluator.test([one for versions in trained.values() for one in versions], corpus.test)
        recorder(tested, "finalist")
        for evaluation in tested:
            if evaluation.complete:
                ending.tests.setdefault(evaluation.candidate.id, []).append(evaluation)
    return ending


def _retrained(task: Task, evaluator: Evaluator, outcome: Outcome) -> list[Evaluation]:
    """The winner and the tuned manual template on all rows with labels, and the winner on those without as well."""
    winner, manual = outcome.best.candidate, task.space.manual_tuned
    trained = {evaluation.candidate for evaluation in outcome.trained}
    tuned = [c for c in dict.fromkeys([winner, manual]) if c in trained and c.settings.tuning != "none"]
    wanted = [(candidate, Rung.REFITTED) for candidate in tuned]
    if outcome.answers and winner in tuned:
        wanted.insert(0, (winner, Rung.TAUGHT))  # it takes longest
    return sorted(evaluator.retrain(wanted, outcome.answers), key=lambda evaluation: evaluation.rung)
