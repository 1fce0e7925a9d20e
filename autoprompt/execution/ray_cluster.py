"""Ray executor: workers as actors of a Ray cluster, on this machine alone or on many.

Each worker is one actor with one core, and a share of a GPU where the work is done on GPUs. It is started ahead of its
first task, as soon as the cluster has room for it: at once, or when cores become free or a node joins. Tasks and
results are sent as to local processes. Ray retries nothing; the ordered map does.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # before the import: no usage statistics are sent
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # workers without a GPU from Ray keep their variables

import ray
from ray import exceptions

from autoprompt import interpreter
from autoprompt.errors import UsageError, WorkerLostError, first_line, parameter
from autoprompt.execution import ray_actor
from autoprompt.execution.ordered_map import Executor, Slot
from autoprompt.execution.staging import NodeFolder, StagedPath, open_depot, staged_path

STARTS = 3
"""Failed starts of a worker in a row after which WorkerLostError is raised."""
CONNECT_SECONDS = 5.0
"""Seconds that a cluster may take to accept a connection."""
PATIENCE = 5.0
"""Seconds until the user is told that workers wait for free cores or GPUs."""
_LEAVE_SECONDS = 10.0
"""Seconds that workers may take to end their tasks and leave shared folders."""
_GONE = (
    exceptions.RayActorError,
    exceptions.NodeDiedError,
    exceptions.ObjectLostError,
    exceptions.OutOfMemoryError,
    exceptions.WorkerCrashedError,
)
"""Exceptions that Ray raises in place of an answer whose worker has died."""

Look = tuple[Callable[[Any], Any], Any]
"""A function and its argument: called on each new worker's node before any task."""


@dataclass
class Cluster:
    """A Ray cluster that this process is a driver of. ``tell``: receives messages for the user."""

    tell: Callable[[str], None]
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    _depot: Any = None

    def total(self, resource: str) -> int:
        """Return the number of whole cores ("CPU") or devices ("GPU") of all nodes that have joined by now."""
        return int(ray.cluster_resources().get(resource, 0))

    def free(self, resource: str) -> float:
        """Return the number of free cores or devices of these nodes."""
        return float(ray.available_resources().get(resource, 0))

    @property
    def folder(self) -> NodeFolder:
        """A folder on each node, shared by its workers."""
        return NodeFolder(self.name)

    def carry(self, path: Path, files: Mapping[str, str] | None = None) -> StagedPath:
        """Return a path that opens on any node; see ``staged_path``."""
        if self._depot is None:
            self._depot = open_depot(self.name)
        return staged_path(path, files, self.name, self.folder)

    def close(self) -> None:
        """Stop serving files to workers."""
        if self._depot is not None:
            ray.kill(self._depot)


