"""Printed results of the commands: tables, and the lines around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from autoprompt.cli import cells
from autoprompt.cli.cells import NARROW, WIDE, Column
from autoprompt.leaderboard import refined
from autoprompt.metrics import FEW, stated_interval, verdict
from autoprompt.stage_times import clock
from autoprompt.terminal import command_line, visible
from autoprompt.terminal.console import Console, plain


def show_result(result: dict[str, Any], leaderboard: Path) -> None:
    """Print the result of a search: the winner, the baselines, and what to do next."""
    console = Console()
    best = result["best"]
    console.print()
    console.print(
        plain(result["corpus"], "bold")
        + plain(
            f" with {result['model']}: {result['evaluations']} fine-tunes and {result['frozen']} frozen scores in "
            f"{clock(result['seconds'])}, run {result['run']}"
        )
    )
    rows = {"winner": best} | {name: row for name, row in result["baselines"].items() if row}
    _print_result_table(console, rows)
    cells.print_words(console, list(rows.values()))
    spread = result.get("spread")
    if spread:
        console.print(
            plain(
                f"winner over {len(spread['values'])} folds and repeats: {spread['metric']} {spread['mean']:.3f} "
                f"± {spread['deviation']:.3f}"
            )
        )
    for text in result.get("left_out", ()):
        console.print(plain(f"Note: {text}"))
    console.print(plain(result.get("verdict") or verdict(result)))
    console.print(plain(f"winner's settings: {cells.settings_text(best['settings'])}"))
    _print_next(console, result, leaderboard)


def _print_next(console: Console, result: Mapping[str, Any], leaderboard: Path) -> None:
    """Print the commands to run next, each on one line, so that it can be copied."""
    weights = ["--with-weights"] if result.get("weights") else []
    best = result["best"]["entry"][:12]
    console.print("\nNext:")
    for line in (
        command_line("report", result["run"], options=["--out", "report"], leaderboard=leaderboard),
        command_line("export", best, options=["--out", "best.py"], leaderboard=leaderboard),
        command_line("export", best, options=["--out", "best.json", *weights], leaderboard=leaderboard),
        'autoprompt predict best.json "a text of yours"',
    ):
        console.print(plain(f"  {line}"), soft_wrap=True)


def _points(found: Mapping[str, Any], test: Mapping[str, Any]) -> str:
    """Return a difference as ``+3.5 points of accuracy (95 % interval -0.2 to +7.2)``."""
    ends = stated_interval(found, test["n"])
    within = "too few rows for an interval" if ends is None else "95 % interval {:+.1f} to {:+.1f}".format(
        *(100 * end for end in ends)
    )  # fmt: skip
    return f"{100 * found['value']:+.1f} points of {found['metric']} ({within})"


def _print_result_table(console: Console, rows: Mapping[str, Mapping[str, Any]]) -> None:
    tests = [row["test"] for row in rows.values()]
    counted = {test["n"] for test in tests if test}
    n = f"n={counted.pop()}" if len(counted) == 1 else ""
    own_words = not cells.common_words(list(rows.values()))
    judged = cells.metric_column(tests)
    labels = all(cells.is_label(test) for test in tests)
    loss = "validation\nloss (n)"
    accuracy = Column(f"test {n}\naccuracy", right=True)
    # Without accuracy, the metric's header holds the number of rows.
    metric = judged._replace(name=f"test {'' if labels else n}\n{judged.name}")
    columns = [Column(""), accuracy, metric, Column(loss, right=True), Column("prompt", wraps=True)]
    lines: list[dict[str, str | Text]] = []
    for name, row in rows.items():
        score = row["validation"]
        lines.append({
            "": Text(name, style="bold" if name == "winner" else ""),
            accuracy.name: cells.percent(row["test"]),
            metric.name: cells.metric_cell(row["test"], judged),
            loss: f"{score['loss']:.3f} ({score['n']})",
            "prompt": cells.prompt(row, words=own_words),
        })  # fmt: skip
    cells.print_table(console, columns, lines)


def show_evaluation(result: dict[str, Any]) -> None:
    """Print one candidate's metrics."""
    console = Console()
    console.print(
        plain(f"{result['split']} rows: {result['n']}, tuning: {result['tuning']}, {result['seconds']:.1f} s")
    )
    table = Table(show_header=False, show_edge=False)
    for name, value in result["metrics"].items():
        table.add_row(plain(name), f"{value:.4f}")
    console.print(table)


