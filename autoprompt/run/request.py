"""A run's request: its options as they are stored with it, from which it is resumed and verified."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from autoprompt.corpus import has_card
from autoprompt.errors import StorageError, UsageError
from autoprompt.leaderboard import RunRecord, pinned
from autoprompt.optimizer import SearchConfig
from autoprompt.run.earlier_runs import TransferredPrompt, WarmStartData
from autoprompt.run.foreign import own_model_options
from autoprompt.run.options import DataOptions, ModelOptions, PlaceOptions, SearchOptions
from autoprompt.run.ownership import is_own

_OTHERWISE = (
    "corpus",
    "data",
    "model",
    "leaderboard",
    "config",
    "started",
    "warm_start",
    "warm_start_data",
    "transfer",
)
"""Options that a request stores in another form, or not at all."""


@dataclass(frozen=True)
class RunRequest:
    """The options of a run, with absolute paths, its number of workers and its search configuration, without its rows.

    ``in_memory``: whether its rows were in memory.
    """

    options: SearchOptions
    config: SearchConfig
    in_memory: bool

    @classmethod
    def of(cls, options: SearchOptions, config: SearchConfig, workers: int) -> RunRequest:
        """The request, from which the run can be resumed in another folder."""
        in_memory = options.data.rows is not None
        named = in_memory or has_card(options.corpus) or not os.path.exists(options.corpus)
        folder = Path(options.model.model).expanduser()
        local = options.model.model.startswith((".", "~")) and folder.exists()
        model = replace(options.model, workers=workers, model=str(folder.absolute()) if local else options.model.model)
        corpus = options.corpus if named else str(Path(options.corpus).absolute())
        return cls(
            replace(options, corpus=corpus, data=replace(options.data, rows=None), model=model), config, in_memory
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "corpus": self.options.corpus,
            "in_memory": self.in_memory,
            "data": _values(self.options.data, without=("rows",)),
            "model": _values(self.options.model),
            "config": self.config.model_dump(mode="json", exclude_defaults=True),
            **_values(self.options, without=_OTHERWISE),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunRequest:
        """The inverse of ``to_dict``. Raises KeyError, TypeError, ValueError for values that are none."""
        in_memory = values["in_memory"]
        own = {name: value for name, value in values.items() if name not in (*_OTHERWISE, "in_memory")}
        config = SearchConfig.model_validate(values["config"])
        options = SearchOptions(
            **own | {"templates": tuple(own["templates"])},
            corpus=values["corpus"],
            data=DataOptions(**values["data"]),
            model=ModelOptions(**values["model"]),
            config=config,
        )
        return cls(options, config, in_memory)


def stored_options(
    run: RunRecord,
    leaderboard: Path,
    rows: Mapping[str, Any] | None,
    started: float,
    place: PlaceOptions = PlaceOptions(),  # noqa: B008 - frozen
    notify: Callable[[str], None] = lambda _: None,
) -> SearchOptions:
    """The options that a run was begun with, with the workers that ``place`` names.

    For a run that this user did not begin, its options for workers are ignored, and ``notify`` gets a notice of them.
    Raises StorageError, UsageError for a run whose rows were in memory and are not given, and InputError for another
    user's run if its model or corpus is neither a name nor a file or folder.
    """
    try:
        request = RunRequest.from_dict(run.config.request.to_dict() if run.config.request else {})
        warm_start, transfer = run.config.warm_start, run.config.transfer
        options = replace(
            request.options,
            corpus=pinned(request.options.corpus, run.config.corpus_revision),
            data=replace(request.options.data, rows=rows),
            model=replace(request.options.model, model=pinned(request.options.model.model, run.config.model_revision)),
            leaderboard=leaderboard,
            warm_start_data=WarmStartData.from_dict(warm_start.to_dict()) if warm_start else None,
            transfer=TransferredPrompt.from_dict(transfer.to_dict()) if transfer else None,
            started=started,
        )
    except (KeyError, TypeError, ValueError) as error:  # pydantic's ValidationError is a ValueError
        raise StorageError(
            f"What the run {run.id} asked for cannot be read ({type(error).__name__}); start a new search."
        ) from error
    if request.in_memory and rows is None:
        raise UsageError(
            f"The rows of run {run.id} were in memory; give them again in Python, as corpus=rows to "
            "autoprompt.resume or autoprompt.verify."
        )
    model = options.model
    if not is_own(run):
        model = own_model_options(run.id, options.corpus, model, place, notify)
    return replace(options, model=replace(model, **place.named))


def _values(options: DataOptions | ModelOptions | SearchOptions, without: Sequence[str] = ()) -> dict[str, Any]:
    """The fields by name, not copied: rows in memory may be large."""
    return {field.name: getattr(options, field.name) for field in fields(options) if field.name not in without}
