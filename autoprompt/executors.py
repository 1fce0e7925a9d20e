"""The executors: one row each, read by runs, the command line and its help texts. Imports no library."""

from __future__ import annotations

from dataclasses import dataclass

from autoprompt.registry import EXECUTORS


@dataclass(frozen=True)
class ExecutorKind:
    """Where workers can run.

    ``home``: module and name of the function that opens it, an ``Opener`` of ``autoprompt.run.backends``. ``where``: in
    words, for help texts. ``cluster``: whether it takes the address of a cluster, and any number of workers, since
    machines may join later.
    """

    home: str
    where: str
    cluster: bool = False


EXECUTORS.register("local")(ExecutorKind("autoprompt.run.backends.local:opened", "processes here"))
EXECUTORS.register("ray")(
    ExecutorKind("autoprompt.run.backends.ray:opened", "a Ray cluster (extra: ray)", cluster=True)
)