def show_transfer(result: dict[str, Any]) -> None:
    """Print another run's prompt and the tuned manual prompt."""
    console = Console()
    source, found = result["transfer"], result["difference"]
    console.print()
    console.print(
        plain(f"entry {source['entry'][:12]} of ")
        + plain(source["corpus"], "bold")
        + plain(f" with {source['model']}, here on {result['corpus']} with {result['model']}, run {result['run']}")
    )
    _print_result_table(console, {"entry": result["best"], "manual_tuned": result["baselines"]["manual_tuned"]})
    if found:
        test = result["best"]["test"] or result["best"]["validation"]
        console.print(plain(f"entry - manual_tuned on the {source['split']} rows: {_points(found, test)}"))


def show_refinement(result: dict[str, Any]) -> None:
    """Print an entry's scores before and after it was refined, and whether the result was kept."""
    console = Console()
    told = result["refine"]
    rows, found = told["rows"], told["difference"]
    metric = told["validation"]["before"]["metric"]
    table = Table("rows (n)", "loss before", "after", visible(f"{metric} before"), "after", show_edge=False)
    for name, label in (("validation", "old validation"), ("new", "new, unseen")):
        before, after = told[name]["before"], told[name]["after"]
        if before is not None:
            numbers = [f"{score[value]:.3f}" for value in ("loss", "value") for score in (before, after)]
            table.add_row(f"{label} ({before['n']})", *numbers)
    console.print(table)
    ends = stated_interval(found | {"n": rows["judged"]}, rows["judged"])
    within = "too few rows for an interval" if ends is None else "95 % interval {:+.3f} to {:+.3f}".format(*ends)
    console.print(f"after - before over {rows['judged']} rows: {found['loss']:+.3f} nats ({within})")
    console.print(plain(str(refined.refinement_verdict(told))))
    parent = f"entry {told['entry'][:12]}, trained on {rows['old']} rows"
    if not told["kept"]:
        why = "its loss rose on both old and new rows" if refined.worse_on_both(told) else "it got worse"
        console.print(plain(f"Not kept: {parent}; with {rows['new']} more {why}, so it stays as it is."))
        return
    console.print(
        plain("New ")
        + plain(f"entry {result['best']['entry'][:12]}", "bold")
        + plain(f" of run {result['run']}: {parent} and {rows['new']} new ones, in {result['seconds']:.1f} s")
    )


def show_verification(result: dict[str, Any]) -> None:
    """Print each evaluation, then and now, and the verdict."""
    console = Console()
    table = Table("split", "rung", "fold", "repeat", "loss then", "loss now", "flipped", show_edge=False)
    for row in result["evaluations"]:
        again = "none" if row["again"] is None else f"{row['again']:.6f}"
        place = [str(row[name]) for name in ("split", "rung", "fold", "repeat")]
        table.add_row(*place, f"{row['loss']:.6f}", again, f"{row['flipped']} of {row['n']}")
    console.print(table)
    _print_changes(console, result)
    console.print(
        plain(f"entry {result['entry'][:12]} of run {result['run']}: ")
        + plain(result["verdict"], "bold")
        + plain(f", {result['flipped']} of {result['n']} predictions flipped")
    )


def show_run_verification(result: dict[str, Any]) -> None:
    """Print the entries that are not exact, and the verdict over all."""
    console = Console()
    entries = result["entries"]
    others = [entry for entry in entries if entry["verdict"] != "exact"]
    if others:
        table = Table("entry", "verdict", "flipped", show_edge=False)
        for entry in others:
            table.add_row(plain(entry["entry"][:12]), entry["verdict"], f"{entry['flipped']} of {entry['n']}")
        console.print(table)
    _print_changes(console, result)
    console.print(
        plain(f"run {result['run']}: ")
        + plain(result["verdict"], "bold")
        + plain(
            f", {len(entries) - len(others)} of {len(entries)} entries exact, {result['flipped']} of {result['n']} "
            "predictions flipped"
        )
    )


def _print_changes(console: Console, result: Mapping[str, Any]) -> None:
    for change in result["changed"]:
        console.print(plain(f"Since then, {change}."))


def show_runs(runs: Sequence[dict[str, Any]]) -> None:
    """Print a table of runs."""
    console = Console()
    columns = [
        Column("run"), Column("name", most=24), Column("corpus", most=24), Column("model", WIDE, most=24),
        Column("strategy", WIDE), Column("seed", WIDE, right=True), Column("status", NARROW), Column("started", NARROW),
        Column("test", wraps=True),
    ]  # fmt: skip
    rows: list[dict[str, str | Text]] = []
    for run in runs:
        test = ((run["result"] or {}).get("best") or {}).get("test")
        started = run["started"].replace("T", " ")
        rows.append({
            "run": run["id"], "name": run["name"] or "", "corpus": run["corpus"],
            "model": run["model"], "strategy": run["strategy"], "seed": str(run["seed"]),
            "status": run["status"], "started": started[: 16 if console.width >= WIDE else 10],
            "test": cells.test_text(test),
        })  # fmt: skip
    cells.print_table(console, columns, rows)


