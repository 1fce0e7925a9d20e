"""What people see of results: tables, and the lines around them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from autoprompt.cli import cells
from autoprompt.cli.cells import NARROW, WIDE, Column
from autoprompt.metrics import verdict
from autoprompt.stage_times import clock

DEFAULT_LEADERBOARD = Path("autoprompt.sqlite")


def show_result(result: dict[str, Any], leaderboard: Path) -> None:
    """The end of a search: the winner beside the baselines, and what to do next."""
    console = Console()
    best = result["best"]
    console.print(
        f"\n[bold]{escape(result['corpus'])}[/] with {escape(result['model'])}: {result['evaluations']} fine-tunes and "
        f"{result['frozen']} frozen scores in {clock(result['seconds'])}, run {result['run']}"
    )
    rows = {"winner": best} | {name: row for name, row in result["baselines"].items() if row}
    _print_result_table(console, rows)
    _print_words(console, list(rows.values()))
    spread = result.get("spread")
    if spread:
        console.print(
            f"winner over {len(spread['values'])} folds and repeats: {spread['metric']} {spread['mean']:.3f} "
            f"± {spread['deviation']:.3f}"
        )
    for text in result.get("left_out", ()):
        console.print(f"Note: {text}", markup=False)
    console.print(result.get("verdict") or verdict(result), markup=False, highlight=False)
    console.print(f"winner's settings: {cells.settings_text(best['settings'])}")
    _print_next(console, result, leaderboard)


def _print_next(console: Console, result: Mapping[str, Any], leaderboard: Path) -> None:
    """What to do with a result. Never broken by us, so that it can be copied."""
    where = "" if leaderboard == DEFAULT_LEADERBOARD else f" --leaderboard {shlex.quote(str(leaderboard))}"
    weights = " --with-weights" if result.get("weights") else ""
    best = result["best"]["entry"][:12]
    console.print("\nNext:")
    for line in (
        f"autoprompt report {result['run']} --out report{where}",
        f"autoprompt export {best} --out best.py{where}",
        f"autoprompt export {best} --out best.json{weights}{where}",
        'autoprompt predict best.json "a text of yours"',
    ):
        console.print(f"  {line}", markup=False, soft_wrap=True, emoji=False, highlight=False)


def _print_result_table(console: Console, rows: Mapping[str, Mapping[str, Any]]) -> None:
    tests = [row["test"] for row in rows.values()]
    counted = {test["n"] for test in tests if test}
    n = f"n={counted.pop()}" if len(counted) == 1 else ""
    own_words = not cells.common_words(list(rows.values()))
    judged = cells.metric_column(tests)
    labels = all(cells.is_label(test) for test in tests)
    loss = "validation\nloss (n)"
    accuracy = Column(f"test {n}\naccuracy", right=True)
    # Where there is no accuracy, the metric's column says on how many rows.
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
    """One candidate's metrics."""
    console = Console()
    console.print(f"{result['split']} rows: {result['n']}, tuning: {result['tuning']}, {result['seconds']:.1f} s")
    table = Table(show_header=False, show_edge=False)
    for name, value in result["metrics"].items():
        table.add_row(name, f"{value:.4f}")
    console.print(table)


def show_transfer(result: dict[str, Any]) -> None:
    """Another run's prompt beside the tuned manual one."""
    console = Console()
    source, found = result["transfer"], result["difference"]
    console.print(
        f"\nentry {source['entry'][:12]} of [bold]{escape(source['corpus'])}[/] with {escape(source['model'])}, here "
        f"on {escape(result['corpus'])} with {escape(result['model'])}, run {result['run']}"
    )
    _print_result_table(console, {"entry": result["best"], "manual_tuned": result["baselines"]["manual_tuned"]})
    if found:
        console.print(
            f"entry - manual_tuned on the {source['split']} rows: {100 * found['value']:+.1f} points of "
            f"{found['metric']} (95 % interval {100 * found['low']:+.1f} to {100 * found['high']:+.1f})"
        )


