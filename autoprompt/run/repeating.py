"""The options with which a stored run's fine-tunes are repeated on this machine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoprompt.leaderboard import REFINE, RunRecord
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
