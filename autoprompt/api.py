"""The public Python surface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoprompt.evaluator import Evaluation, Evaluator
from autoprompt.run import DEFAULT_LEADERBOARD, DEFAULT_MODEL, DataOptions, ModelOptions, SearchOptions
from autoprompt.run import search as run_search


class Silent:
    """A view that shows nothing."""

    def stage(self, text: str) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def evaluated(self, evaluation: Evaluation | None, evaluator: Evaluator) -> None:
        """Nothing."""


def search(
    corpus: str,
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
    budget: float | None = None,
    max_evaluations: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    device: str = "auto",
    leaderboard: str | Path = DEFAULT_LEADERBOARD,
    data: DataOptions = DataOptions(),  # noqa: B008 - frozen
    config: str | Path | None = None,
    fix: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The same engine as ``autoprompt search``; ``budget`` in seconds, ``fix`` as values: ``{"epochs": 2}``.

    Workers are spawned processes: a script calls this under ``if __name__ == "__main__":``. Returns the JSON of
    ``autoprompt search --json``. Raises AutopromptError.
    """
    options = SearchOptions(
        corpus=corpus,
        data=data,
        model=ModelOptions(model, device, workers, tuning, family, chat),
        templates=tuple(templates),
        label_words=label_words,
        strategy=strategy,
        budget=budget,
        max_evaluations=max_evaluations,
        metric=metric,
        folds=folds,
        repeats=repeats,
        seed=seed,
        leaderboard=Path(leaderboard),
        config=None if config is None else Path(config),
        fix=dict(fix or {}),
    )
    return run_search(options, Silent())
