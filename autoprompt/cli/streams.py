"""Standard streams of a command that may be closed, full, or unable to encode a text."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from autoprompt.errors import StorageError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Output(io.FileIO):
    """Standard output whose failures are errors of ours, with a message for users."""

    def write(self, content: ReadableBuffer, /) -> int:
        """Write bytes. Raises BrokenPipeError if the reader has closed the pipe, StorageError for other failures."""
        try:
            return super().write(content) or 0
        except BrokenPipeError:
            _redirect_to_null()
            raise
        except OSError as error:
            _redirect_to_null()
            why = "it is closed" if error.errno == errno.EBADF else error.strerror
            raise StorageError(
                f"Standard output cannot be written ({why}); give it a place with room, as in > result.txt."
            ) from error


class _Messages(io.FileIO):
    """Standard error that ignores failures; the exit code still tells of the error."""

    def write(self, content: ReadableBuffer, /) -> int:
        """Write bytes, or drop them if they cannot be written."""
        try:
            return super().write(content) or 0
        except OSError:
            return len(memoryview(content).cast("B"))


def prepare() -> None:
    """Make the three standard streams usable; streams that were replaced, as by a test, stay as they are.

    A closed stream is opened on the null device; otherwise the next opened file would get its number, and what is
    printed would go into that file. Standard output is opened for reading, so that printing a result raises
    StorageError.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            _open_null(number, mode)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for the whole process
    if sys.stdout is None or (sys.stdout is sys.__stdout__ and _number(sys.stdout) == 1):
        sys.stdout = _text(_Output(1, "wb", closefd=False), sys.stdout)
    if sys.stderr is None or (sys.stderr is sys.__stderr__ and _number(sys.stderr) == 2):
        sys.stderr = _text(_Messages(2, "wb", closefd=False), sys.stderr)


def _text(raw: io.FileIO, before: TextIO | None) -> TextIO:
    """Return a text stream that writes characters which the encoding lacks as escapes."""
    lines = raw.isatty() or bool(getattr(before, "line_buffering", False))
    encoding = before.encoding if before is not None else "utf-8"
    if before is not None:
        before.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=encoding, errors="backslashreplace", line_buffering=lines or raw.fileno() == 2
    )


def _number(stream: Any) -> int | None:
    try:
        return int(stream.fileno())
    except (OSError, ValueError):
        return None


def _redirect_to_null() -> None:
    """Point standard output to the null device, so that buffered text does not fail again at exit."""
    os.close(1)
    _open_null(1, os.O_WRONLY)


def _open_null(number: int, mode: int) -> None:
    opened = os.open(os.devnull, mode)
    if opened == number:
        os.set_inheritable(number, True)  # like the standard streams
    else:
        os.dup2(opened, number)
        os.close(opened)
