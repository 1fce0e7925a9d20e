"""Printed results of the commands: tables, and the lines around them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from autoprompt.cli import cells
from autoprompt.cli.cells import NARROW, WIDE, Column
from autoprompt.corpus import Card
from autoprompt.leaderboard import EntryComparison, EvaluationRecord, MeanMetric, RunRecord
from autoprompt.metrics import FEW
from autoprompt.results import (
    Difference,
    EvaluationResult,
    Refinement,
    RunResult,
    RunVerification,
    ScoredPrompt,
    Transferred,
    Verification,
    WinnerVersion,
    refinement_verdict,
    verdict,
)
from autoprompt.stage_times import clock
from autoprompt.terminal import Console, command_line, plain, visible


def show_result(result: RunResult, leaderboard: Path) -> None:
    """Print the end of a search: the winner and the baselines, and what to do next."""
    console = Console()
    console.print()
    console.print(
        plain(result.corpus, "bold")
        + plain(
            f" with {result.model}: {result.evaluations} fine-tunes and {result.frozen} frozen scores in "
            f"{clock(result.seconds)}, run {result.run}"
        )
    )
    rows = {"winner": result.best} | dict(result.baselines)
    _print_result_table(console, rows)
    cells.print_words(console, [row for row in rows.values() if row])
    spread = result.spread
    if spread:
        console.print(
            plain(
                f"winner over {len(spread.values)} folds and repeats: {spread.metric} {spread.mean:.3f} "
                f"± {spread.deviation:.3f}"
            )
        )
    if result.best and result.best.estimate:
        console.print(plain(f"winner's estimated error: {result.best.estimate}"))
    if result.versions:
        console.print(plain("winner by the rows that it was trained on: " + "; ".join(_versions(result.versions))))
    for text in result.left_out:
        console.print(plain(f"Note: {text}"))
    console.print(plain(result.verdict or verdict(result)))
    if result.best:
        console.print(plain(f"winner's settings: {cells.settings_text(result.best.settings)}"))
        _print_next(console, result, result.best.entry[:12], leaderboard)


def _versions(versions: Mapping[str, WinnerVersion]) -> Iterator[str]:
    """``single (32 rows) 79.0 %``, and so on; the last is the winner as it is kept."""
    for name, one in versions.items():
        value = f" {cells.percent(one.test) or f'{one.test.value:.3f} {one.test.metric}'}" if one.test else ""
        yield f"{name} ({one.rows} rows){value}"


def _print_next(console: Console, result: RunResult, best: str, leaderboard: Path) -> None:
    """Print commands that use a result. Lines are not wrapped, so that they can be copied."""
    weights = ["--with-weights"] if result.weights else []
    console.print("\nNext:")
    for line in (
        command_line("report", str(result.run), options=["--out", "report"], leaderboard=leaderboard),
        command_line("export", best, options=["--out", "best.py"], leaderboard=leaderboard),
        command_line("export", best, options=["--out", "best.json", *weights], leaderboard=leaderboard),
        'autoprompt predict best.json "a text of yours"',
    ):
        console.print(plain(f"  {line}"), soft_wrap=True)


def _points(found: Difference) -> str:
    """Return ``+3.5 points of accuracy (95 % interval -0.2 to +7.2)``."""
    ends = found.ends
    within = "too few rows for an interval" if ends is None else "95 % interval {:+.1f} to {:+.1f}".format(
        *(100 * end for end in ends)
    )  # fmt: skip
    return f"{100 * found.value:+.1f} points of {found.metric} ({within})"


def _print_result_table(console: Console, prompts: Mapping[str, ScoredPrompt | None]) -> None:
    rows = {name: row for name, row in prompts.items() if row}
    tests = [row.test for row in rows.values()]
    counted = {test.n for test in tests if test}
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
        score = row.validation
        lines.append({
            "": Text(name, style="bold" if name == "winner" else ""),
            accuracy.name: cells.percent(row.test),
            metric.name: cells.metric_cell(row.test, judged),
            loss: f"{score.loss:.3f} ({score.n})" if score else "",
            "prompt": cells.prompt(row, words=own_words),
        })  # fmt: skip
    cells.print_table(console, columns, lines)


def show_evaluation(result: EvaluationResult) -> None:
    """Print one candidate's metrics."""
    console = Console()
    console.print(plain(f"{result.split} rows: {result.n}, tuning: {result.tuning}, {result.seconds:.1f} s"))
    table = Table(show_header=False, show_edge=False)
    for name, value in result.metrics.items():
        table.add_row(plain(name), f"{value:.4f}")
    console.print(table)