def show_entry(entry: dict[str, Any]) -> None:
    """Print one candidate with all its evaluations."""
    console = Console()
    console.print(plain(entry["entry"], "bold"))
    console.print(plain(repr(entry["template"])[1:-1]))
    for number, demo in enumerate(entry.get("demos", ()), 1):
        console.print(plain(f"example {number} ({demo['row_id']}): {demo['fields']} -> {demo['label']!r}"))
    if entry["label_words"]:
        console.print(plain(f"label words: {entry['label_words']}"))
    console.print(plain(f"settings: {cells.settings_text(entry['settings'])}"))
    for said in entry.get("verdicts", ()):
        console.print(plain(said))
    found = entry["evaluations"]
    runs = dict.fromkeys(row["run"] for row in found)
    if len(runs) == 1:
        console.print(plain(f"run: {next(iter(runs))}"))
    metric = cells.metric_column([row["score"] for row in found])
    columns = [
        Column("run", most=12), Column("split"), Column("rung", right=True), Column("fold", NARROW, right=True),
        Column("repeat", NARROW, right=True), Column("status", NARROW), Column("loss", right=True),
        Column("acc", right=True), metric, Column("n", right=True), Column("seconds", NARROW, right=True),
    ]  # fmt: skip
    rows: list[dict[str, str | Text]] = []
    for row in found:
        score = row["score"] or {}
        rows.append({
            "run": row["run"] if len(runs) > 1 else "", "split": row["split"], "rung": str(row["rung"]),
            "fold": str(row["fold"]), "repeat": str(row["repeat"]), "status": row["status"],
            "loss": f"{score['loss']:.4f}" if score else "", "acc": cells.accuracy(score, 3),
            metric.name: cells.metric_cell(score, metric), "n": str(score.get("n", "")),
            "seconds": f"{row['seconds']:.1f}",
        })  # fmt: skip
    cells.print_table(console, columns, rows)


def show_comparison(comparison: dict[str, Any]) -> None:
    """Print two entries side by side, and their difference with its interval."""
    console = Console()
    n = comparison["n"]
    console.print(plain(f"{n} {comparison['split']} rows that both have on rung {comparison['rung']}"))
    reported = comparison.get("reported") or {"metric": "", "values": [None, None]}
    columns = [Column("entry"), Column("loss"), Column(comparison["metric"], wraps=True)]
    columns += [Column(reported["metric"], wraps=True)] if reported["metric"] else []
    sides = zip(comparison["entries"], comparison["loss"], comparison["values"], reported["values"], strict=True)
    rows: list[dict[str, str | Text]] = [
        {"entry": entry[:8], "loss": f"{loss:.4f}", comparison["metric"]: _mean(value), reported["metric"]: _mean(more)}
        for entry, loss, value, more in sides
    ]
    cells.print_table(console, columns, rows)
    difference = comparison["difference"]
    said = f"first - second: {difference['mean']:+.4f} of loss"
    ends = stated_interval(difference | {"n": n}, n)
    said += " (95 % interval {:+.4f} to {:+.4f})".format(*ends) if ends else " (too few rows for an interval)"
    if n >= FEW:
        said += f"; the first is better in {100 * comparison['p_first_better']:.1f} % of resamples"
    console.print(said)


def _mean(value: Mapping[str, Any] | None) -> str:
    if not value:
        return ""
    spread = f" (sd {value['deviation']:.3f} over {value['folds']} folds and repeats)" if value["folds"] > 1 else ""
    return f"{value['mean']:.3f}{spread}"


def show_artifacts(rows: Sequence[dict[str, Any]]) -> None:
    """Print a table of embedded models or corpora."""
    table = Table(show_edge=False)
    for name in ("name", "pulled", "licence", "description"):
        table.add_column(name, overflow="fold")
    for row in rows:
        texts = (row["name"], "yes" if row["pulled"] else "no", row["licence"], row["description"])
        table.add_row(*map(plain, texts))
    Console().print(table)


def show_card(card: dict[str, Any]) -> None:
    """Print a corpus card without its empty fields."""
    console = Console()
    for name, value in ((name, value) for name, value in card.items() if value):
        console.print(plain(f"{name}: {value!r}" if name == "template" else f"{name}: {value}"))
