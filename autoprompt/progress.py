"""What people see: the live view of a search, plain lines where there is no terminal, tables of results."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from autoprompt.evaluator import Evaluation, Evaluator, Rung
from autoprompt.leaderboard import EvaluationRecord
from autoprompt.metrics import METRICS

PLAIN_SECONDS = 10.0
"""A plain view reports what did not change at most this often."""


class View:
    """Both views' common state: what stage, what was best so far, how fast."""

    def __init__(self, started: float, seconds: float | None, evaluations: int | None) -> None:
        self.started = started
        self.seconds = seconds
        self.limit = evaluations
        self.text = "start"
        self.fitted = 0
        self.tokens = 0
        self.best: Evaluation | None = None

    def stage(self, text: str) -> None:
        """A new part of the run begins."""
        self.text = text
        self.changed(important=True)

    def note(self, text: str) -> None:
        """A warning."""
        raise NotImplementedError

    def evaluated(self, evaluation: Evaluation | None, evaluator: Evaluator) -> None:
        """Some work is done, perhaps an evaluation."""
        self.fitted, self.tokens = evaluator.fitted, evaluator.tokens
        better = False
        if evaluation is not None and evaluation.complete and evaluation.rung == Rung.TUNED:
            better = self.best is None or evaluation.loss < self.best.loss
            self.best = evaluation if better else self.best
        self.changed(important=better)

    def changed(self, *, important: bool) -> None:
        """Draw."""
        raise NotImplementedError

    def facts(self) -> dict[str, str]:
        """What the views show, ready to print."""
        spent = max(time.monotonic() - self.started, 1e-9)
        facts = {
            "stage": self.text,
            "time": _clock(spent) + (f" of {_clock(self.seconds)}" if self.seconds else ""),
            "evaluations": str(self.fitted) + (f" of {self.limit}" if self.limit else ""),
            "speed": f"{self.fitted / spent * 60:.1f} evaluations/min, {self.tokens / spent:.0f} tokens/s",
        }
        if self.best:
            facts["best loss"] = f"{self.best.loss:.4f} on {len(self.best.losses)} validation rows"
            facts["template"] = repr(self.best.candidate.template.format())
            words = self.best.candidate.label_words.words
            facts |= {"label words": ", ".join(words)} if words else {}
        return facts


class LiveView(View):
    """A panel that redraws itself, for terminals."""

    def __init__(self, live: Live, *limits: Any) -> None:
        super().__init__(*limits)
        self.live = live

    def note(self, text: str) -> None:
        self.live.console.print(f"[yellow]Note:[/] {escape(text)}")

    def changed(self, *, important: bool) -> None:  # noqa: ARG002
        self.live.update(self)

    def __rich__(self) -> Group:
        table = Table.grid(padding=(0, 2))
        for name, value in self.facts().items():
            table.add_row(Text(name, style="bold cyan"), Text(value))
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
    """One line for each change that matters, for files and pipes."""

    last = 0.0

    def note(self, text: str) -> None:
        _say(f"note: {text}")

    def changed(self, *, important: bool) -> None:
        now = time.monotonic()
        if important or now - self.last >= PLAIN_SECONDS:
            self.last = now
            _say(" | ".join(f"{name}: {value}" for name, value in self.facts().items()))


