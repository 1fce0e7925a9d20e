"""A progress bar for downloads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from autoprompt.terminal import Console


@contextmanager
def pull_bar(name: str) -> Iterator[Callable[[str, float | None], None]]:
    """Yield a function that updates a progress bar on standard error, for one download and conversion.

    It takes the stage's name and the share that is done, from 0 to 1 (None: unknown).
    """
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=None)

        def report(stage: str, fraction: float | None) -> None:
            bar.update(task, description=f"{name}: {stage}", total=None if fraction is None else 1.0,
                       completed=fraction or 0.0)  # fmt: skip

        yield report
