"""Messages between a driver and a worker's process, over a pair of connected sockets."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

_LENGTH = struct.Struct("!Q")
_PIECE = 1 << 20


class Channel:
    """One end of a connection. A message is its length in bytes (eight bytes, big-endian) and its content.

    ``lost``: called whenever the other end neither accepts nor sends anything for ``seconds``; True gives the message
    up. Without ``seconds`` the other end is waited for without a limit.
    """

    def __init__(
        self, end: socket.socket, lost: Callable[[], bool] = lambda: False, seconds: float | None = None
    ) -> None:
        self._end = end
        self._lost = lost
        end.settimeout(seconds)

    def fileno(self) -> int:
        """Return the socket's file descriptor, for ``multiprocessing.connection.wait``."""
        return self._end.fileno()

    def send(self, message: bytes) -> bool:
        """Send a message; return whether all of it was sent: False where the other end is closed or lost."""
        return self._sent(_LENGTH.pack(len(message))) and self._sent(message)

    def receive(self) -> bytes | None:
        """Return the next message; None where the other end is closed or lost."""
        head = self._received(_LENGTH.size)
        return None if head is None else self._received(_LENGTH.unpack(head)[0])

    def close(self) -> None:
        """Close this end, which the other end notices."""
        self._end.close()

    def _sent(self, content: bytes) -> bool:
        left = memoryview(content)
        while left:
            try:
                left = left[self._end.send(left[:_PIECE]) :]
            except TimeoutError:
                if self._lost():
                    return False
            except OSError:
                return False
        return True

    def _received(self, length: int) -> bytes | None:
        found = bytearray()
        while len(found) < length:
            try:
                piece = self._end.recv(min(_PIECE, length - len(found)))
            except TimeoutError:
                if self._lost():
                    return None
                continue
            except OSError:
                return None
            if not piece:
                return None
            found += piece
        return bytes(found)
