"""Options of a run, and the ``Progress`` interface that it reports to."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

from autoprompt.corpus import UNLABELED_ROWS
from autoprompt.errors import UsageError, parameter
from autoprompt.evaluator import Evaluation, Evaluator
from autoprompt.executors import ExecutorKind
from autoprompt.leaderboard import StoredTransfer, StoredWarmStart
from autoprompt.optimizer import Budget, Expected, SearchConfig
from autoprompt.registry import EXECUTORS, STRATEGIES
from autoprompt.terminal import DEFAULT_LEADERBOARD

DEFAULT_MODEL = "smollm2-135m"
DEFAULT_BUDGET = 300.0
TRANSFER = "transfer"
"""The strategy name of a run that scores another run's prompt."""


@dataclass(frozen=True)
class DataOptions:
    """How a corpus is read: the command line's data options, and ``rows``."""

    text_column: str | None = None
    label_column: str | None = None
    target_column: str | None = None
    drop_empty: bool = False
    drop_duplicates: bool = False
    max_length: int = 128
    test_rows: int = 400
    shots: int = 16
    validation_rows: int = 0
    encoding: str | None = None
    delimiter: str | None = None
    no_header: bool = False
    column_names: str | None = None
    unlabeled: str | None = None
    """A file of rows without labels."""
    unlabeled_rows: int = UNLABELED_ROWS
    rows: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    """Splits in memory, as arguments of ``corpus.from_rows``; the corpus's name then only names them."""


@dataclass(frozen=True)
class ModelOptions:
    """The model and where it runs."""

    model: str = DEFAULT_MODEL
    device: str = "auto"
    workers: int | None = None
    tuning: str | None = None
    """None takes the family's default."""
    family: str | None = None
    """None takes the family that the checkpoint was saved as."""
    chat: bool = False
    """Wrap prompts in the tokenizer's chat format."""
    executor: str = "local"
    """Where workers run: a name of ``registry.EXECUTORS``."""
    ray_address: str | None = None
    """None takes the cluster of RAY_ADDRESS, else one that runs on this machine, else a new one on this machine."""
    workers_per_gpu: int | None = None
    """None takes one."""

    @property
    def place(self) -> PlaceOptions:
        """Those of the options that an executor is given."""
        return PlaceOptions(**{field.name: getattr(self, field.name) for field in fields(PlaceOptions)})


@dataclass(frozen=True)
class PlaceOptions:
    """Where workers run: an executor, and all that it is told. None means that an option is not set; of a stored run
    it then stays as it was."""

    executor: str | None = None
    ray_address: str | None = None
    workers: int | None = None
    workers_per_gpu: int | None = None
    device: str | None = None

    @property
    def named(self) -> dict[str, Any]:
        """The options that are set, as model options. An address implies Ray; an executor replaces any address."""
        found = {name: value for name, value in vars(self).items() if value is not None}
        if self.executor is not None or self.ray_address is not None:
            found |= {"executor": self.executor or "ray", "ray_address": self.ray_address}
        return found


@dataclass(frozen=True)
class SearchOptions:
    """All options of one search."""

    corpus: str
    data: DataOptions = DataOptions()
    model: ModelOptions = ModelOptions()
    templates: tuple[str, ...] = ()
    label_words: dict[str, str] | None = None
    strategy: str = "hybrid"
    budget: float | None = None
    max_evaluations: int | None = None
    metric: str | None = None
    folds: int | None = None
    """Folds of the finalists' cross-validation; None swaps training and validation rows."""
    repeats: int = 1
    """Number of seeds that each finalist is fine-tuned with."""
    refit: bool = True
    """Whether the winner is trained once more, on validation rows and rows without labels as well."""
    seed: int = 0
    name: str | None = None
    leaderboard: Path = Path(DEFAULT_LEADERBOARD)
    config: Path | SearchConfig | None = None
    """Ranges and sizes of the search, or a TOML file with them."""
    fix: dict[str, Any] = field(default_factory=dict)
    """Values that are fixed instead of searched, by name."""
    warm_start: tuple[Path, ...] = ()
    """Leaderboards and bundles from runs on other data; the search begins with their prompts."""
    warm_start_data: StoredWarmStart | None = None
    """The content of these files, where it was read before."""
    transfer: StoredTransfer | None = None
    """Another run's prompt to score instead of a search."""
    started: float = field(default_factory=time.monotonic, compare=False)


class Progress(Protocol):
    """Receiver of a run's progress, such as a view in the terminal."""

    def stage(self, text: str) -> None: ...
    def note(self, text: str) -> None: ...
    def evaluated(self, evaluation: Evaluation | None, evaluator: Evaluator) -> None: ...
    def expect(self, stages: Sequence[Expected]) -> None: ...


def executor_of(model: ModelOptions) -> ExecutorKind:
    """What computes the evaluations. Raises UsageError for a cluster's address without a cluster."""
    kind: ExecutorKind = EXECUTORS[model.executor]
    if model.ray_address is not None and not kind.cluster:
        raise UsageError(f"{parameter('ray_address')} is for a Ray cluster; add {parameter('executor', 'ray')}.")
    return kind


def budget_of(options: SearchOptions) -> Budget:
    """The limits of a search. Raises UsageError."""
    if options.budget is not None and options.max_evaluations is not None:
        raise UsageError(
            f"{parameter('budget')} and {parameter('max_evaluations')} exclude each other; give one of them."
        )
    seconds = options.budget
    if seconds is None and options.max_evaluations is None:
        seconds = DEFAULT_BUDGET
    return Budget(seconds, options.max_evaluations, started=options.started)


def config_of(options: SearchOptions) -> SearchConfig:
    """The configured ranges, after a check of the search's other options. Raises UsageError, InputError."""
    strategy = STRATEGIES[options.strategy]
    if options.folds is not None and options.folds < 2:
        raise UsageError(f"{parameter('folds')} is {options.folds}; give at least 2.")
    if options.repeats < 1:
        raise UsageError(f"{parameter('repeats')} is {options.repeats}; give at least 1.")
    given = options.config
    config = SearchConfig.load(given) if isinstance(given, Path) else given or SearchConfig()
    config.fixed(options.fix)
    if options.warm_start and not strategy.breeds:
        able = " and ".join(name for name in STRATEGIES if STRATEGIES[name].breeds)
        raise UsageError(
            f"{parameter('warm_start')} serves {parameter('strategy')} {able}, not {options.strategy}: leave it out."
        )
    if options.strategy == "gradient" and "template" in options.fix:
        raise UsageError(
            f"{parameter('strategy', 'gradient')} varies only the template; leave out {parameter('fix')} template."
        )
    return config
