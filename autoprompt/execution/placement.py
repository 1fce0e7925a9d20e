"""How many workers a machine has, and what each of them gets of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from autoprompt.errors import UsageError


def default_workers() -> int:
    """As many workers as cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_count(device: str, workers: int | None, per_gpu: int | None, *, cores: int, gpus: int) -> int:
    """Workers of a machine or cluster with so many ``cores`` and ``gpus``: as asked for, else one a core where the work
    is done on the CPU, and one (or ``per_gpu``) for each device where it is done there.

    ``device``: cpu, mps, cuda, or one of several by its number. Raises UsageError.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"--workers is {workers}; give at least 1.")
    if per_gpu is not None and per_gpu < 1:
        raise UsageError(f"--workers-per-gpu is {per_gpu}; give at least 1.")
    if per_gpu is not None and device == "cpu":
        raise UsageError(
            "--workers-per-gpu is for a device cuda or mps, and the work is done on the CPU; use --workers."
        )
    if workers is not None:
        return workers
    return cores if device == "cpu" else (per_gpu or 1) * (gpus if device == "cuda" else 1)


def environments(device: str, workers: int, gpus: int) -> list[dict[str, str]]:
    """Variables of each worker: its GPU of several, in turn, and its share of the cores for what may use threads.

    Only tokenizers do: a score's bits must not depend on how many threads there are, so torch has one everywhere.
    """
    threads = {"RAYON_NUM_THREADS": str(max(1, default_workers() // workers))}
    if device != "cuda" or gpus < 2:
        return [dict(threads) for _ in range(workers)]
    visible = _visible(os.environ, gpus)
    return [threads | {"CUDA_VISIBLE_DEVICES": visible[worker % len(visible)]} for worker in range(workers)]


def _visible(variables: Mapping[str, str], gpus: int) -> Sequence[str]:
    """The GPUs as CUDA names them, those that this process may see."""
    named = [name.strip() for name in variables.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named or [str(number) for number in range(gpus)]
