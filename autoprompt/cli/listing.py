"""The printed list of leaderboard entries: one table per group of entries judged on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from rich.text import Text

from autoprompt.cli import cells
from autoprompt.cli.cells import WIDE, Column
from autoprompt.leaderboard import Entry, Group
from autoprompt.terminal import Console, plain

UNDER = "└"
"""Marks a refined entry, under its parent."""


def show_entries(
    entries: Sequence[Entry],
    limit: int,
    groups: Sequence[Group] = (),
    total: int = 0,
) -> None:
    """Print at most ``limit`` of the entries.

    ``groups``: those of the entries; ``total``: number of entries, with those that are not given.
    """
    console = Console()
    if not entries:
        console.print("No entries.")
        return
    shown = entries[:limit]
    known = {group.group: group for group in groups}
    several = len({entry.run.id for entry in entries}) > 1
    rows = [entry.row for entry in shown]
    common, own = cells.split_settings(rows)
    if common:
        console.print(plain(f"settings{' of all' if any(own) else ''}: {common}"))
    words = cells.print_words(console, rows)
    settings = dict(zip(map(id, shown), own, strict=True))
    place = _places(shown)
    for number, found in groupby(shown, lambda entry: place[id(entry)]):
        part = list(found)
        if number or any(own) or common or words:
            console.print()
        if part[0].row.group in known:
            console.print(plain(group_line(known[part[0].row.group]), "bold"))
        _print_group(console, part, [settings[id(entry)] for entry in part], named=several, words=not words)
    _explain(console, shown, max(total, len(entries)) - len(shown), hidden=any(own))


def group_line(group: Group) -> str:
    """Return the line above a group's table.

    ``reviews.csv (data 1f2e3d4c), rung 2: evaluated on 64 rows; test rows of this data used by 5 evaluations``.
    """
    corpora = ", ".join(group.corpora[:2]) + (", ..." if len(group.corpora) > 2 else "")
    judged = f"evaluated on {group.n} rows" if group.n else "evaluated on no rows"
    kind = f", {group.status}" if group.status != "complete" else ""
    kind += ", refined" if group.refined else ""
    line = f"{corpora} (data {group.fingerprint[:8]}), rung {group.rung}{kind}: {judged}"
    if group.refined:  # judged on the parents' validation rows; the test rows are the parents', too
        return line
    count = group.test_evaluations
    return f"{line}; test rows of this data used by {count} evaluation{'' if count == 1 else 's'}"


def _places(entries: Sequence[Entry]) -> dict[int, int]:
    """Return ``id`` of entry -> number of its table; a refined entry is in the table of its parent."""
    places: dict[int, int] = {}
    number, last = -1, None
    for entry in entries:
        if not entry.depth and entry.row.group != last:
            number, last = number + 1, entry.row.group
        places[id(entry)] = number
    return places


def _print_group(console: Console, entries: Sequence[Entry], own: Sequence[str], *, named: bool, words: bool) -> None:
    tops = [entry.row.validation for entry in entries if not entry.depth]
    metric = cells.metric_column(tops)
    columns = [
        Column(""), Column("entry"), Column("run", most=14), Column("rung", right=True), Column("error", right=True),
        Column("loss", right=True), Column("acc", right=True), metric, Column("n", right=True),
        Column("prompt", wraps=True), Column("settings", WIDE, wraps=True),
    ]  # fmt: skip
    rows: list[Mapping[str, str | Text]] = []
    for entry, settings in zip(entries, own, strict=True):
        row, score = entry.row, entry.row.validation
        name: dict[str, str | Text] = {"entry": row.entry[:8], "run": (entry.run.name or entry.run.id) if named else ""}
        if entry.depth:  # judged on other rows than the group: the verdict holds its numbers
            rows.append(name | {"": "  " * (entry.depth - 1) + UNDER, "prompt": plain(entry.verdict or "refined")})
            continue
        role = "" if row.role in ("search", "finalist") else f" ({row.role})"
        role += f" ({row.reason})" if score and row.reason else ""
        role += f" ({entry.verdict})" if entry.verdict else ""
        rows.append(name | {
            "": "*" if entry.wins else "",
            "rung": str(row.rung),
            "error": f"{row.estimate.error:.3f}" if row.estimate else "",
            "loss": f"{score.loss:.3f}" if score else row.status,
            "acc": cells.accuracy(score),
            metric.name: cells.metric_cell(score, metric),
            "n": str(score.n) if score else "",
            "prompt": cells.prompt(row, words=words, note=role),
            "settings": settings,
        })  # fmt: skip
    cells.print_table(console, columns, rows, "entry")


def _explain(console: Console, shown: Sequence[Entry], more: int, *, hidden: bool) -> None:
    """Print what the marks in the tables mean, and what was left out."""
    if console.width < WIDE and hidden:
        console.print("Settings that differ: see `autoprompt leaderboard show ENTRY`, or a wider terminal.")
    if len({entry.row.group for entry in shown}) > 1:
        console.print(
            "Compare losses only within a group; `autoprompt leaderboard compare` uses the rows that two entries share."
        )
    if any(entry.row.estimate for entry in shown):
        console.print("error: the estimated share of wrong answers, which orders entries and chose the winners")
    if any(entry.wins for entry in shown):
        console.print("* the winner of its run: of what a test cannot tell from the best, the shortest template")
    if more > 0:
        console.print(f"{more} more; use --limit or --json.")
