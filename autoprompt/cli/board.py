"""The commands that keep and read a leaderboard: list, runs, show, compare, merge, backup, and export."""

from __future__ import annotations

from pathlib import Path

import click

from autoprompt.cli import complete
from autoprompt.cli.options import DefaultGroup, json_option, leaderboard_option, print_json
from autoprompt.cli.telling import say
from autoprompt.errors import UsageError


@click.group(cls=DefaultGroup, short_help="List, show, compare, merge and back up what was found.")
def leaderboard() -> None:
    """What searches found: list (the default, whose options need no name), runs, show, compare, merge, backup."""


@leaderboard.command("list")
@click.option("--run", "run_name", metavar="RUN", shell_complete=complete.runs, help="Only this run (id or name).")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Rows to show (not with --json).")
@leaderboard_option
@json_option
def leaderboard_list(run_name: str | None, limit: int, leaderboard_file: Path, as_json: bool) -> None:
    """The entries, best first within each group that was judged on the same rows of the same data; losses of
    different groups do not compare.

    One row a candidate and run at its highest rung: 0 is a score without training, 1 a short fine-tune, 2 a finalist's
    repeated ones; n counts the rows judged. A refined entry stands under its parent, with both losses.

    \b
    autoprompt leaderboard
    autoprompt leaderboard list --run reviews --limit 5
    """
    from dataclasses import asdict

    from autoprompt.cli.listing import show_entries
    from autoprompt.leaderboard import Leaderboard, groups_of, listed

    with Leaderboard.open(leaderboard_file, read_only=True) as board:
        entries = board.entries(board.run(run_name).id if run_name else None)
        tests = board.test_evaluations()
        runs = board.runs()
    winners = {(run.id, run.winner) for run in runs}
    lines = listed(entries, runs)
    groups = [group.to_dict() for group in groups_of(entries, runs, tests)]
    rows = [line.to_dict() | {"winner": (line.row.run, line.row.entry) in winners} for line in lines]
    if as_json:
        print_json({"entries": rows, "groups": groups})
    else:
        depths = [row | {"depth": line.depth} for row, line in zip(rows, lines, strict=True)]
        show_entries(depths, limit, [asdict(run) for run in runs], groups)


@leaderboard.command("runs")
@leaderboard_option
@json_option
def leaderboard_runs(leaderboard_file: Path, as_json: bool) -> None:
    """The runs, newest first; an interrupted one has lost its driver, and can be resumed like a stopped one.

    \b
    autoprompt leaderboard runs
    autoprompt leaderboard runs --json
    """
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
@click.argument("entry", shell_complete=complete.entries)
@leaderboard_option
@json_option
def leaderboard_show(entry: str, leaderboard_file: Path, as_json: bool) -> None:
    """All evaluations of one ENTRY (8 characters or more of its id).

    \b
    autoprompt leaderboard show 3f2a9c0d
    """
    from autoprompt.cli.tables import show_entry
    from autoprompt.leaderboard import Leaderboard, refinement_verdict

    with Leaderboard.open(leaderboard_file, read_only=True) as board:
        evaluations = board.entry(entry)
        having = {evaluation.run for evaluation in evaluations}
        told = [(run.result or {}).get("refine") for run in board.runs() if run.id in having]
    shown = {
        "entry": evaluations[0].entry,
        **evaluations[0].candidate.to_dict(),
        "evaluations": [e.to_dict() for e in evaluations],
        "verdicts": [said for said in map(refinement_verdict, told) if said],
    }
    if as_json:
        print_json(shown)
    else:
        show_entry(shown)


@leaderboard.command("compare")
@click.argument("first", metavar="ENTRY", shell_complete=complete.entries)
@click.argument("second", metavar="ENTRY", shell_complete=complete.entries)
@click.option("--split", type=click.Choice(("validation", "test")), default="validation", show_default=True,
              help="The rows to compare on.")  # fmt: skip
@leaderboard_option
@json_option
def leaderboard_compare(first: str, second: str, split: str, leaderboard_file: Path, as_json: bool) -> None:
    """Two entries over the rows that both were judged on, with a paired bootstrap (8 characters or more of each id).

    \b
    autoprompt leaderboard compare 3f2a9c0d 5a6b7c8d --split test
    """
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
    """Take the runs of another leaderboard FILE into this one, which is made if there is none; FILE stays as it is.

    \b
    autoprompt leaderboard merge from-the-other-machine.sqlite
    """
    from autoprompt.leaderboard import Leaderboard, merge

    with Leaderboard.open(other, read_only=True) as theirs, Leaderboard.open(leaderboard_file) as board:
        merged = merge(board, theirs)
    if as_json:
        print_json(merged.to_dict())
        return
    for conflict in merged.conflicts:
        say(f"Conflict: {conflict}.")
    say(
        f"{len(merged.added)} runs added, {len(merged.extended)} extended, {len(merged.known)} known; "
        f"{merged.evaluations} evaluations, {len(merged.conflicts)} conflicts."
    )


@leaderboard.command("backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@leaderboard_option
def leaderboard_backup(file: Path, leaderboard_file: Path) -> None:
    """Copy the leaderboard into a new FILE, whole, also while a search writes to it.

    \b
    autoprompt leaderboard backup copy.sqlite
    """
    from autoprompt.leaderboard import Leaderboard

    with Leaderboard.open(leaderboard_file, read_only=True) as board:
        board.back_up(file)
    say(f"Wrote {file}.")


@click.command(short_help="Write an entry as best.json or best.py.")
@click.argument("entry", required=False, shell_complete=complete.entries)
@click.option("--run", "run_name", metavar="RUN", shell_complete=complete.runs, help="The winner of this run instead.")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="best.json or best.py")
@click.option("--with-weights", is_flag=True, help="Also what its fine-tune changed, for a run's winner.")
@click.option("--bundle", is_flag=True,
              help="All that runs found, for search --warm-start: prompts and scores, no rows.")  # fmt: skip
@leaderboard_option
def export(
    entry: str | None, run_name: str | None, out: Path, with_weights: bool, bundle: bool, leaderboard_file: Path
) -> None:
    """Write ENTRY as a file that other programs import: best.json, or best.py without any dependency.

    \b
    autoprompt export 3f2a9c0d --out best.py
    autoprompt export --run reviews --out best.json --with-weights
    autoprompt export --bundle --out bundle.json
    """
    if bundle and (entry is not None or with_weights):
        raise UsageError("--bundle takes whole runs, without weights; leave ENTRY and --with-weights out.")
    if not bundle and (entry is None) == (run_name is None):
        raise UsageError("Export takes an ENTRY or --run RUN; give one of the two.")
    from autoprompt import run
    from autoprompt.leaderboard import Leaderboard

    with Leaderboard.open(leaderboard_file, read_only=True) as board:
        if bundle:
            written = run.export_bundle(board, run_name, out)
        else:
            named = entry if entry is not None else run.winner_of(board, str(run_name))
            written = run.export(board, named, out, with_weights=with_weights)
    for path in written:
        say(f"Wrote {path}.")
