"""Executors: an ordered map over local processes or a Ray cluster. Nothing here is specific to prompts."""

from autoprompt.execution.local import LocalExecutor
from autoprompt.execution.ordered_map import Executor
from autoprompt.execution.placement import check_workers, default_workers, environments, most_workers, worker_count

__all__ = [
    "Executor",
    "LocalExecutor",
    "check_workers",
    "default_workers",
    "environments",
    "most_workers",
    "worker_count",
]
