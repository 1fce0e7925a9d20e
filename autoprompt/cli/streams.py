"""Standard input, output and error of a command: closed, full, or narrower than the text."""

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
    """Standard output, whose errors are sentences."""

    def write(self, content: ReadableBuffer, /) -> int:
        """Raises StorageError; BrokenPipeError where the reader has gone."""
        try:
            return super().write(content) or 0
        except BrokenPipeError:
            _to_nowhere()
            raise
        except OSError as error:
            _to_nowhere()
            why = "it is closed" if error.errno == errno.EBADF else error.strerror
            raise StorageError(
                f"Standard output cannot be written ({why}); give it a place with room, as in > result.txt."
            ) from error


class _Messages(io.FileIO):
    """Standard error: where it cannot be written, the exit code says what has to be said."""

    def write(self, content: ReadableBuffer, /) -> int:
        """Raises nothing: what cannot be written is left out."""
        try:
            return super().write(content) or 0
        except OSError:
            return len(memoryview(content).cast("B"))


def prepare() -> None:
    """Make all three fit to be used; streams that were replaced, as by a test, stay as they are.

    A closed one is opened: its number would else be given to the next file, which is then written to by whoever
    prints. Standard output is opened so that it cannot be written, and a command that has a result says so.
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
    """A terminal without the letters of a template is no error."""
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


def _to_nowhere() -> None:
    """What is left in the buffers must not fail again at the interpreter's end."""
    os.close(1)
    _open_null(1, os.O_WRONLY)


def _open_null(number: int, mode: int) -> None:
    opened = os.open(os.devnull, mode)
    if opened == number:
        os.set_inheritable(number, True)  # as the other two are
    else:
        os.dup2(opened, number)
        os.close(opened)
