"""A run's request: its options as they are stored with it, from which it is resumed and verified."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from autoprompt.corpus import has_card
from autoprompt.errors import StorageError, UsageError
from autoprompt.leaderboard import RunRecord, StoredRequest, pinned
from autoprompt.optimizer import SearchConfig
from autoprompt.run.foreign import own_model_options
from autoprompt.run.options import DataOptions, ModelOptions, PlaceOptions, SearchOptions
from autoprompt.run.ownership import is_own

_OTHERWISE = (
    *("corpus", "data", "model", "config"),
    *("leaderboard", "started", "warm_start", "warm_start_data", "transfer"),
)
"""Options that a request stores in another form, or not at all."""


def request_of(options: SearchOptions, config: SearchConfig, workers: int) -> StoredRequest:
    """The options as they are stored, from which a run can be resumed in another folder."""
    in_memory = options.data.rows is not None
    named = in_memory or has_card(options.corpus) or not os.path.exists(options.corpus)
    folder = Path(options.model.model).expanduser()
    local = options.model.model.startswith((".", "~")) and folder.exists()
    return StoredRequest(
        corpus=options.corpus if named else str(Path(options.corpus).absolute()),
        in_memory=in_memory,
        data=_values(options.data, without=("rows",)) | {"unlabeled": _absolute(options.data.unlabeled)},
        model=_values(options.model)
        | {"workers": workers, "model": str(folder.absolute()) if local else options.model.model},
        config=config.model_dump(mode="json", exclude_defaults=True),
        **_values(options, without=_OTHERWISE),
    )


def stored_options(
    run: RunRecord,
    leaderboard: Path,
    rows: Mapping[str, Any] | None,
    started: float,
    place: PlaceOptions = PlaceOptions(),  # noqa: B008 - frozen
    notify: Callable[[str], None] = lambda _: None,
) -> SearchOptions:
    """The inverse of ``request_of``, with the workers that ``place`` names.

    For a run that this user did not begin, its options for workers are ignored, and ``notify`` gets a notice of them.
    Raises StorageError, UsageError for a run whose rows were in memory and are not given, and InputError for another
    user's run if its model or corpus is neither a name nor a file or folder.
    """
    request = run.config.request
    if request is None:
        raise StorageError(f"The run {run.id} was stored without what it asked for; start a new search.")
    try:
        if request.in_memory and rows is None:
            raise UsageError(
                f"The rows of run {run.id} were in memory; give them again in Python, as corpus=rows to "
                "autoprompt.resume or autoprompt.verify."
            )
        options = _options(run, request, leaderboard, rows, started)
    except (KeyError, TypeError, ValueError) as error:  # pydantic's ValidationError is a ValueError
        raise StorageError(
            f"What the run {run.id} asked for cannot be read ({type(error).__name__}); start a new search."
        ) from error
    model = options.model
    if not is_own(run):
        model = own_model_options(run.id, options.corpus, options.data.unlabeled, model, place, notify)
    return replace(options, model=replace(model, **place.named))


def _options(
    run: RunRecord, request: StoredRequest, leaderboard: Path, rows: Mapping[str, Any] | None, started: float
) -> SearchOptions:
    """The options as they are stored."""
    model = request.model["model"]
    named = {name: value for name, value in request.to_dict().items() if name not in (*_OTHERWISE, "in_memory")}
    return SearchOptions(
        **named | {"templates": tuple(named["templates"])},
        corpus=pinned(request.corpus, run.config.corpus_revision),
        data=DataOptions(**request.data, rows=rows),
        model=ModelOptions(**{**request.model, "model": pinned(model, run.config.model_revision)}),
        config=SearchConfig.model_validate(request.config),
        leaderboard=leaderboard,
        warm_start_data=run.config.warm_start,
        transfer=run.config.transfer,
        started=started,
    )


def _absolute(path: str | None) -> str | None:
    return None if path is None else os.path.abspath(path)


def _values(options: DataOptions | ModelOptions | SearchOptions, without: Sequence[str] = ()) -> dict[str, Any]:
    """The fields by name, not copied: rows in memory may be large."""
    return {field.name: getattr(options, field.name) for field in fields(options) if field.name not in without}
