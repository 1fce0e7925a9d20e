"""Registries: the members of one axis (strategies, operators, metrics) by name, our own and those of other packages.

Another package adds a member with an entry point of the axis' group, as pytest and its plug-ins do:

    [project.entry-points."autoprompt.operators"]
    shout = "my_package:Shout"
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

from autoprompt.errors import InputError, UsageError, first_line

T = TypeVar("T")
M = TypeVar("M")


class Registry(Mapping[str, T]):
    """Members by name: those of this package, then those of installed packages in alphabetical order.

    ``kind``: the word for one member in messages. ``home``: the module or package of ours where members are
    registered; it is imported on first use. ``group``: the entry points' group. ``module_each``: each member has a
    module of the package for itself, named like the member, so that the names are known without importing anything.
    """

    def __init__(self, kind: str, home: str, group: str, *, module_each: bool = False) -> None:
        self.kind = kind
        self.home = home
        self.group = group
        self.module_each = module_each
        self._members: dict[str, T] = {}
        self._names: tuple[str, ...] | None = None
        self._imported = False

    def register(self, name: str) -> Callable[[M], M]:
        """Return a decorator that adds a class or function under this name. Raises ValueError if the name is taken."""

        def add(member: M) -> M:
            if name in self._members:
                raise ValueError(f"two members of {self.group} are called {name!r}")
            self._members[name] = member  # type: ignore[assignment]  # what is registered is the axis' own business
            return member

        return add

    def __getitem__(self, name: str) -> T:
        """Return a member. Raises UsageError for an unknown name, InputError for a plug-in that cannot be loaded."""
        if name not in self._own():
            plugin = self._plugins().get(name)
            if plugin is None:
                raise UsageError(f"The {self.kind} {name!r} is unknown; use one of {', '.join(self)}.")
            return self._loaded(plugin)
        if self.module_each and name not in self._members:
            import_module(f"{self.home}.{name}")
        return self._members[name]

    def __iter__(self) -> Iterator[str]:
        own = self._own()
        yield from own
        yield from (name for name in self._plugins() if name not in own)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._own() or name in self._plugins()

    @property
    def own(self) -> Mapping[str, T]:
        """The members of this package alone."""
        return {name: self[name] for name in self._own()}

    def _own(self) -> Collection[str]:
        if not self.module_each:
            if not self._imported:
                import_module(self.home)
                self._imported = True
            return self._members
        if self._names is None:
            folder = Path(__file__).parent.joinpath(*self.home.split(".")[1:])
            self._names = tuple(sorted(path.stem for path in folder.glob("[a-z]*.py")))
        return self._names

    def _plugins(self) -> Mapping[str, EntryPoint]:
        return _found(self.group, tuple(sys.path))

    def _loaded(self, plugin: EntryPoint) -> T:
        try:
            member: T = plugin.load()
        except Exception as error:
            raise InputError(
                f"The {self.kind} {plugin.name!r} cannot be loaded from {plugin.value} ({first_line(error)}); repair "
                "or uninstall the package that brings it."
            ) from error
        return member


@cache
def _found(group: str, path: tuple[str, ...]) -> Mapping[str, EntryPoint]:
    """The entry points of a group; ``path``: where they were looked for, which reads the metadata of every package."""
    del path
    return {point.name: point for point in sorted(entry_points(group=group), key=lambda point: point.name)}


STRATEGIES: Registry[Any] = Registry(
    "strategy", "autoprompt.optimizer.strategies", "autoprompt.strategies", module_each=True
)
"""Classes: ``optimizer.strategy.Strategy``."""
OPERATORS: Registry[Any] = Registry("operator", "autoprompt.optimizer.operators", "autoprompt.operators")
"""Classes: ``optimizer.operators.Operator``."""
CLASSIFICATION_METRICS: Registry[Any] = Registry(
    "metric", "autoprompt.metrics.classification", "autoprompt.classification_metrics"
)
"""Functions of (log-probabilities [rows, labels], gold label numbers [rows], number of labels) that return a number."""
GENERATION_METRICS: Registry[Any] = Registry("metric", "autoprompt.metrics.generation", "autoprompt.generation_metrics")
"""``metrics.generation.TextMetric``."""
READERS: Registry[Any] = Registry("file format", "autoprompt.corpus.readers.formats", "autoprompt.readers")
"""``corpus.readers.format.Format``."""
EXECUTORS: Registry[Any] = Registry("executor", "autoprompt.executors", "autoprompt.executors")
"""``executors.ExecutorKind``."""
TRACKERS: Registry[Any] = Registry("tracker", "autoprompt.trackers", "autoprompt.trackers", module_each=True)
"""Classes: ``trackers.Tracker``."""
