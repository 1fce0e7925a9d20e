"""The public Python surface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoprompt.duration import parse_duration
from autoprompt.evaluator import Evaluation, Evaluator
from autoprompt.optimizer import Expected
from autoprompt.run import DEFAULT_LEADERBOARD, DEFAULT_MODEL, DataOptions, ModelOptions, PlaceOptions, SearchOptions
from autoprompt.run import refine as run_refine
from autoprompt.run import resume as run_resume
from autoprompt.run import search as run_search
from autoprompt.run import verify as run_verify
from autoprompt.tracking import tracked

ROWS = "rows"
"""What rows in memory are called."""


class Silent:
    """A view that shows nothing."""

    def stage(self, text: str) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def evaluated(self, evaluation: Evaluation | None, evaluator: Evaluator) -> None:
        """Nothing."""

    def expect(self, stages: Sequence[Expected]) -> None:
        """Nothing."""


def search(
    corpus: Any,
    *,
    model: str = DEFAULT_MODEL,
    templates: Sequence[str] = (),
    label_words: dict[str, str] | None = None,
    strategy: str = "hybrid",
    tuning: str | None = None,
    family: str | None = None,
    chat: bool = False,
    metric: str | None = None,
    folds: int | None = None,
    repeats: int = 1,
    budget: float | str | None = None,
    max_evaluations: int | None = None,
    seed: int = 0,
    name: str | None = None,
    workers: int | None = None,
    workers_per_gpu: int | None = None,
    executor: str = "local",
    ray_address: str | None = None,
    device: str = "auto",
    leaderboard: str | Path = DEFAULT_LEADERBOARD,
    data: DataOptions = DataOptions(),  # noqa: B008 - frozen
    config: str | Path | None = None,
    fix: Mapping[str, Any] | None = None,
    warm_start: str | Path | Sequence[str | Path] = (),
    track: str | Path | None = None,
) -> dict[str, Any]:
    """The same engine as ``autoprompt search``; ``budget`` in seconds or as ``"5m"``, ``fix`` as values:
    ``{"epochs": 2}``.

    ``corpus``: a name as in the command, or rows in memory (a ``datasets.Dataset``, a list of dicts, a pandas frame, a
    dict of lists), which are split as a file is; or a dict of such (a ``DatasetDict``) with ``train`` and
    ``validation``, ``test`` or both, which are used whole. ``data``: further data options, ``max_length`` among them.
    ``name``: of the run.
    ``warm_start``: leaderboards or bundles of runs on other data, whose prompts the search begins with.
    ``track``: a folder for TensorBoard's curves (extra: tracking).
    ``executor``: "local", or "ray" (extra: ray) for the workers of a cluster, at ``ray_address`` or as ``ray.init`` was
    called before. Local workers are processes of their own, which import this package alone: a script needs no guard.
    Returns the JSON of ``autoprompt search --json``. Raises AutopromptError.
    """
    source, data = _source(corpus, data)
    options = SearchOptions(
        corpus=source,
        data=data,
        model=ModelOptions(model, device, workers, tuning, family, chat, executor, ray_address, workers_per_gpu),
        templates=tuple(templates),
        label_words=label_words,
        strategy=strategy,
        budget=parse_duration(budget, "budget") if isinstance(budget, str) else budget,
        max_evaluations=max_evaluations,
        metric=metric,
        folds=folds,
        repeats=repeats,
        seed=seed,
        name=name,
        leaderboard=Path(leaderboard),
        config=None if config is None else Path(config),
        fix=dict(fix or {}),
        warm_start=_paths(warm_start),
    )
    with tracked(Silent(), None if track is None else str(track)) as view:
        return run_search(options, view)


def _paths(given: str | Path | Sequence[str | Path]) -> tuple[Path, ...]:
    return tuple(map(Path, [given] if isinstance(given, str | Path) else given))


def resume(
    run: str,
    *,
    corpus: Any = None,
    leaderboard: str | Path = DEFAULT_LEADERBOARD,
    executor: str | None = None,
    ray_address: str | None = None,
    workers: int | None = None,
    workers_per_gpu: int | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Go on with a run (its id or name) that was stopped or killed; of a finished one, its result again.

    ``corpus``: the rows again, where they were in memory. ``executor`` and the following: where it is worked from now
    on; what is left out is as it was, if this user began the run on this machine, and else as in a new search.
    Returns what ``search`` does. Raises AutopromptError: StorageError while the run's driver lives, and where data,
    model or scoring are not what they were.
    """
    place = PlaceOptions(executor, ray_address, workers, workers_per_gpu, device)
    return run_resume(run, Path(leaderboard), Silent(), rows=_rows(corpus), place=place)


def verify(
    entry: str,
    *,
    corpus: Any = None,
    leaderboard: str | Path = DEFAULT_LEADERBOARD,
    executor: str | None = None,
    ray_address: str | None = None,
    workers: int | None = None,
    workers_per_gpu: int | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Do all evaluations of an entry (its id, or how that begins) again, and compare them with what is stored.

    ``corpus``: the rows again, where they were in memory. ``executor`` and the following: where it is worked; the
    device is else the run's, if this user began it. Returns the dict that ``autoprompt verify --json`` prints:
    ``verdict`` is exact, within or different. Raises AutopromptError: NotFoundError for an unknown entry,
    VerificationError where data or model are not what they were.
    """
    place = PlaceOptions(executor, ray_address, workers, workers_per_gpu, device)
    return run_verify(entry, Path(leaderboard), Silent(), rows=_rows(corpus), place=place)


def refine(
    entry: str,
    corpus: Any,
    *,
    leaderboard: str | Path = DEFAULT_LEADERBOARD,
    device: str = "auto",
    seed: int = 0,
    name: str | None = None,
    data: DataOptions = DataOptions(),  # noqa: B008 - frozen
) -> dict[str, Any]:
    """Train an entry, the winner of a run, on with new labelled rows beside its own, as ``autoprompt refine`` does.

    ``corpus``: a name as in the command, or rows in memory. The result is a new entry, unless a paired test says that
    it got worse, or its loss rose on both the old validation rows and the new rows.

    Returns the dict that ``autoprompt refine --json`` prints: ``best`` is the new entry, or None;
    ``refine`` the scores before and after. Raises AutopromptError.
    """
    source, data = _source(corpus, data)
    return run_refine(entry, source, Path(leaderboard), Silent(), data=data, device=device, seed=seed, name=name)


def _rows(corpus: Any) -> Mapping[str, Any] | None:
    return None if corpus is None else _source(corpus, DataOptions())[1].rows


def _source(corpus: Any, data: DataOptions) -> tuple[str, DataOptions]:
    """The corpus by its name, and how it is read; rows in memory in the form of ``corpus.of``."""
    if isinstance(corpus, str | Path):
        return str(corpus), data
    return ROWS, replace(data, rows={"train": corpus})
