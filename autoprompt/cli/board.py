"""The commands that keep and read a leaderboard: list, runs, show, compare, merge, backup, and export."""

from __future__ import annotations

from pathlib import Path

import click

from autoprompt.cli.options import DefaultGroup, json_option, leaderboard_option, print_json


@click.group(cls=DefaultGroup)
def leaderboard() -> None:
    """What searches found: list (the default, whose options need no name), runs, show, compare, merge, backup."""


@leaderboard.command("list")
@click.option("--run", "run_name", metavar="RUN", help="Only this run (id or name).")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Rows to show (not with --json).")
@leaderboard_option
@json_option
def leaderboard_list(run_name: str | None, limit: int, leaderboard_file: Path, as_json: bool) -> None:
    """The entries, best first: one row a candidate and run at its highest rung."""
    from dataclasses import asdict

    from autoprompt.cli.tables import show_entries
    from autoprompt.leaderboard import Leaderboard

    with Leaderboard.open(leaderboard_file, read_only=True) as board:
        entries = board.entries(board.run(run_name).id if run_name else None)
        runs = board.runs()
    winners = {(run.id, run.winner) for run in runs}
    rows = [entry.to_dict() | {"winner": (entry.run, entry.entry) in winners} for entry in entries]
    if as_json:
        print_json({"entries": rows})
    else:
        show_entries(rows, limit, [asdict(run) for run in runs])


@leaderboard.command("runs")
@leaderboard_option
@json_option
def leaderboard_runs(leaderboard_file: Path, as_json: bool) -> None:
    """The runs, newest first; an interrupted one has lost its driver, and can be resumed like a stopped one."""
    from dataclasses import asdict

    from autoprompt.cli.tables import show_runs
    from autoprompt.leaderboard import Leaderboard, is_held

    with Leaderboard.open(leaderboard_file, read_only=True) as board:
        runs = [asdict(run) for run in board.runs()]
    for run in runs:
        if run["status"] == "running" and not is_held(leaderboard_file, run["id"]):
            run["status"] = "interrupted"
    if as_json:
        print_json({"runs": runs})
    else:
        show_runs(runs)


@leaderboard.command("show")
@click.argument("entry")
@leaderboard_option
@json_option
def leaderboard_show(entry: str, leaderboard_file: Path, as_json: bool) -> None:
    """All evaluations of one ENTRY (8 characters or more of its id)."""
    from autoprompt.cli.tables import show_entry
    from autoprompt.leaderboard import Leaderboard

    with Leaderboard.open(leaderboard_file, read_only=True) as board:
        evaluations = board.entry(entry)
    shown = {
        "entry": evaluations[0].entry,
        **evaluations[0].candidate.to_dict(),
        "evaluations": [e.to_dict() for e in evaluations],
    }
    if as_json:
        print_json(shown)
    else:
        show_entry(shown)


@leaderboard.command("compare")
@click.argument("first", metavar="ENTRY")
@click.argument("second", metavar="ENTRY")
@click.option("--split", type=click.Choice(("validation", "test")), default="validation", show_default=True)
@leaderboard_option
@json_option
def leaderboard_compare(first: str, second: str, split: str, leaderboard_file: Path, as_json: bool) -> None:
    """Two entries over the rows that both were judged on, with a paired bootstrap (8 characters or more of each id)."""
    from autoprompt.cli.tables import show_comparison
    from autoprompt.leaderboard import Leaderboard, compare_entries

    with Leaderboard.open(leaderboard_file, read_only=True) as board:
        comparison = compare_entries(board, first, second, split).to_dict()
    if as_json:
        print_json(comparison)
    else:
        show_comparison(comparison)


@leaderboard.command("merge")
@click.argument("other", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@leaderboard_option
@json_option
def leaderboard_merge(other: Path, leaderboard_file: Path, as_json: bool) -> None:
    """Take the runs of another leaderboard FILE into this one, which is made if there is none; FILE stays as it is."""
    from autoprompt.leaderboard import Leaderboard, merge

    with Leaderboard.open(other, read_only=True) as theirs, Leaderboard.open(leaderboard_file) as board:
        merged = merge(board, theirs)
    if as_json:
        print_json(merged.to_dict())
        return
    for conflict in merged.conflicts:
        click.echo(f"Conflict: {conflict}.", err=True)
    click.echo(
        f"{len(merged.added)} runs added, {len(merged.extended)} extended, {len(merged.known)} known; "
        f"{merged.evaluations} evaluations, {len(merged.conflicts)} conflicts.",
        err=True,
    )


@leaderboard.command("backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@leaderboard_option
def leaderboard_backup(file: Path, leaderboard_file: Path) -> None:
    """Copy the leaderboard into a new FILE, whole, also while a search writes to it."""
    from autoprompt.leaderboard import Leaderboard

    with Leaderboard.open(leaderboard_file, read_only=True) as board:
        board.back_up(file)
    click.echo(f"Wrote {file}.", err=True)


@click.command()
@click.argument("entry")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="best.json or best.py")
@leaderboard_option
def export(entry: str, out: Path, leaderboard_file: Path) -> None:
    """Write ENTRY as a file that other programs import: best.json, or best.py without any dependency."""
    from autoprompt.export import save
    from autoprompt.leaderboard import Leaderboard
    from autoprompt.run import prompt_of

    with Leaderboard.open(leaderboard_file, read_only=True) as board:
        prompt = prompt_of(board, entry)
    save(prompt, out)
    click.echo(f"Wrote {out}.", err=True)
