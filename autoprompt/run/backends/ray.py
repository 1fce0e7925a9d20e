"""Workers on the nodes of a Ray cluster, which must have the same versions as this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoprompt.errors import UsageError, parameter
from autoprompt.execution import default_workers, most_workers, worker_count
from autoprompt.manifest import environment, files_of, source
from autoprompt.run.backends import Backend, Pool
from autoprompt.run.options import PlaceOptions

if TYPE_CHECKING:
    from autoprompt.execution import Cluster

_SAME = ("source", "torch", "transformers", "tokenizers", "peft", "numpy", "scikit-learn")
"""Facts that must be the same on a node and the driver, since a run's manifest holds one version of each."""
_ALIKE = ("processor", "kernels")
"""Further facts that the last digits of a score depend on."""


@contextmanager
def opened(options: PlaceOptions, tell: Callable[[str], None]) -> Iterator[Backend]:
    """The cluster at the options' address. Raises UsageError for one that cannot be joined, and without Ray."""
    try:
        from autoprompt.execution import joined_cluster
    except ImportError as error:
        raise UsageError(
            f"{parameter('executor', 'ray')} needs Ray, which cannot be imported ({error}); install it with `pip "
            "install "
            "'autoprompt-engine[ray]'`."
        ) from error
    cores = min(options.workers or default_workers(), most_workers())  # of a new cluster
    with joined_cluster(options.ray_address, cores, tell) as cluster:
        yield RayBackend(cluster, options)


class RayBackend(Backend):
    """A cluster that was joined: a worker for each of its cores, or GPUs."""

    def __init__(self, cluster: Cluster, options: PlaceOptions) -> None:
        self._cluster = cluster
        gpus = cluster.total("GPU")
        self.device = options.device or "auto"
        if self.device == "auto":
            self.device = "cuda" if gpus else "cpu"
        elif self.device != "cpu" and not (self.device == "cuda" and gpus):
            raise UsageError(
                f"The device {self.device!r} is not available in the Ray cluster, which has {gpus} GPUs; use "
                f"{parameter('device', 'auto')} or one that is there."
            )
        cores = max(1, cluster.total("CPU"))
        self.workers = worker_count(
            self.device, options.workers, options.workers_per_gpu, cores=cores, gpus=gpus,
            most=most_workers(cluster=True),
        )  # fmt: skip
        self._gpus = 1 / (options.workers_per_gpu or 1) if self.device == "cuda" else 0.0
        self._facts = node_facts(self.device)
        self.warnings = []

    def executor(self, initializer: Callable[..., None], arguments: tuple[Any, ...]) -> Pool:
        from autoprompt.execution import RayExecutor

        return RayExecutor(
            self._cluster, self.workers, initializer, arguments,
            gpus=self._gpus, look=(node_facts, self.device), judge=self._check_node,
        )  # fmt: skip

    def model(self, folder: Path) -> os.PathLike[str]:
        return self._cluster.carry(folder, files_of(folder))

    def shared(self, scratch: Path) -> os.PathLike[str]:  # noqa: ARG002 - of this machine alone
        return self._cluster.folder

    def _check_node(self, node: str, found: Mapping[str, Any] | str) -> str | None:
        said = check_node(node, found, self._facts)
        if said and said not in self.warnings:
            self.warnings.append(said)
        return said


def node_facts(device: str) -> dict[str, Any]:
    """Facts about this node that scores depend on, in addition to candidate, data and model."""
    return {"source": source(), **environment(device)}


def check_node(node: str, found: Mapping[str, Any] | str, own: Mapping[str, Any]) -> str | None:
    """A warning where a node's processor differs from this machine's, else None.

    ``found``: the node's facts, or why it has none; ``own``: this machine's facts. Raises UsageError for a node without
    facts, or with other versions than are installed here.
    """
    if isinstance(found, str):
        raise UsageError(
            f"The node {node} of the Ray cluster is left out: it cannot run this package ({found}); install the same "
            "there as here."
        )
    names = {"source": "autoprompt"}
    other = [f"{names.get(n, n)} {_short(found.get(n))} where this machine has {_short(own[n])}" for n in _SAME
             if found.get(n) != own[n]]  # fmt: skip
    if other:
        raise UsageError(
            f"The node {node} of the Ray cluster is left out: it has {', '.join(other)}; install the same there."
        )
    if any(found.get(name) != own[name] for name in _ALIKE):
        there, here = (" ".join(str(one.get(name)) for name in _ALIKE) for one in (found, own))
        return (
            f"The node {node} has another processor ({there}) than this machine ({here}): the last digits of scores "
            "may depend on the node that computed them."
        )
    return None


def _short(version: Any) -> str:
    """A version, or the start of the source's hash."""
    return str(version)[:12]