def show_transfer(result: RunResult) -> None:
    """Print another run's prompt and the tuned manual one."""
    console = Console()
    source, found = result.transfer or Transferred(), result.difference
    console.print()
    console.print(
        plain(f"entry {source.entry[:12]} of ")
        + plain(source.corpus, "bold")
        + plain(f" with {source.model}, here on {result.corpus} with {result.model}, run {result.run}")
    )
    _print_result_table(console, {"entry": result.best, "manual_tuned": result.baselines.get("manual_tuned")})
    if found:
        console.print(plain(f"entry - manual_tuned on the {source.split} rows: {_points(found)}"))


def show_refinement(result: RunResult) -> None:
    """Print an entry's scores before and after refining, and whether the new entry was kept."""
    console = Console()
    change = result.refine or Refinement()
    rows, found = change.rows, change.difference
    judged = change.validation.before or change.new.before
    metric = judged.metric if judged else "metric"
    table = Table("rows (n)", "loss before", "after", visible(f"{metric} before"), "after", show_edge=False)
    for part, label in ((change.validation, "old validation"), (change.new, "new, unseen")):
        before, after = part.before, part.after
        if before is not None and after is not None:
            numbers = [f"{value:.3f}" for value in (before.loss, after.loss, before.value, after.value)]
            table.add_row(f"{label} ({before.n})", *numbers)
    console.print(table)
    ends = found.ends
    within = "too few rows for an interval" if ends is None else "95 % interval {:+.3f} to {:+.3f}".format(*ends)
    console.print(f"after - before over {rows['judged']} rows: {found.loss:+.3f} nats ({within})")
    console.print(plain(str(refinement_verdict(change))))
    parent = f"entry {change.entry[:12]}, trained on {rows['old']} rows"
    if not change.kept or result.best is None:
        where = "both old and new rows" if change.validation.after else "the new rows"
        why = f"its loss rose on {where}" if change.worse_on_all else "it got worse"
        console.print(plain(f"Not kept: {parent}; with {rows['new']} more {why}, so it stays as it is."))
        return
    console.print(
        plain("New ")
        + plain(f"entry {result.best.entry[:12]}", "bold")
        + plain(f" of run {result.run}: {parent} and {rows['new']} new ones, in {result.seconds:.1f} s")
    )


def show_verification(result: Verification) -> None:
    """Print each evaluation, then and now, and the verdict."""
    console = Console()
    table = Table("split", "rung", "fold", "repeat", "loss then", "loss now", "flipped", show_edge=False)
    for row in result.evaluations:
        again = "none" if row.again is None else f"{row.again:.6f}"
        place = [str(value) for value in (row.split, row.rung, row.fold, row.repeat)]
        table.add_row(*place, f"{row.loss:.6f}", again, f"{row.flipped} of {row.n}")
    console.print(table)
    _print_changes(console, result.changed)
    console.print(
        plain(f"entry {result.entry[:12]} of run {result.run}: ")
        + plain(result.verdict, "bold")
        + plain(f", {result.flipped} of {result.n} predictions flipped")
    )


def show_run_verification(result: RunVerification) -> None:
    """Print the entries that are not exact, and the verdict over all."""
    console = Console()
    others = [entry for entry in result.entries if entry.verdict != "exact"]
    if others:
        table = Table("entry", "verdict", "flipped", show_edge=False)
        for entry in others:
            table.add_row(plain(entry.entry[:12]), entry.verdict, f"{entry.flipped} of {entry.n}")
        console.print(table)
    _print_changes(console, result.changed)
    console.print(
        plain(f"run {result.run}: ")
        + plain(result.verdict, "bold")
        + plain(
            f", {len(result.entries) - len(others)} of {len(result.entries)} entries exact, {result.flipped} of "
            f"{result.n} predictions flipped"
        )
    )


def _print_changes(console: Console, changed: Sequence[str]) -> None:
    for change in changed:
        console.print(plain(f"Since then, {change}."))


def show_runs(runs: Sequence[RunRecord]) -> None:
    """Print all runs of a leaderboard."""
    console = Console()
    columns = [
        Column("run"), Column("name", most=24), Column("corpus", most=24), Column("model", WIDE, most=24),
        Column("strategy", WIDE), Column("seed", WIDE, right=True), Column("status", NARROW), Column("started", NARROW),
        Column("test", wraps=True),
    ]  # fmt: skip
    rows: list[dict[str, str | Text]] = []
    for run in runs:
        best = run.result.best if run.result else None
        started = run.started.replace("T", " ")
        rows.append({
            "run": run.id, "name": run.name or "", "corpus": run.corpus,
            "model": run.model, "strategy": run.strategy, "seed": str(run.seed),
            "status": run.status, "started": started[: 16 if console.width >= WIDE else 10],
            "test": cells.test_text(best.test if best else None),
        })  # fmt: skip
    cells.print_table(console, columns, rows)


