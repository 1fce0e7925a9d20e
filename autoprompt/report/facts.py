"""Facts of one run's report, read from the leaderboard as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoprompt.leaderboard import DataRow, EntryEstimate, Leaderboard, Origin, RunRecord, rank
from autoprompt.report import commands, history, outcome
from autoprompt.results import RunResult, refinement_verdict, verdict

SHOWN_ENTRIES = 40


@dataclass(frozen=True)
class Facts:
    """See the modules ``history`` and ``outcome`` for the parts. Parts that a run has not reached are empty or None.

    ``total``: number of entries, of which ``lines`` are the first. ``test_evaluations``: number of evaluations
    on the test rows of this data, over all runs of the leaderboard.
    """

    run: RunRecord
    tested_prompts: Sequence[outcome.TestedPrompt]
    lines: Sequence[outcome.Line]
    total: int
    tuned_prompts: Sequence[history.TunedPrompt]
    progress: Sequence[history.Point]
    front: Sequence[history.TunedPrompt]
    operators: Sequence[history.OperatorFacts]
    settings: Sequence[history.SettingFacts]
    ancestors: Sequence[history.Ancestor]
    confusion: outcome.Confusion | None
    worst_mistakes: Sequence[outcome.Mistake]
    rows: Mapping[str, int]
    test_evaluations: int
    repeat: str | None
    verify: Sequence[str]
    export: str | None

    @property
    def title(self) -> str:
        """The corpus and the model."""
        return f"{self.run.corpus} with {self.run.model}"

    @property
    def result(self) -> RunResult | None:
        """What the run came to; None unless it has finished."""
        return self.run.result

    @property
    def data(self) -> str:
        """One line on what was read of the data; empty for a run that refined an entry."""
        reading = self.run.config.manifest.reading
        return reading.summary if reading else ""

    @property
    def warm_start(self) -> list[str]:
        """One sentence for each earlier run of a warm start."""
        warmth = self.run.config.warm_start
        return [
            f"Warm start: {source.prompts} prompts of run {source.run} on {source.corpus}, whose data are "
            f"{source.similarity:.0%} alike."
            for source in (warmth.runs if warmth else ())
        ]

    @property
    def estimated(self) -> bool:
        """Whether entries have an estimated error, which then orders them."""
        return any(line.entry.estimate for line in self.lines)

    @property
    def refined(self) -> str | None:
        """One line on what refining changed, if the run refined an entry; else None."""
        return refinement_verdict(self.result.refine) if self.result else None

    @property
    def verdict(self) -> str:
        """Whether the winner is better than the tuned manual template, in a sentence."""
        return verdict(self.result) if self.result else ""


def facts_of(board: Leaderboard, reference: str) -> Facts:
    """The facts of a run (id or name). Raises NotFoundError for an unknown run, StorageError for a damaged row."""
    run = board.run(reference)
    summaries = board.summaries(run.id)
    entries = rank(summaries, [run], board.attached(EntryEstimate, run.id))
    origins = board.attached(Origin, run.id)
    data = board.attached(DataRow, run.id)
    tuned_prompts = history.tuned_prompts(summaries)
    named = run.winner or (entries[0].entry if entries else "")
    test = outcome.test_evaluation(board, run)
    test_rows = {row.row_id: row for row in data if row.split == "test"}
    counts = {split: sum(row.split == split for row in data) for split in ("train", "validation", "test", "unlabeled")}
    return Facts(
        run=run,
        tested_prompts=outcome.tested_prompts(run.result),
        lines=outcome.lines(board, run, entries[:SHOWN_ENTRIES]),
        total=len(entries),
        tuned_prompts=tuned_prompts,
        progress=history.progress(summaries),
        front=history.pareto_front(tuned_prompts),
        operators=history.operators(tuned_prompts, origins),
        settings=history.settings(tuned_prompts),
        ancestors=history.ancestors(named, tuned_prompts, origins),
        confusion=outcome.confusion(test, test_rows) if test else None,
        worst_mistakes=outcome.worst_mistakes(test, test_rows) if test else [],
        rows=counts,
        test_evaluations=board.count_test_evaluations(run.fingerprint),
        repeat=commands.repeat(run),
        verify=commands.verify(run),
        export=commands.export(run),
    )
