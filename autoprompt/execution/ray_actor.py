"""Ray actor: a worker process on a node of a Ray cluster.

Its class is sent as code, not by name, so that a node without this package can report that. It imports nothing of this
package before its first call.
"""

from __future__ import annotations

import pickle
import signal
import socket
import sys
from typing import Any


class Actor:
    """``start``: the pickled initializer and its arguments. ``unsafe``: folders from which no modules are imported: the
    driver's current folder, in case the program connected to Ray itself."""

    def __init__(self, start: bytes, unsafe: list[str]) -> None:
        sys.path[:] = [entry for entry in sys.path if entry and entry not in unsafe]
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver alone decides what Ctrl-C does
        self._start = start
        self._server: Any = None

    def look(self, asked: bytes) -> tuple[str, bytes | str]:
        """Return this node's name and the answer to a task that needs no initializer, or an error text where the
        package is missing."""
        try:
            from autoprompt.execution.worker_main import Server

            return socket.gethostname(), Server(_nothing, ()).answer(asked)
        except Exception as error:
            return socket.gethostname(), f"{type(error).__name__}: {error}"

    def answer(self, asked: bytes) -> bytes:
        """Answer a task as ``Server.answer`` does."""
        if self._server is None:
            from autoprompt.execution.worker_main import Server

            self._server = Server(*pickle.loads(self._start))  # noqa: S301 - from our own driver
        answer: bytes = self._server.answer(asked)
        return answer

    def leave(self) -> None:
        """Leave the folders that this node's workers share; called before the actor is killed."""
        from autoprompt.execution.scratch import leave

        leave()


def _nothing() -> None:
    """An initializer that does nothing."""
