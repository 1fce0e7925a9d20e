"""Export of an ensemble: an entry and the best others of its run, whose label probabilities are averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoprompt.candidate import Candidate
from autoprompt.errors import InputError, NothingSucceededError, UsageError, VerificationError, parameter
from autoprompt.evaluator import Evaluation, Rung
from autoprompt.export import MAX_TOGETHER
from autoprompt.leaderboard import REFINE, EntryEstimate, Leaderboard, RunRecord, kept_weights
from autoprompt.manifest import INPUTS, Manifest
from autoprompt.run.backends import open_backend
from autoprompt.run.exporting import prompt_of, save_together
from autoprompt.run.inputs import prepare_search
from autoprompt.run.options import PlaceOptions, Progress, config_of
from autoprompt.run.repeating import options_here
from autoprompt.run.resuming import manifest_of
from autoprompt.run.worker_pool import check_model, start_workers


def export_ensemble(
    entry: str,
    leaderboard: Path,
    out: Path,
    count: int,
    progress: Progress,
    *,
    rows: Mapping[str, Any] | None = None,
    place: PlaceOptions = PlaceOptions(),  # noqa: B008 - frozen
) -> list[Path]:
    """Write an entry and the ``count - 1`` best others of the newest run that has it as one ``best.json``, with their
    weights beside it. Returns the paths of all files.

    The best are those with the lowest estimated error, as the run stored it. A search keeps the weights of its
    winner alone, so the others' fine-tunes are repeated, as ``verify`` does. ``rows``: splits in memory, for a run
    whose data were in memory. ``place``: as for ``verify``.

    Raises as ``prompt_of`` does, UsageError for a number out of range and a file that does not predict, InputError for
    a run with target texts or that has not ended, for a refined entry and where the run has fewer prompts,
    VerificationError where data or model have changed, NothingSucceededError for a fine-tune that fails now.
    """
    if not 2 <= count <= MAX_TOGETHER:
        raise UsageError(f"{parameter('ensemble', count)} is not between 2 and {MAX_TOGETHER}; give another number.")
    if out.suffix != ".json":
        raise UsageError(
            f"{parameter('ensemble')} goes with a prompt file that predicts, not with {out}; name it best.json."
        )
    with Leaderboard.open(leaderboard, read_only=True) as board:
        run = board.run(prompt_of(board, entry).run)
        _check(run, entry)
        options = options_here(run, leaderboard, rows, None, place, progress)
        task = prepare_search(options, config_of(options), progress)
        chosen = _chosen(board, run, entry, count)
        prompts = [prompt_of(board, name, run.id) for name in chosen]
        # Of the winner, which may have been trained once more: its scores are those of these weights.
        stored = run.result.weights if run.result and run.winner in chosen else None
        kept: dict[str, Path | None] = {str(run.winner): kept_weights(board.path, stored)} if stored else {}
        with open_backend(options.model, progress) as backend:
            now = Manifest.of(task.corpus, task.source.folder, task.source.revision, backend.device)
            changed = manifest_of(run).differences(now, INPUTS)
            if changed:
                raise VerificationError(
                    f"The prompts of run {run.id} cannot be trained again: {'; '.join(changed)}; restore what it "
                    "worked with."
                )
            alone = replace(task, corpus=replace(task.corpus, unlabeled=()))  # nobody votes any more
            with start_workers(alone, options, backend) as pool:
                check_model(pool, task, options.model, progress)
                progress.stage("fine-tune")
                others = [name for name in chosen if name not in kept]
                trained = pool.evaluator(progress).with_weights(
                    [Evaluation(chosen[name], Rung.TUNED) for name in others]
                )
                weights = kept | dict(zip(others, _weights(trained), strict=True))
                return save_together([(prompt, weights[prompt.entry]) for prompt in prompts], out)


def _check(run: RunRecord, entry: str) -> None:
    if run.status != "finished":
        raise InputError(
            f"The run {run.id} is {run.status}, and prompts are ranked when it ends; resume it, or export {entry!r} "
            f"without {parameter('ensemble')}."
        )
    if not run.config.labels:
        raise InputError(
            f"Target texts have no probabilities to average; export {entry!r} without {parameter('ensemble')}."
        )
    if run.strategy == REFINE:
        raise InputError(
            f"The entry {entry!r} was refined, and there are no others in its run; export it without "
            f"{parameter('ensemble')}."
        )


def _chosen(board: Leaderboard, run: RunRecord, entry: str, count: int) -> dict[str, Candidate]:
    """The entry, then the best others of the run: candidates by entry id. Raises InputError where there are too few."""
    candidates = {record.entry: record.candidate for record in board.evaluations(run.id)}
    first = next(record.entry for record in board.entry(entry) if record.run == run.id)
    judged = sorted(board.attached(EntryEstimate, run.id), key=lambda estimate: estimate.error)
    found = list(dict.fromkeys([first, *(estimate.entry for estimate in judged)]))
    if len(found) < count:
        raise InputError(
            f"The run {run.id} has {len(found)} prompts that can predict together; ask for {parameter('ensemble')} of "
            "at most as many."
        )
    return {name: candidates[name] for name in found[:count]}


def _weights(trained: Sequence[Evaluation]) -> list[Path | None]:
    """Each fine-tune's weights; None where nothing is tuned. Raises NothingSucceededError."""
    failed = next((one for one in trained if not one.complete), None)
    if failed is not None:
        raise NothingSucceededError(
            f"A fine-tune failed this time ({failed.reason}); ask for another number of prompts."
        )
    return [Path(one.weights) if one.weights else None for one in trained]