def show_refinement(result: dict[str, Any]) -> None:
    """An entry before and after it was trained on, and whether that was kept."""
    console = Console()
    told = result["refine"]
    rows, found = told["rows"], told["difference"]
    metric = told["validation"]["before"]["metric"]
    table = Table("rows (n)", "loss before", "after", f"{metric} before", "after", show_edge=False)
    for name, label in (("validation", "old validation"), ("new", "new, unseen")):
        before, after = told[name]["before"], told[name]["after"]
        if before is not None:
            numbers = [f"{score[value]:.3f}" for value in ("loss", "value") for score in (before, after)]
            table.add_row(f"{label} ({before['n']})", *numbers)
    console.print(table)
    console.print(
        f"after - before over {rows['judged']} rows: {found['loss']:+.3f} nats (95 % interval {found['low']:+.3f} to "
        f"{found['high']:+.3f})"
    )
    parent = f"entry {told['entry'][:12]}, trained on {rows['old']} rows"
    if not told["kept"]:
        console.print(f"Not kept: {parent}, got worse with {rows['new']} more; it stays as it is.")
        return
    entry = result["best"]["entry"]
    console.print(
        f"New [bold]entry {entry[:12]}[/] of run {result['run']}: {parent} and {rows['new']} new ones, in "
        f"{result['seconds']:.1f} s"
    )


def show_verification(result: dict[str, Any]) -> None:
    """Each evaluation, then and now, and the verdict."""
    console = Console()
    table = Table("split", "rung", "fold", "repeat", "loss then", "loss now", "flipped", show_edge=False)
    for row in result["evaluations"]:
        again = "none" if row["again"] is None else f"{row['again']:.6f}"
        place = [str(row[name]) for name in ("split", "rung", "fold", "repeat")]
        table.add_row(*place, f"{row['loss']:.6f}", again, f"{row['flipped']} of {row['n']}")
    console.print(table)
    _print_changes(console, result)
    console.print(
        f"entry {result['entry'][:12]} of run {result['run']}: [bold]{result['verdict']}[/], {result['flipped']} of "
        f"{result['n']} predictions flipped"
    )


def show_run_verification(result: dict[str, Any]) -> None:
    """The entries that are not exact, and the verdict over all."""
    console = Console()
    entries = result["entries"]
    others = [entry for entry in entries if entry["verdict"] != "exact"]
    if others:
        table = Table("entry", "verdict", "flipped", show_edge=False)
        for entry in others:
            table.add_row(entry["entry"][:12], entry["verdict"], f"{entry['flipped']} of {entry['n']}")
        console.print(table)
    _print_changes(console, result)
    console.print(
        f"run {result['run']}: [bold]{result['verdict']}[/], {len(entries) - len(others)} of {len(entries)} entries "
        f"exact, {result['flipped']} of {result['n']} predictions flipped"
    )


def _print_changes(console: Console, result: Mapping[str, Any]) -> None:
    for change in result["changed"]:
        console.print(f"Since then, {escape(change)}.")


def show_entries(entries: Sequence[dict[str, Any]], limit: int, runs: Sequence[dict[str, Any]] = ()) -> None:
    """The leaderboard. ``runs``: those that the entries may be of."""
    console = Console()
    if not entries:
        console.print("No entries.")
        return
    shown = entries[:limit]
    corpora = {run["id"]: run["corpus"] for run in runs}
    names = {run["id"]: run["name"] or run["id"] for run in runs}
    several = len({entry["run"] for entry in entries}) > 1
    common, own = cells.split_settings(shown)
    if common:
        console.print(f"settings{' of all' if any(own) else ''}: {common}")
    words = _print_words(console, shown)
    metric = cells.metric_column([entry["validation"] for entry in shown])
    columns = [
        Column(""), Column("entry"), Column("run", most=14), Column("corpus", WIDE, most=20),
        Column("rung", NARROW, right=True), Column("loss", right=True), Column("acc", right=True), metric,
        Column("n", NARROW, right=True), Column("prompt", wraps=True), Column("settings", WIDE, wraps=True),
    ]  # fmt: skip
    rows: list[dict[str, str | Text]] = []
    for entry, settings in zip(shown, own, strict=True):
        score = entry["validation"]
        role = "" if entry["role"] in ("search", "finalist") else f" ({entry['role']})"
        role += f" ({entry['reason']})" if score and entry["reason"] else ""
        rows.append({
            "": "*" if entry.get("winner") else "",
            "entry": entry["entry"][:8],
            "run": Text(names.get(entry["run"], entry["run"])) if several else "",
            "corpus": Text(corpora.get(entry["run"], "")) if several else "",
            "rung": str(entry["rung"]),
            "loss": f"{score['loss']:.3f}" if score else entry["status"],
            "acc": cells.accuracy(score),
            metric.name: cells.metric_cell(score, metric),
            "n": str(score["n"]) if score else "",
            "prompt": cells.prompt(entry, words=not words, note=role),
            "settings": settings,
        })  # fmt: skip
    cells.print_table(console, columns, rows, "entry")
    _explain_entries(console, entries, limit, hidden=any(own), corpora=corpora if several else {}, names=names)


