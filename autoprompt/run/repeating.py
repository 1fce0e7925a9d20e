"""What repeats a stored run's fine-tunes needs: its options on this machine, and its evaluations as they were."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoprompt.corpus import Corpus
from autoprompt.evaluator import Evaluation, Rung
from autoprompt.leaderboard import REFINE, Leaderboard, RunRecord
from autoprompt.run.options import ModelOptions, PlaceOptions, Progress, SearchOptions
from autoprompt.run.ownership import is_own
from autoprompt.run.request import stored_options


def options_here(
    run: RunRecord,
    leaderboard: Path,
    rows: Mapping[str, Any] | None,
    started: float | None,
    place: PlaceOptions,
    progress: Progress,
) -> SearchOptions:
    """The run's options with the default workers of this machine. For a run that refined an entry, only leaderboard and
    device are needed."""
    if run.strategy == REFINE:
        device = place.device or (run.environment["device"] if is_own(run) else "auto")
        return SearchOptions(run.corpus, model=ModelOptions(device=device), leaderboard=leaderboard)
    here = {"executor": "local", "ray_address": None, "workers": None, "workers_per_gpu": None}
    began = time.monotonic() if started is None else started
    options = stored_options(run, leaderboard, rows, began, place, progress.note)
    return replace(options, model=replace(options.model, **here | place.named))


def stored_fine_tunes(board: Leaderboard, run: RunRecord, corpus: Corpus) -> list[Evaluation]:
    """The run's complete fine-tunes of the data's own split, with their validation scores and votes; where nothing was
    fine-tuned, the scores of the pretrained model.

    ``corpus``: the run's, with labels.
    """
    index = {label: place for place, label in enumerate(corpus.labels)}
    gold = {row.row_id: index[row.label] for row in corpus.validation}
    found = [
        Evaluation(
            record.candidate,
            record.rung,
            labels=corpus.labels,
            row_ids=tuple(record.row_ids),
            gold=tuple(gold[row] for row in record.row_ids),
            log_probs=tuple(map(tuple, record.log_probs)),
            losses=tuple(record.losses),
            votes=tuple(map(tuple, record.votes)),
        )
        for record in board.evaluations(run.id)
        if (record.split, record.rung, record.fold, record.repeat) == ("validation", Rung.TUNED, 0, 0)
        and record.status == "complete"
    ]
    return [one for one in found if one.candidate.settings.tuning != "none"] or found
