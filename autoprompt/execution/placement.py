"""Number of workers on a machine or cluster, and each worker's share of the cores and GPUs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import psutil

from autoprompt.errors import UsageError, parameter

_WORKERS_A_CORE = 8
_LEAST_BOUND = 32
_WORKER_BYTES = 256 << 20
"""Memory that a process takes for its libraries alone."""
_MOST_IN_A_CLUSTER = 10_000


def default_workers() -> int:
    """Return the default number of workers: one for each core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def most_workers(*, cluster: bool = False) -> int:
    """Return the most workers that may be asked for: what this machine has cores and memory for. For a cluster, whose
    nodes may join later, it is a number that no cluster has."""
    if cluster:
        return _MOST_IN_A_CLUSTER
    memory = int(psutil.virtual_memory().total) // _WORKER_BYTES
    return max(1, min(max(_LEAST_BOUND, _WORKERS_A_CORE * default_workers()), memory))


def check_workers(workers: int | None, per_gpu: int | None, most: int) -> None:
    """Raises UsageError for numbers below 1 or above ``most`` (see ``most_workers``)."""
    for option, value in ((parameter("workers"), workers), (parameter("workers_per_gpu"), per_gpu)):
        if value is not None and value < 1:
            raise UsageError(f"{option} is {value}; give at least 1.")
        if value is not None and value > most:
            raise UsageError(
                f"{option} is {value}, and there are cores and memory for no more than {most} workers; give fewer, or "
                "leave it out."
            )


def worker_count(device: str, workers: int | None, per_gpu: int | None, *, cores: int, gpus: int, most: int) -> int:
    """Return the number of workers of a machine or cluster with ``cores`` and ``gpus``: ``workers`` if given, else one
    a core where the work is done on the CPU, and one (or ``per_gpu``) for each device where it is done on those.

    ``device``: cpu, mps, cuda, or one of several by its number. ``most``: see ``most_workers``. Raises UsageError.
    """
    check_workers(workers, per_gpu, most)
    if per_gpu is not None and device == "cpu":
        raise UsageError(
            f"{parameter('workers_per_gpu')} is for a device cuda or mps, and the work is done on the CPU; use "
            f"{parameter('workers')}."
        )
    if workers is not None:
        return workers
    return cores if device == "cpu" else (per_gpu or 1) * (gpus if device == "cuda" else 1)


def environments(device: str, workers: int, gpus: int) -> list[dict[str, str]]:
    """Return the environment variables of each worker: its GPU, where there are several, and its number of threads.

    GPUs are assigned in turn. Only tokenizers use threads, as many as the worker's share of the cores: a score's bits
    must not depend on the number of threads, so torch always has one.
    """
    threads = {"RAYON_NUM_THREADS": str(max(1, default_workers() // workers))}
    if device != "cuda" or gpus < 2:
        return [dict(threads) for _ in range(workers)]
    visible = _visible(os.environ, gpus)
    return [threads | {"CUDA_VISIBLE_DEVICES": visible[worker % len(visible)]} for worker in range(workers)]


def _visible(variables: Mapping[str, str], gpus: int) -> Sequence[str]:
    """Return the names, as CUDA has them, of the GPUs that this process may use."""
    named = [name.strip() for name in variables.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named or [str(number) for number in range(gpus)]