def show_entry(evaluations: Sequence[EvaluationRecord], verdicts: Sequence[str] = ()) -> None:
    """Print one candidate with all its evaluations. ``verdicts``: how refining changed it, in words."""
    console = Console()
    candidate = evaluations[0].candidate
    console.print(plain(evaluations[0].entry, "bold"))
    console.print(plain(repr(candidate.template.format())[1:-1]))
    for number, demo in enumerate(candidate.demos, 1):
        console.print(plain(f"example {number} ({demo.row_id}): {dict(demo.fields)} -> {demo.label!r}"))
    if candidate.label_words.pairs:
        console.print(plain(f"label words: {candidate.label_words.mapping()}"))
    console.print(plain(f"settings: {cells.settings_text(candidate.settings.to_dict())}"))
    for said in verdicts:
        console.print(plain(said))
    runs = dict.fromkeys(row.run for row in evaluations)
    if len(runs) == 1:
        console.print(plain(f"run: {next(iter(runs))}"))
    metric = cells.metric_column([row.score for row in evaluations])
    columns = [
        Column("run", most=12), Column("split"), Column("rung", right=True), Column("fold", NARROW, right=True),
        Column("repeat", NARROW, right=True), Column("status", NARROW), Column("loss", right=True),
        Column("acc", right=True), metric, Column("n", right=True), Column("seconds", NARROW, right=True),
        Column("reason", wraps=True),
    ]  # fmt: skip
    rows: list[dict[str, str | Text]] = []
    for row in evaluations:
        score = row.score
        rows.append({
            "run": row.run if len(runs) > 1 else "", "split": row.split, "rung": str(row.rung),
            "fold": str(row.fold), "repeat": str(row.repeat), "status": row.status,
            "loss": f"{score.loss:.4f}" if score else "", "acc": cells.accuracy(score, 3),
            metric.name: cells.metric_cell(score, metric), "n": str(score.n) if score else "",
            "seconds": f"{row.seconds:.1f}", "reason": row.reason or "",
        })  # fmt: skip
    cells.print_table(console, columns, rows)


def show_comparison(found: EntryComparison) -> None:
    """Print two entries, and how sure their difference is."""
    console = Console()
    console.print(plain(f"{found.n} {found.split} rows that both have on rung {found.rung}"))
    reported = found.reported.metric if found.reported else ""
    columns = [Column("entry"), Column("loss"), Column(found.metric, wraps=True)]
    columns += [Column(reported, wraps=True)] if reported else []
    more = found.reported.values if found.reported else (None, None)
    rows: list[dict[str, str | Text]] = [
        {"entry": entry[:8], "loss": f"{loss:.4f}", found.metric: _mean(value), reported: _mean(other)}
        for entry, loss, value, other in zip(found.entries, found.loss, found.values, more, strict=True)
    ]
    cells.print_table(console, columns, rows)
    said = f"first - second: {found.difference:+.4f} of loss"
    ends = found.interval
    said += " (95 % interval {:+.4f} to {:+.4f})".format(*ends) if ends else " (too few rows for an interval)"
    if found.n >= FEW:
        said += f"; the first is better in {100 * found.p_first_better:.1f} % of resamples"
    console.print(said)


def _mean(value: MeanMetric | None) -> str:
    if value is None:
        return ""
    spread = f" (sd {value.deviation:.3f} over {value.folds} folds and repeats)" if value.folds > 1 else ""
    return f"{value.mean:.3f}{spread}"


class ListedArtifact(NamedTuple):
    """An embedded model or corpus. ``pulled``: whether it is on this machine."""

    name: str
    description: str
    licence: str
    pulled: bool


def show_artifacts(rows: Sequence[ListedArtifact]) -> None:
    """Print a table of embedded models or corpora."""
    table = Table(show_edge=False)
    for name in ("name", "pulled", "licence", "description"):
        table.add_column(name, overflow="fold")
    for row in rows:
        texts = (row.name, "yes" if row.pulled else "no", row.licence, row.description)
        table.add_row(*map(plain, texts))
    Console().print(table)


def show_card(card: Card) -> None:
    """Print a corpus card without its empty fields."""
    console = Console()
    for name, value in ((name, value) for name, value in vars(card).items() if value):
        console.print(plain(f"{name}: {value!r}" if name == "template" else f"{name}: {value}"))
