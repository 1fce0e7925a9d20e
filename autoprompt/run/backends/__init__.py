"""Backends: where a run's workers can be, one module each; ``open_backend`` opens the one that the options name.

``autoprompt.executors`` has a row for each of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from autoprompt.evaluator import TaskMap
from autoprompt.run.options import ModelOptions, PlaceOptions, Progress, executor_of


class Pool(TaskMap, Protocol):
    """Started workers: an ``execution.Executor``, or anything with its public methods."""

    def close(self) -> None:
        """Drop queued tasks and end the workers."""
        ...


class Backend(Protocol):
    """Where workers run. A subclass for workers of this machine inherits ``model`` and ``shared``."""

    device: str
    workers: int
    warnings: list[str]
    """Warnings about the machines, for readers of the results."""

    def executor(self, initializer: Callable[..., None], arguments: tuple[Any, ...]) -> Pool:
        """Workers that each run the initializer first."""
        ...

    def model(self, folder: Path) -> os.PathLike[str]:
        """The path by which workers open a model's folder."""
        return folder

    def shared(self, scratch: Path) -> os.PathLike[str]:
        """A folder that the workers of one machine share. ``scratch``: the scratch folder of this machine."""
        return scratch


Opener = Callable[[PlaceOptions, Callable[[str], None]], AbstractContextManager[Backend]]
"""Function that opens a backend for the options; the second argument takes notes for the user. Raises UsageError."""


@contextmanager
def open_backend(model: ModelOptions, progress: Progress) -> Iterator[Backend]:
    """The backend for the options. Raises UsageError."""
    module, _, name = executor_of(model).home.partition(":")
    opened: Opener = getattr(import_module(module), name)
    with opened(model.place, progress.note) as backend:
        yield backend