@contextmanager
def joined_cluster(address: str | None, cores: int, tell: Callable[[str], None]) -> Iterator[Cluster]:
    """Join the Ray cluster at ``address``. Without an address, join the one of RAY_ADDRESS, else one that runs on this
    machine, else a new one of this machine with ``cores`` cores; "local" always starts a new one. If the process is
    connected already, use that connection and leave it open.

    Raises UsageError for a cluster that cannot be joined, and for an address if the process is connected already.
    """
    if ray.is_initialized():
        if address is not None:
            raise UsageError(f"This process is in a Ray cluster already; leave out its address {address!r}.")
        with closing(Cluster(tell)) as cluster:
            yield cluster
        return
    known = address or os.environ.get("RAY_ADDRESS") or ("auto" if _accepts(_recorded_address()) else "local")
    if "://" in known:
        raise UsageError(
            f"The Ray address {known!r} is that of a client or a job server, and the program that searches has to run "
            "on a node of the cluster; start it there (`ray job submit`, `ray exec`), with "
            f"{parameter('ray_address', 'auto')}."
        )
    if ":" in known and not _accepts(known):
        raise _cannot_join(known, "nobody listens there")
    new = {"num_cpus": cores, "include_dashboard": False} if known == "local" else {}
    try:
        with chdir(os.sep):  # Ray workers import modules from the current folder, which may hold a stranger's data
            ray.init(
                address=known, namespace=uuid.uuid4().hex, logging_level=logging.CRITICAL, log_to_driver=False, **new
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise _cannot_join(known, first_line(error)) from error
    try:
        with closing(Cluster(tell)) as cluster:
            yield cluster
    finally:
        ray.shutdown()


def _cannot_join(address: str, why: str) -> UsageError:
    return UsageError(
        f"The Ray cluster {address!r} cannot be joined ({why}); start one with `ray start --head`, or take a new one "
        f"of this machine alone: {parameter('ray_address', 'local')}."
    )


def _recorded_address() -> str:
    """Return the address of this machine's last cluster, which Ray writes to a file; "" without one."""
    try:
        return Path("/tmp/ray/ray_current_cluster").read_text(encoding="utf-8").strip()  # noqa: S108 - documented
    except OSError:
        return ""


def _accepts(address: str) -> bool:
    """Whether HOST:PORT accepts connections. Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True


class RayExecutor(Executor["_ActorSlot"]):
    """Executor whose workers are Ray actors, one thread each; each runs the initializer once, before its first task."""

    def __init__(
        self,
        cluster: Cluster,
        workers: int,
        initializer: Callable[..., None],
        arguments: tuple[Any, ...],
        *,
        gpus: float = 0.0,
        look: Look | None = None,
        judge: Callable[[str, Any], str | None] = lambda _node, _facts: None,
    ) -> None:
        """``gpus``: share of a GPU for each worker. ``look``: function and argument to call on each new worker's node.
        ``judge``: called with the node's name and the result (an error text if the call failed); returns a message for
        the user or None, and raises UsageError to exclude the worker."""
        self._cluster = cluster
        self._judge = judge
        start = ray.put(pickle.dumps((initializer, arguments)))
        ray.cloudpickle.register_pickle_by_value(ray_actor)
        kind = ray.remote(ray_actor.Actor).options(num_cpus=1, num_gpus=gpus, max_restarts=0)
        self._needs = {"CPU": 1.0, "GPU": gpus}
        function, item = look or (_no_check, None)
        asked = pickle.dumps((function, item))
        unsafe = interpreter.unsafe_folders()
        super().__init__([_ActorSlot(lambda: kind.remote(start, unsafe), asked) for _ in range(workers)])
        self._since = time.monotonic()
        self._sent_messages: set[str] = set()
        self._refusals: list[str] = []

    def carry(self, path: Path) -> os.PathLike[str]:
        return self._cluster.carry(path)

    def close(self) -> None:
        """Have workers leave the folders that they share on their nodes, then kill them. Running tasks are waited for
        ``_LEAVE_SECONDS``; the next worker on a node removes folders that are left behind."""
        self._closed = True
        leaving = [slot.leave() for slot in self._slots if slot.ready]
        if leaving:
            ray.wait(leaving, num_returns=len(leaving), timeout=_LEAVE_SECONDS)
        for slot in self._slots:
            slot.kill()

    def _wait(self, busy: Sequence[_ActorSlot], timeout: float | None) -> list[_ActorSlot]:
        starting = [slot for slot in self._slots if slot.starting is not None]
        waited = [slot.answering for slot in busy] + [slot.starting for slot in starting]
        if not waited and timeout == 0.0:
            return []  # results that are available are yielded before the error
        if not waited:
            raise UsageError(f"No node of the Ray cluster can be used. {self._refusals[-1]}")
        if starting:
            timeout = min(PATIENCE, PATIENCE if timeout is None else timeout)
        ray.wait(waited, num_returns=1, timeout=timeout)
        ready = set(ray.wait(waited, num_returns=len(waited), timeout=0)[0])
        for slot in starting:
            if slot.starting in ready:
                self._settle(slot)
        self._tell_waiting()
        return [slot for slot in busy if slot.answering in ready]

    def _settle(self, slot: _ActorSlot) -> None:
        """Handle a worker that has started, or failed to."""
        found = slot.started()
        if found is None:
            return
        node, facts = found
        try:
            message = self._judge(node, facts)
        except UsageError as error:
            slot.leave_out()
            message = str(error)
            self._refusals.append(message)
        if message:
            self._tell(message)

    def _tell_waiting(self) -> None:
        """Tell the user that workers wait for free cores or GPUs, after ``PATIENCE`` seconds."""
        starting = sum(slot.starting is not None for slot in self._slots)
        if starting and time.monotonic() - self._since > PATIENCE:
            self._since = time.monotonic()
            lacking = [name for name, need in self._needs.items() if self._cluster.free(name) < need]
            if lacking:
                self._tell(
                    f"Ray has no free {lacking[-1]} for {starting} of {self.workers} workers: they start when others "
                    "give theirs back or a node joins; `ray status` shows who has them."
                )

    def _tell(self, text: str) -> None:
        if text not in self._sent_messages:
            self._sent_messages.add(text)
            self._cluster.tell(text)


class _ActorSlot(Slot):
    """A slot for one actor. ``create`` makes the actor; ``look``: the pickled function and argument for its node."""

    def __init__(self, create: Callable[[], Any], look: bytes) -> None:
        super().__init__()
        self._create = create
        self._look = look
        self._failures = 0
        self._why = ""
        self._left_out = False
        self.starting: Any = None
        """Ray's reference to the result of ``look``; None once that was read."""
        self.answering: Any = None
        self._begin()

    @property
    def ready(self) -> bool:
        return self.starting is None and not self._left_out

    def started(self) -> tuple[str, Any] | None:
        """Return the node's name and the result of ``look``, an error text if it failed; None if the start is retried.
        Raises WorkerLostError after ``STARTS`` failed starts in a row."""
        try:
            node, answer = ray.get(self.starting)
        except _GONE as error:
            self._failures += 1
            if self._failures >= STARTS:
                raise WorkerLostError(
                    f"Ray could not start a worker {STARTS} times ({_cause(error)}); look into the cluster's logs."
                ) from error
            self._begin()
            return None
        self._failures, self.starting = 0, None
        if isinstance(answer, str):
            return node, answer
        raised, facts = pickle.loads(answer)  # noqa: S301 - from our own worker
        return node, facts if raised is None else f"{type(raised).__name__}: {raised}"

    def leave_out(self) -> None:
        """Exclude the worker, whose node is unusable. Its actor stays: otherwise the next one would take that place."""
        self._left_out = True

    def leave(self) -> Any:
        """Return Ray's reference that is ready when the worker has ended its task and left the shared folders."""
        return self._actor.leave.remote()

    def kill(self) -> None:
        ray.kill(self._actor)

    def _begin(self) -> None:
        self._actor = self._create()
        self.starting = self._actor.look.remote(self._look)

    def _send(self, asked: bytes) -> None:
        self.answering = self._actor.answer.remote(asked)

    def _receive(self) -> bytes | None:
        if not ray.wait([self.answering], timeout=0)[0]:
            return None
        try:
            answer: bytes = ray.get(self.answering)
        except _GONE as error:
            self._why = _cause(error)
            return None
        return answer

    def _end(self, *, at_once: bool) -> str:  # noqa: ARG002 - ray.kill never waits
        ray.kill(self._actor)
        self._begin()
        return f"the last time by what Ray says: {self._why}"


def _cause(error: Exception) -> str:
    """Return the line of Ray's long message that gives the cause."""
    lines = [line.strip() for line in str(error).splitlines()]
    causes = [line for line in lines if line.startswith(("The actor is dead because", "The actor died because"))]
    return causes[0].rstrip(".") if causes else first_line(error)


def _no_check(_: None) -> None:
    """The default ``look``: any node that answers is usable."""
