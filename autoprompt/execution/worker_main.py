"""What a local worker's process runs from its start to its end."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import threading

from autoprompt.execution.channel import Channel
from autoprompt.execution.serving import Server


def main(work: int, life: int) -> None:
    """Answer each task until the driver is gone.

    ``work``: the descriptor of the socket for messages; the first is a pickled (initializer, arguments). ``life``: that
    of a pipe whose other end the driver alone holds.
    """
    # Ctrl-C reaches the whole process group: the driver alone decides what to do with it. It blocked signals meanwhile.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    threading.Thread(target=_end_with_driver, args=(life,), daemon=True).start()
    with contextlib.suppress(OSError):  # what libraries print is no result of the driver's
        os.dup2(2, 1)
    channel = Channel(socket.socket(fileno=work))
    start = channel.receive()
    if start is None:
        return
    server = Server(*pickle.loads(start))  # noqa: S301 - of our own driver
    while (asked := channel.receive()) is not None:
        channel.send(server.answer(asked))


def _end_with_driver(life: int) -> None:
    """A driver that is killed can end nobody: each worker sees to its own end, even in the middle of a task."""
    os.read(life, 1)
    os._exit(1)