def _explain_entries(
    console: Console,
    entries: Sequence[dict[str, Any]],
    limit: int,
    *,
    hidden: bool,
    corpora: Mapping[str, str],
    names: Mapping[str, str],
) -> None:
    """What the table's marks mean, and what it had no room for."""
    shown = entries[:limit]
    if console.width < WIDE:
        for run in dict.fromkeys(entry["run"] for entry in shown if entry["run"] in corpora):
            console.print(Text(f"{names[run]}: {corpora[run]}"))
        if hidden:
            console.print("Settings that differ: see `autoprompt leaderboard show ENTRY`, or a wider terminal.")
    if any(entry.get("winner") for entry in shown):
        console.print("* the winner of its run: of what a test cannot tell from the lowest loss, the shortest template")
    if len(entries) > limit:
        console.print(f"{len(entries) - limit} more; use --limit or --json.")


def _print_words(console: Console, rows: Sequence[Mapping[str, Any]]) -> str:
    """The label words that all rows share."""
    words = cells.common_words(rows)
    if words:
        console.print(Text(f"label words: {words}"))
    return words


def show_runs(runs: Sequence[dict[str, Any]]) -> None:
    """All runs of a leaderboard."""
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
            "run": run["id"], "name": Text(run["name"] or ""), "corpus": Text(run["corpus"]),
            "model": Text(run["model"]), "strategy": run["strategy"], "seed": str(run["seed"]),
            "status": run["status"], "started": started[: 16 if console.width >= WIDE else 10],
            "test": cells.test_text(test),
        })  # fmt: skip
    cells.print_table(console, columns, rows)


def show_entry(entry: dict[str, Any]) -> None:
    """One candidate with all its evaluations."""
    console = Console()
    console.print(f"[bold]{entry['entry']}[/]")
    console.print(Text(entry["template"]))
    for number, demo in enumerate(entry.get("demos", ()), 1):
        console.print(Text(f"example {number} ({demo['row_id']}): {demo['fields']} -> {demo['label']!r}"))
    if entry["label_words"]:
        console.print(Text(f"label words: {entry['label_words']}"))
    console.print(f"settings: {cells.settings_text(entry['settings'])}")
    found = entry["evaluations"]
    runs = dict.fromkeys(row["run"] for row in found)
    if len(runs) == 1:
        console.print(Text(f"run: {next(iter(runs))}"))
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
            "run": Text(row["run"]) if len(runs) > 1 else "", "split": row["split"], "rung": str(row["rung"]),
            "fold": str(row["fold"]), "repeat": str(row["repeat"]), "status": row["status"],
            "loss": f"{score['loss']:.4f}" if score else "", "acc": cells.accuracy(score, 3),
            metric.name: cells.metric_cell(score, metric), "n": str(score.get("n", "")),
            "seconds": f"{row['seconds']:.1f}",
        })  # fmt: skip
    cells.print_table(console, columns, rows)


def show_comparison(comparison: dict[str, Any]) -> None:
    """Two entries side by side, and how sure their difference is."""
    console = Console()
    console.print(f"{comparison['n']} {comparison['split']} rows that both have on rung {comparison['rung']}")
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
    console.print(
        f"first - second: {difference['mean']:+.4f} of loss (95 % interval {difference['low']:+.4f} to "
        f"{difference['high']:+.4f}); the first is better in {100 * comparison['p_first_better']:.1f} % of resamples"
    )


def _mean(value: Mapping[str, Any] | None) -> str:
    if not value:
        return ""
    spread = f" (sd {value['deviation']:.3f} over {value['folds']} folds and repeats)" if value["folds"] > 1 else ""
    return f"{value['mean']:.3f}{spread}"


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