@contextmanager
def view(
    started: float, seconds: float | None, evaluations: int | None, console: Console | None = None
) -> Iterator[View]:
    """The view that fits the console, by default standard error."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield PlainView(started, seconds, evaluations)
        return
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        shown = LiveView(live, started, seconds, evaluations)
        live.update(shown)
        yield shown


@contextmanager
def pull_bar(name: str) -> Iterator[Callable[[str, float | None], None]]:
    """A progress bar on standard error for one download and conversion."""
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
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


def show_result(result: dict[str, Any], leaderboard: Path) -> None:
    """The end of a search: the winner beside the baselines, and what to do next."""
    console = Console()
    best = result["best"]
    console.print(
        f"\n[bold]{escape(result['corpus'])}[/] with {escape(result['model'])}: {result['evaluations']} fine-tunes and "
        f"{result['frozen']} frozen scores in {_clock(result['seconds'])}, run {result['run']}"
    )
    tested = next((row["test"] for row in (best, *filter(None, result["baselines"].values())) if row["test"]), None)
    table = _table("", f"test {_judged(tested)}", "validation loss", "prompt", fold=("prompt",))
    rows = {"winner": best} | {name: row for name, row in result["baselines"].items() if row}
    for name, row in rows.items():
        table.add_row(
            Text(name, style="bold" if name == "winner" else ""),
            _percent(row["test"]),
            f"{row['validation']['loss']:.3f} (n={row['validation']['n']})",
            _prompt(row),
        )
    console.print(table)
    difference = result["difference"]
    if difference:
        console.print(
            f"winner - manual_tuned on the test rows: {100 * difference['value']:+.1f} points of "
            f"{difference['metric']} "
            f"(95 % interval {100 * difference['low']:+.1f} to {100 * difference['high']:+.1f})"
        )
    console.print(f"winner's settings: {_settings(best['settings'])}")
    where = "" if leaderboard == Path("autoprompt.sqlite") else f" --leaderboard {leaderboard}"
    console.print(f"Next: autoprompt export {best['entry'][:12]} --out best.py{where}", markup=False)


def show_evaluation(result: dict[str, Any]) -> None:
    """One candidate's metrics."""
    console = Console()
    console.print(f"{result['split']} rows: {result['n']}, tuning: {result['tuning']}, {result['seconds']:.1f} s")
    table = Table(show_header=False, show_edge=False)
    for name, value in result["metrics"].items():
        table.add_row(name, f"{value:.4f}")
    console.print(table)


def show_entries(entries: Sequence[dict[str, Any]], limit: int) -> None:
    """The leaderboard."""
    table = _table("entry", "rung", "loss", "acc", "n", "prompt", "settings", fold=("prompt", "settings"))
    for entry in entries[:limit]:
        score = entry["validation"]
        role = "" if entry["role"] in ("search", "finalist") else f" ({entry['role']})"
        role += f" ({entry['reason']})" if score and entry["reason"] else ""
        table.add_row(
            entry["entry"][:8],
            str(entry["rung"]),
            f"{score['loss']:.3f}" if score else entry["status"],
            _value(score, 2),
            str(score["n"]) if score else "",
            _prompt(entry, role),
            _settings(entry["settings"]),
        )
    console = Console()
    console.print(table)
    if len(entries) > limit:
        console.print(f"{len(entries) - limit} more; use --limit or --json.")


def show_runs(runs: Sequence[dict[str, Any]]) -> None:
    """All runs of a leaderboard."""
    table = Table(show_edge=False)
    for name in ("run", "name", "corpus", "model", "strategy", "seed", "status", "started", "test"):
        table.add_column(name, overflow="fold")
    for run in runs:
        test = ((run["result"] or {}).get("best") or {}).get("test")
        table.add_row(
            run["id"], Text(run["name"] or ""), Text(run["corpus"]), Text(run["model"]), run["strategy"],
            str(run["seed"]), run["status"], run["started"], _percent(test, f" {_judged(test)}"),
        )  # fmt: skip
    Console().print(table)


def show_entry(entry: dict[str, Any]) -> None:
    """One candidate with all its evaluations."""
    console = Console()
    console.print(f"[bold]{entry['entry']}[/]")
    console.print(Text(entry["template"]))
    for number, demo in enumerate(entry.get("demos", ()), 1):
        console.print(Text(f"example {number} ({demo['row_id']}): {demo['fields']} -> {demo['label']!r}"))
    if entry["label_words"]:
        console.print(Text(f"label words: {entry['label_words']}"))
    console.print(f"settings: {_settings(entry['settings'])}")
    table = Table(show_edge=False)
    for name in ("run", "split", "rung", "fold", "repeat", "status", "loss", "accuracy", "n", "seconds"):
        table.add_column(name)
    for row in entry["evaluations"]:
        score = row["score"] or {}
        table.add_row(
            row["run"], row["split"], str(row["rung"]), str(row["fold"]), str(row["repeat"]), row["status"],
            f"{score['loss']:.4f}" if score else "", _value(score, 3),
            str(score.get("n", "")), f"{row['seconds']:.1f}",
        )  # fmt: skip
    console.print(table)


