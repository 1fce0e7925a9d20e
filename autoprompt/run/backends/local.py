"""Workers as processes of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from autoprompt.execution import LocalExecutor, default_workers, environments, most_workers, worker_count
from autoprompt.models import check_device
from autoprompt.run.backends import Backend, Pool
from autoprompt.run.options import PlaceOptions


class LocalBackend(Backend):
    """This machine: a worker a core, or a GPU."""

    def __init__(self, options: PlaceOptions) -> None:
        self.warnings = []
        self.device = check_device(options.device or "auto")
        self._gpus = _gpus() if self.device == "cuda" else 0
        self.workers = worker_count(
            self.device,
            options.workers,
            options.workers_per_gpu,
            cores=default_workers(),
            gpus=self._gpus,
            most=most_workers(),
        )

    def executor(self, initializer: Callable[..., None], arguments: tuple[Any, ...]) -> Pool:
        own = environments(self.device, self.workers, self._gpus)
        return LocalExecutor(self.workers, initializer, arguments, environments=own)


@contextmanager
def opened(options: PlaceOptions, tell: Callable[[str], None]) -> Iterator[Backend]:
    """This machine. Raises UsageError for a device that it has not, and for too many workers."""
    del tell
    yield LocalBackend(options)


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()
