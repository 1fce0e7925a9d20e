"""A worker's process on a node of a Ray cluster.

Sent as code, not by its name: a node without this package can then say so. It imports nothing of ours until it works.
"""

from __future__ import annotations

import pickle
import signal
import socket
import sys
from typing import Any


class Actor:
    """``start``: the pickled initializer and its arguments. ``unsafe``: folders in which no modules are looked for: the
    driver's current one, where a program has connected to Ray by itself."""

    def __init__(self, start: bytes, unsafe: list[str]) -> None:
        sys.path[:] = [entry for entry in sys.path if entry and entry not in unsafe]
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver alone decides what Ctrl-C does
        self._start = start
        self._server: Any = None

    def look(self, asked: bytes) -> tuple[str, bytes | str]:
        """This node's name, and the answer to a task that needs no initializer; a text where the package is missing."""
        try:
            from autoprompt.execution.worker_main import Server

            return socket.gethostname(), Server(_nothing, ()).answer(asked)
        except Exception as error:
            return socket.gethostname(), f"{type(error).__name__}: {error}"

    def answer(self, asked: bytes) -> bytes:
        """As ``Server`` does."""
        if self._server is None:
            from autoprompt.execution.worker_main import Server

            self._server = Server(*pickle.loads(self._start))  # noqa: S301 - of our own driver
        answer: bytes = self._server.answer(asked)
        return answer

    def leave(self) -> None:
        """The end is near: give up what this node's workers share."""
        from autoprompt.execution.scratch import leave

        leave()


def _nothing() -> None:
    """No initializer."""