def show_comparison(comparison: dict[str, Any]) -> None:
    """Two entries side by side, and how sure their difference is."""
    console = Console()
    console.print(f"{comparison['n']} {comparison['split']} rows that both have on rung {comparison['rung']}")
    table = _table("entry", "loss", comparison["metric"], fold=())
    for entry, loss, value in zip(comparison["entries"], comparison["loss"], comparison["values"], strict=True):
        spread = f" (sd {value['deviation']:.3f} over {value['folds']} folds and repeats)" if value["folds"] > 1 else ""
        table.add_row(entry[:8], f"{loss:.4f}", f"{value['mean']:.3f}{spread}")
    console.print(table)
    difference = comparison["difference"]
    console.print(
        f"first - second: {difference['mean']:+.4f} of loss (95 % interval {difference['low']:+.4f} to "
        f"{difference['high']:+.4f}); the first is better in {100 * comparison['p_first_better']:.1f} % of resamples"
    )


def evaluation_dict(record: EvaluationRecord) -> dict[str, Any]:
    """An evaluation as JSON, without the candidate."""
    names = ("run", "role", "split", "rung", "fold", "repeat", "status", "reason", "readability", "seconds", "tokens",
             "predictions", "row_ids", "losses")  # fmt: skip
    return {name: getattr(record, name) for name in names} | {"score": record.score.to_dict() if record.score else None}


def show_artifacts(rows: Sequence[dict[str, Any]]) -> None:
    """Embedded models or corpora."""
    table = Table(show_edge=False)
    for name in ("name", "pulled", "licence", "description"):
        table.add_column(name, overflow="fold")
    for row in rows:
        texts = (row["name"], "yes" if row["pulled"] else "no", row["licence"], row["description"])
        table.add_row(*map(Text, texts))
    Console().print(table)


def show_card(card: dict[str, Any]) -> None:
    """A corpus's card, without what its kind does not have."""
    console = Console()
    for name, value in ((name, value) for name, value in card.items() if value):
        console.print(Text(f"{name}: {value!r}" if name == "template" else f"{name}: {value}"))


def _table(*columns: str, fold: Sequence[str]) -> Table:
    """Columns that keep to one line, but for those in ``fold``."""
    table = Table(show_edge=False, box=box.SIMPLE_HEAD)
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name not in fold, justify="left")
    return table


def _prompt(row: dict[str, Any], note: str = "") -> Text:
    """Template and label words as one text."""
    words = f"  {'/'.join(row['label_words'].values())}" if row["label_words"] else ""
    return Text.assemble(repr(row["template"])[1:-1], (words + note, "dim"))


def _settings(settings: dict[str, Any]) -> str:
    """``tail lr 5e-04 batch 8 epochs 8 rank 8``."""
    short = {"learning_rate": "lr", "batch_size": "batch"}
    numbers = [f"{short.get(k, k)} {v:.0e}" if isinstance(v, float) else f"{short.get(k, k)} {v}"
               for k, v in settings.items() if k != "tuning"]  # fmt: skip
    return " ".join([settings["tuning"], *numbers])


def _judged(score: dict[str, Any] | None) -> str:
    """What a person reads of a score: accuracy, or the metric of written texts."""
    return "accuracy" if not score or score["metric"] in METRICS else score["metric"]


def _read(score: dict[str, Any] | None) -> float | None:
    """Its value; None where texts have a likelihood alone, which stands as the loss."""
    if not score or score["metric"] == "loss":
        return None
    value: float | None = score["accuracy" if _judged(score) == "accuracy" else "value"]
    return value


def _percent(score: dict[str, Any] | None, name: str = "") -> str:
    value = _read(score)
    return "-" if score is None or value is None else f"{100 * value:.1f} %{name} (n={score['n']})"


def _value(score: dict[str, Any] | None, digits: int) -> str:
    """``0.94``, or ``0.41 rougeL``."""
    value = _read(score)
    if value is None:
        return ""
    return f"{value:.{digits}f}" + ("" if _judged(score) == "accuracy" else f" {_judged(score)}")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
