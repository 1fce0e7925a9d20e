"""The command line: parse, call, print.

Nothing heavy is imported here, so that a Ctrl-C is heard from the start; the commands are in ``root``, and their own
heavy imports stand inside them, so that --help is quick.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from autoprompt.cli.root import cli

__all__ = ["cli", "main", "stopped"]

_received: list[int] = []
"""The signals that have come."""
_SHOW_CURSOR = "\x1b[?25h"
"""A live view has hidden it."""


def __getattr__(name: str) -> Any:
    if name != "cli":
        raise AttributeError(f"module 'autoprompt.cli' has no attribute {name!r}")
    from autoprompt.cli.root import cli

    return cli


def main() -> NoReturn:
    """Entry point: every error is one sentence on stderr with its exit code."""
    _received.clear()
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else whoever started us wants none
        signal.signal(signal.SIGINT, _stop)
    try:
        code = _run()
    except SystemExit:
        raise
    except BaseException as error:  # an import that is interrupted may fail in any way
        if not _received and not isinstance(error, KeyboardInterrupt):
            raise
        if sys.stderr is not None:
            print(stopped(), file=sys.stderr)
        code = 128 + (_received or [signal.SIGINT])[0]
    finally:
        for number in _received:
            signal.signal(number, _stop_at_once)
    sys.exit(code)


def _run() -> int:
    from autoprompt import interpreter
    from autoprompt.cli import streams
    from autoprompt.terminal import guard_streams

    interpreter.leave_current_folder()  # it holds data, which is not to be imported
    streams.prepare()
    guard_streams()
    from autoprompt.cli.root import run

    return run()


def stopped() -> str:
    """What is said of a command that a signal has ended."""
    if "autoprompt.progress" not in sys.modules:  # which shows whatever goes on
        return "Stopped before anything was done."
    return "Stopped; what was finished is in the leaderboard, and `autoprompt resume` goes on from it."


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """The first signal lets all that goes on end in order; the second ends it at once: nothing is lost by that.

    Libraries catch whatever is raised while they are imported, and go on: then the first one ends it at once as well.
    """
    _received.append(number)
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _stop_at_once)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            with contextlib.suppress(OSError):
                os.write(2, f"{_SHOW_CURSOR if os.isatty(2) else ''}{stopped()}\n".encode())
            _stop_at_once(number, frame)
        frame = frame.f_back
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


def _stop_at_once(number: int, _frame: Any) -> NoReturn:
    os._exit(128 + number)  # workers end with their driver
