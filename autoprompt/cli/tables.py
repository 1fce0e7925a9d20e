"""What people see of results: tables, and the lines around them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from autoprompt.metrics import METRICS
from autoprompt.progress import clock


def show_result(result: dict[str, Any], leaderboard: Path) -> None:
    """The end of a search: the winner beside the baselines, and what to do next."""
    console = Console()
    best = result["best"]
    console.print(
        f"\n[bold]{escape(result['corpus'])}[/] with {escape(result['model'])}: {result['evaluations']} fine-tunes and "
        f"{result['frozen']} frozen scores in {clock(result['seconds'])}, run {result['run']}"
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
