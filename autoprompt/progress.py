"""Progress views: a live panel in a terminal, plain lines elsewhere, and a bar for downloads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console as RichConsole
from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from autoprompt.stage_times import StageTimes, clock
from autoprompt.terminal import Console, echo, plain, visible

if TYPE_CHECKING:  # loading torch would take seconds
    from autoprompt.evaluator import Evaluation, Evaluator
    from autoprompt.optimizer import Expected

PLAIN_SECONDS = 10.0
"""Seconds between two lines of a plain view while nothing important changes."""


class View:
    """Base class of the views: the current stage, the best evaluation so far, and the speed.

    ``started``: monotonic seconds; ``seconds`` and ``evaluations``: the limits of the run, None where there is none.
    """

    def __init__(self, started: float, seconds: float | None, evaluations: int | None) -> None:
        self.started = started
        self.seconds = seconds
        self.limit = evaluations
        self.text = "start"
        self.fitted = 0
        self.tokens = 0
        self.best: Evaluation | None = None
        self.stages = StageTimes()

    def stage(self, text: str) -> None:
        """Show that a stage of the run, or a part of one, begins."""
        self.text = text
        self.stages.begin(text)
        self.changed(important=True)

    def expect(self, stages: Sequence[Expected]) -> None:
        """Store how long the stages are still likely to take; the next redraw shows it."""
        self.stages.expect(stages)

    def note(self, text: str) -> None:
        """Show a warning."""
        raise NotImplementedError

    def evaluated(self, evaluation: Evaluation | None, evaluator: Evaluator) -> None:
        """Update the view after finished work; ``evaluation`` is None if the work was something else."""
        from autoprompt.evaluator import Rung

        self.fitted, self.tokens = evaluator.fitted, evaluator.tokens
        better = False
        if evaluation is not None and evaluation.complete and evaluation.rung == Rung.TUNED:
            better = self.best is None or evaluation.loss < self.best.loss
            self.best = evaluation if better else self.best
        self.changed(important=better)

    def changed(self, *, important: bool) -> None:
        """Redraw; ``important``: this change must be seen."""
        raise NotImplementedError

    def facts(self) -> dict[str, str]:
        """Return what the views show: name -> printable text."""
        spent = max(time.monotonic() - self.started, 1e-9)
        facts = {
            "stage": visible(self.text),
            "time": clock(spent) + (f" of {clock(self.seconds)}" if self.seconds else ""),
            "evaluations": str(self.fitted) + (f" of {self.limit}" if self.limit else ""),
            "speed": f"{self.fitted / spent * 60:.1f} evaluations/min, {self.tokens / spent:.0f} tokens/s",
        }
        if self.seconds or self.limit:  # a search
            facts |= {"took": self.stages.took} if self.stages.took else {}
            facts["likely"] = self.stages.likely
        if self.best:
            # The lowest of many losses on few rows is mostly luck: finalists are judged again on more rows.
            facts["best so far"] = f"loss {self.best.loss:.4f} on {len(self.best.losses)} validation rows, provisional"
            facts["template"] = repr(self.best.candidate.template.format())
            words = self.best.candidate.label_words.words
            facts |= {"label words": visible(", ".join(words))} if words else {}
        return facts


class LiveView(View):
    """A panel that redraws itself, for terminals."""

    def __init__(self, live: Live, *limits: Any) -> None:
        super().__init__(*limits)
        self.live = live

    def note(self, text: str) -> None:
        self.live.console.print(Text.assemble(("Note:", "yellow"), " ", plain(text)))

    def changed(self, *, important: bool) -> None:  # noqa: ARG002
        self.live.update(self)

    def __rich__(self) -> Group:
        table = Table.grid(padding=(0, 2))
        for name, value in self.facts().items():
            table.add_row(Text(name, style="bold cyan"), plain(value))
        share = None
        if self.seconds:
            share = min(1.0, (time.monotonic() - self.started) / self.seconds)
        elif self.limit:
            share = min(1.0, self.fitted / self.limit)
        if share is None:
            return Group(table)
        bar = Table.grid(padding=(0, 2))
        from rich.progress_bar import ProgressBar

        bar.add_row(Text("budget", style="bold cyan"), ProgressBar(total=1.0, completed=share, width=40))
        return Group(table, bar)


class PlainView(View):
    """One line per important change, and at most every ``PLAIN_SECONDS`` for others; for files and pipes."""

    last = 0.0

    def note(self, text: str) -> None:
        echo(f"note: {visible(text)}", err=True)

    def changed(self, *, important: bool) -> None:
        now = time.monotonic()
        if important or now - self.last >= PLAIN_SECONDS:
            self.last = now
            echo(" | ".join(f"{name}: {value}" for name, value in self.facts().items()), err=True)


class QuietView(View):
    """A view that shows nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""

    def changed(self, *, important: bool) -> None:
        """Do nothing."""


class VerboseView(PlainView):
    """The plain view with an additional line per evaluation."""

    def evaluated(self, evaluation: Evaluation | None, evaluator: Evaluator) -> None:
        super().evaluated(evaluation, evaluator)
        if evaluation is None:
            return
        rung = f"rung {int(evaluation.rung)}, fold {evaluation.fold}, repeat {evaluation.repeat}"
        outcome = f"loss {evaluation.loss:.4f}" if evaluation.complete else f"{evaluation.status} ({evaluation.reason})"
        words = "/".join(evaluation.candidate.label_words.words)
        template = evaluation.candidate.template.format()
        line = visible(f"{rung}: {outcome} | {template!r} {words} | {evaluation.seconds:.1f} s")
        echo(f"  {line}", err=True)


@contextmanager
def view(
    started: float,
    seconds: float | None,
    evaluations: int | None,
    console: RichConsole | None = None,
    *,
    quiet: bool = False,
    verbose: bool = False,
) -> Iterator[View]:
    """Yield the view for a console (default: standard error): live in a terminal, else plain.

    ``quiet`` and ``verbose`` choose their own view for any console. For the other arguments see ``View``.
    """
    console = console or Console(stderr=True)
    if quiet or verbose or not console.is_terminal:
        kind = QuietView if quiet else VerboseView if verbose else PlainView
        yield kind(started, seconds, evaluations)
        return
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        shown = LiveView(live, started, seconds, evaluations)
        live.update(shown)
        yield shown


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
