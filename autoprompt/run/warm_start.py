"""Warm start: prompts and operator statistics of earlier runs for a new search, and their export as a bundle.

The search stores them as plain JSON, so that it can be resumed without the files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from autoprompt.candidate import Candidate
from autoprompt.errors import InputError, UsageError, parameter
from autoprompt.leaderboard import Leaderboard, StoredWarmStart
from autoprompt.optimizer import Space, flaw
from autoprompt.results import WarmStart
from autoprompt.run.inputs import Task
from autoprompt.run.options import Progress
from autoprompt.transfer import (
    AdaptedSource,
    Source,
    adapted_sources,
    operators,
    prompts,
    read_sources,
    sources_of,
    write_bundle,
)


def read_warm_start(files: Sequence[Path]) -> list[Source]:
    """The runs in the files that have fine-tuned prompts, each once.

    Raises StorageError, and InputError, also where there is no such run.
    """
    sources = {source.run: source for file in files for source in read_sources(file)}
    if not sources:
        names = ", ".join(map(str, files))
        raise InputError(
            f"No run in {names} has fine-tuned prompts to begin with; leave {parameter('warm_start')} out."
        )
    return list(sources.values())


def adapt_warm_start(sources: Sequence[Source], task: Task, progress: Progress) -> StoredWarmStart:
    """Prompts and operator statistics of these runs for a task; notes on sources go to ``progress``."""
    found = adapted_sources(sources, task.corpus, task.space.start)
    candidates = [candidate for candidate in prompts(found) if _fits(candidate, task.space)]
    fitting = {candidate.id for candidate in candidates}
    counts = [sum(candidate.id in fitting for candidate, _ in one.candidates) for one in found]
    for one, count in zip(found, counts, strict=True):
        progress.note(_note(one, count))
    return StoredWarmStart(
        prompts=[candidate.to_dict() for candidate in candidates],
        operators=operators(found),
        sources=[_summary(one, count).to_dict() for one, count in zip(found, counts, strict=True)],
    )


def with_warm_start(space: Space, data: StoredWarmStart) -> Space:
    """The search space with the prompts and operator statistics of ``adapt_warm_start``."""
    candidates = [Candidate.from_dict(values) for values in data.prompts]
    credit = {name: (tries, wins) for name, (tries, wins) in data.operators.items()}
    return replace(space, taught=candidates, credit=credit)


def export_bundle(board: Leaderboard, reference: str | None, out: Path) -> list[Path]:
    """Write what one run (its id or name) or all runs found as a bundle for ``search --warm-start``, without data rows.

    Raises NotFoundError for an unknown run, UsageError for another ending than .json, InputError where nothing was
    fine-tuned, StorageError.
    """
    if out.suffix != ".json":
        raise UsageError(f"A bundle is a JSON file, and {out} has another extension; name it bundle.json.")
    run = None if reference is None else board.run(reference).id
    sources = [source for source in sources_of(board) if run in (None, source.run)]
    if not sources:
        what = "No run" if reference is None else f"The run {reference!r}"
        raise InputError(f"{what} has fine-tuned prompts to pass on; search first.")
    write_bundle(sources, out)
    return [out]


def _fits(candidate: Candidate, space: Space) -> bool:
    """Whether the search space allows the candidate; where the template is fixed, only that one is allowed.

    Text after the label is accepted, since only the loaded model decides about it.
    """
    return flaw(space.bounded(candidate), replace(space, label_anywhere=True)) is None


def _summary(one: AdaptedSource, count: int) -> WarmStart:
    source, similarity = one.source, one.similarity
    return WarmStart(source.run, source.corpus, source.model, similarity.value, dict(similarity.parts), count)


def _note(one: AdaptedSource, count: int) -> str:
    """A note on one source. ``count``: how many of its prompts fit the search space."""
    parts = ", ".join(f"{name} {value:.2f}" for name, value in one.similarity.parts.items())
    used = f"{count} prompts" if count else "nothing is used"
    return (
        f"Warm start: {used} of run {one.source.run} on {one.source.corpus!r}, similarity {one.similarity.value:.2f} "
        f"({parts})."
    )
