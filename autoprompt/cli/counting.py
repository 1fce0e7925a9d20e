"""Row counter on standard error: a progress bar in a terminal, otherwise a line every 10 seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from autoprompt.cli.verbosity import Verbosity, verbosity
from autoprompt.terminal import echo

SECONDS = 10.0
"""Seconds between two lines, at least."""

Count = Callable[[int], None]
"""Takes the number of rows done so far."""


@contextmanager
def counted(total: int | None, *, shown: bool = True) -> Iterator[Count]:
    """Yield a function that shows the rows done of ``total`` (None: unknown), if ``shown`` and without --quiet."""
    if not shown or verbosity() == Verbosity.QUIET:
        yield lambda _: None
        return
    from autoprompt.terminal import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(total)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("rows", total=total)
        yield lambda done: bar.update(task, completed=done)


def _lines(total: int | None) -> Count:
    started = last = time.monotonic()

    def tell(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < SECONDS or done == total:
            return
        last = now
        speed = done / (now - started)
        left = f", about {(total - done) / speed:.0f} s left" if total is not None and speed else ""
        of = "" if total is None else f" of {total}"
        echo(f"{done}{of} rows, {speed:.1f} rows/s{left}", err=True)

    return tell
