"""Executors: an ordered map over local processes or a Ray cluster. Nothing here is specific to prompts.

The names of the Ray cluster load Ray, when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from autoprompt.execution.local import LocalExecutor
from autoprompt.execution.ordered_map import Executor
from autoprompt.execution.placement import check_workers, default_workers, environments, most_workers, worker_count
from autoprompt.execution.scratch import scratch_folder, sweep

if TYPE_CHECKING:
    from autoprompt.execution.ray_cluster import Cluster, RayExecutor, joined_cluster

__all__ = [
    "Cluster",
    "Executor",
    "LocalExecutor",
    "RayExecutor",
    "check_workers",
    "default_workers",
    "environments",
    "joined_cluster",
    "most_workers",
    "scratch_folder",
    "sweep",
    "worker_count",
]


def __getattr__(name: str) -> Any:
    if name not in ("Cluster", "RayExecutor", "joined_cluster"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("autoprompt.execution.ray_cluster"), name)
