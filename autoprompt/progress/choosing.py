"""The view that a command, and a function called from Python, shows its progress in."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Literal

from rich.console import Console as RichConsole
from rich.live import Live

from autoprompt.errors import UsageError
from autoprompt.progress.callbacks import Callback, CallbackView
from autoprompt.progress.notebook import NotebookView
from autoprompt.progress.views import LiveView, PlainView, Silent, VerboseView
from autoprompt.terminal import Console

if TYPE_CHECKING:  # loading torch would take seconds
    from autoprompt.run import Progress


ProgressChoice = bool | Literal["auto"]
"""True, False, or "auto": where somebody looks on, in a terminal or a notebook."""


@contextmanager
def view(
    started: float,
    seconds: float | None,
    evaluations: int | None,
    console: RichConsole | None = None,
    *,
    quiet: bool = False,
    verbose: bool = False,
) -> Iterator[Progress]:
    """Yield the view for a console (default: standard error): live in a terminal, else plain.

    ``quiet`` and ``verbose`` choose their own view for any console. For the other arguments see ``View``.
    """
    console = console or Console(stderr=True)
    if quiet:
        yield Silent()
        return
    if verbose or not console.is_terminal:
        yield (VerboseView if verbose else PlainView)(started, seconds, evaluations)
        return
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        shown = LiveView(live, started, seconds, evaluations)
        live.update(shown)
        yield shown


@contextmanager
def choose_view(
    progress: ProgressChoice,
    callback: Callback | None = None,
    *,
    seconds: float | None = None,
    evaluations: int | None = None,
    started: float | None = None,
) -> Iterator[Progress]:
    """Yield the view for a function called from Python.

    ``progress``: True or False, or "auto": only in a terminal or a notebook. ``callback``: is given each event as well.
    For the other arguments see ``View``. Raises UsageError for other values.
    """
    if not isinstance(progress, bool) and progress != "auto":
        raise UsageError(f"progress={progress!r} is unknown; give 'auto', True or False.")
    if callback is not None and not callable(callback):
        raise UsageError(f"callback={callback!r:.80} cannot be called; give a function that takes an event.")
    with _shown(progress, time.monotonic() if started is None else started, seconds, evaluations) as shown:
        yield shown if callback is None else CallbackView(shown, callback)


@contextmanager
def _shown(progress: bool | str, started: float, seconds: float | None, evaluations: int | None) -> Iterator[Progress]:
    if progress is not False and in_notebook():
        with closing(NotebookView(started, seconds, evaluations)) as bar:
            yield bar
    elif progress is True or (progress is not False and sys.stderr is not None and sys.stderr.isatty()):
        with view(started, seconds, evaluations) as shown:
            yield shown
    else:
        yield Silent()


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, where IPython has been imported."""
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = None if get_ipython is None else get_ipython()
    return shell is not None and "IPKernelApp" in shell.config
