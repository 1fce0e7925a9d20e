"""Facts of one run's report, read from the leaderboard as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoprompt.leaderboard import DataRow, Leaderboard, Origin, RunRecord, rank
from autoprompt.report import commands, course, outcome
from autoprompt.results import RunResult, refinement_verdict, verdict

SHOWN_ENTRIES = 40


@dataclass(frozen=True)
class Facts:
    """See the modules ``course`` and ``outcome`` for the parts. Parts that a run has not reached are empty or None.

    ``total``: number of entries, of which ``lines`` are the first. ``opened``: number of evaluations on the test rows
    of this data, over all runs of the leaderboard.
    """

    run: RunRecord
    judged: Sequence[outcome.Judged]
    lines: Sequence[outcome.Line]
    total: int
    tried: Sequence[course.Tried]
    progress: Sequence[course.Point]
    front: Sequence[course.Tried]
    operators: Sequence[course.OperatorFacts]
    settings: Sequence[course.SettingFacts]
    family: Sequence[course.Ancestor]
    confusion: outcome.Confusion | None
    worst: Sequence[outcome.Mistake]
    rows: Mapping[str, int]
    opened: int
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
    entries = rank(summaries, [run])
    origins = board.attached(Origin, run.id)
    data = board.attached(DataRow, run.id)
    tried = course.tried(summaries)
    named = run.winner or (entries[0].entry if entries else "")
    test = outcome.tested(board, run)
    test_rows = {row.row_id: row for row in data if row.split == "test"}
    counts = {split: sum(row.split == split for row in data) for split in ("train", "validation", "test")}
    return Facts(
        run=run,
        judged=outcome.judged(run.result),
        lines=outcome.lines(board, run, entries[:SHOWN_ENTRIES]),
        total=len(entries),
        tried=tried,
        progress=course.progress(summaries),
        front=course.front(tried),
        operators=course.operators(tried, origins),
        settings=course.settings(tried),
        family=course.family(named, tried, origins),
        confusion=outcome.confusion(test, test_rows) if test else None,
        worst=outcome.worst(test, test_rows) if test else [],
        rows=counts,
        opened=board.count_test_evaluations(run.fingerprint),
        repeat=commands.repeat(run),
        verify=commands.verify(run),
        export=commands.export(run),
    )
