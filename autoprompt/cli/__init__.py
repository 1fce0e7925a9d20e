"""The command line: its entry point ``main`` and the handling of signals.

Nothing heavy is imported here, so that Ctrl-C works from the start. The commands are in ``root``; their heavy imports
are inside the functions, so that --help is quick.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from autoprompt.cli.interruption import interrupted

if TYPE_CHECKING:
    from autoprompt.cli.root import cli

__all__ = ["cli", "main"]

_received: list[int] = []
"""Signals received so far."""
_SHOW_CURSOR = "\x1b[?25h"
"""Escape sequence that shows the cursor, which a live view hides."""


def __getattr__(name: str) -> Any:
    if name != "cli":
        raise AttributeError(f"module 'autoprompt.cli' has no attribute {name!r}")
    from autoprompt.cli.root import cli

    return cli


def main() -> NoReturn:
    """Entry point: print every error as one sentence on stderr and exit with its code."""
    _received.clear()
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else the parent process ignores it
        signal.signal(signal.SIGINT, _stop)
    try:
        code = _run()
    except SystemExit:
        raise
    except BaseException as error:  # an interrupted import may raise anything
        if not _received and not isinstance(error, KeyboardInterrupt):
            raise
        if sys.stderr is not None:
            print(interrupted(), file=sys.stderr)
        code = 128 + (_received or [signal.SIGINT])[0]
    finally:
        for number in _received:
            signal.signal(number, _stop_at_once)
    sys.exit(code)


def _run() -> int:
    from autoprompt import interpreter
    from autoprompt.cli import streams
    from autoprompt.terminal import guard_streams

    interpreter.leave_current_folder()  # files there are data, not modules to import
    streams.prepare()
    guard_streams()
    from autoprompt.cli.root import run

    return run()


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """Raise on the first signal, so that the work ends in order; exit at once on the second, which loses nothing.

    Libraries may catch what is raised while they are imported and continue: then the first signal exits at once, too.
    """
    _received.append(number)
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _stop_at_once)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            with contextlib.suppress(OSError):
                os.write(2, f"{_SHOW_CURSOR if os.isatty(2) else ''}{interrupted()}\n".encode())
            _stop_at_once(number, frame)
        frame = frame.f_back
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


def _stop_at_once(number: int, _frame: Any) -> NoReturn:
    os._exit(128 + number)  # workers end with their driver
