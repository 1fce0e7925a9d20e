"""Messages between a driver and a worker's process, over a pair of connected sockets."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

_LENGTH = struct.Struct("!Q")
_PIECE = 1 << 20


class Channel:
    """One end. A message is its length in bytes (eight bytes, big-endian) and its content.

    ``lost``: asked whenever the other end takes or gives nothing for ``seconds``; True gives the message up. Without
    ``seconds`` the other end is waited for.
    """

    def __init__(
        self, end: socket.socket, lost: Callable[[], bool] = lambda: False, seconds: float | None = None
    ) -> None:
        self._end = end
        self._lost = lost
        end.settimeout(seconds)

    def fileno(self) -> int:
        """For ``multiprocessing.connection.wait``."""
        return self._end.fileno()

    def send(self, message: bytes) -> bool:
        """Whether all of it was sent: False where the other end is closed or lost."""
        return self._sent(_LENGTH.pack(len(message))) and self._sent(message)

    def receive(self) -> bytes | None:
        """The next message; None where the other end is closed or lost."""
        head = self._received(_LENGTH.size)
        return None if head is None else self._received(_LENGTH.unpack(head)[0])

    def close(self) -> None:
        """The other end notices."""
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
