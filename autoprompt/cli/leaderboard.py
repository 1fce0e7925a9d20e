"""The commands ``leaderboard`` (list, runs, show, compare, merge, backup, check, remove) and ``export``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from autoprompt.cli import complete
from autoprompt.cli.options import DefaultGroup, json_option, leaderboard_option, print_json, print_json_list
from autoprompt.cli.verbosity import progress_view, say
from autoprompt.errors import StorageError, UsageError
from autoprompt.terminal import echo


@click.group(cls=DefaultGroup, short_help="List, show, compare, merge and back up what was found.")
def leaderboard() -> None:
    """Stored runs and entries: list (the default, whose options need no command name), runs, show, compare, merge,
    backup, check, remove.
    """


@leaderboard.command("list")
@click.option("--run", "run_name", metavar="RUN", shell_complete=complete.runs, help="Only this run (id or name).")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Rows to show (not with --json).")
@leaderboard_option
@json_option
def leaderboard_list(run_name: str | None, limit: int, leaderboard_file: Path, as_json: bool) -> None:
    """List entries, best first in each group: by estimated error, or by validation loss where there is no estimate. A
    group's entries were evaluated on the same rows of the same data; losses of different groups cannot be compared.

    Each candidate of a run is listed once, at its highest rung: 0 is a score without training, 1 a short fine-tune, 2
    the repeated fine-tunes of a finalist; n is the number of evaluated rows. A refined entry is listed under its
    parent, with both losses.

    \b
    autoprompt leaderboard
    autoprompt leaderboard list --run reviews --limit 5
    """
    from autoprompt.cli.listing import show_entries
    from autoprompt.leaderboard import Group, Groups, Leaderboard

    groups = Groups()
    with Leaderboard.open(leaderboard_file, read_only=True) as board:
        run = board.run(run_name).id if run_name else None
        listing = board.listed_entries(run, None if as_json else limit)
        entries = groups.counting(listing)

        def found() -> list[Group]:
            return groups.all(board.count_test_evaluations)

        if as_json:
            lines = (entry.to_dict() for entry in entries)
            count = print_json_list(
                "entries", lines, listing.problems, lambda: {"groups": [group.to_dict() for group in found()]}
            )
        else:
            shown = list(entries)
            count = len(shown)
            if shown or not listing.problems:
                show_entries(shown, limit, found(), listing.total)
    print_problems(listing.problems, count)


@leaderboard.command("runs")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Runs to show (not with --json).")
@leaderboard_option
@json_option
def leaderboard_runs(limit: int, leaderboard_file: Path, as_json: bool) -> None:
    """List runs, newest first. The process of an interrupted run has ended; resume it like a stopped run.

    \b
    autoprompt leaderboard runs
    autoprompt leaderboard runs --json
    """
    from autoprompt.cli.tables import show_runs
    from autoprompt.leaderboard import Leaderboard, RunRecord, is_held

    def shown(run: RunRecord) -> RunRecord:
        gone = run.status == "running" and not is_held(leaderboard_file, run.id)
        return replace(run, status="interrupted") if gone else run

    with Leaderboard.open(leaderboard_file, read_only=True) as board:
        listing = board.listed_runs(None if as_json else limit)
        if as_json:
            count = print_json_list("runs", (shown(run).to_dict() for run in listing), listing.problems)
        else:
            runs = list(map(shown, listing))
            count = len(runs)
            if runs or not listing.problems:
                show_runs(runs)
            if listing.total > limit:
                say(f"{listing.total - limit} more; use --limit or --json.")
    print_problems(listing.problems, count)


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
    from autoprompt.leaderboard import Leaderboard
    from autoprompt.results import refinement_verdict

    with Leaderboard.open(leaderboard_file, read_only=True) as board:
        evaluations = board.entry(entry)
        runs = [board.run(name) for name in dict.fromkeys(evaluation.run for evaluation in evaluations)]
    said = [found for run in runs if run.result and (found := refinement_verdict(run.result.refine))]
    if as_json:
        rows = [evaluation.to_dict() for evaluation in evaluations]
        prompt = evaluations[0].candidate.to_dict()
        print_json({"entry": evaluations[0].entry, **prompt, "evaluations": rows, "verdicts": said})
    else:
        show_entry(evaluations, said)


@leaderboard.command("compare")
@click.argument("first", metavar="ENTRY", shell_complete=complete.entries)
@click.argument("second", metavar="ENTRY", shell_complete=complete.entries)
@click.option("--split", type=click.Choice(("validation", "test")), default="validation", show_default=True,
              help="Rows to compare on.")  # fmt: skip
@leaderboard_option
@json_option
def leaderboard_compare(first: str, second: str, split: str, leaderboard_file: Path, as_json: bool) -> None:
    """Compare two entries on the rows that both were evaluated on, by a paired bootstrap (8 characters or more of each
    id).

    \b
    autoprompt leaderboard compare 3f2a9c0d 5a6b7c8d --split test
    """
    from autoprompt.cli.tables import show_comparison
    from autoprompt.leaderboard import Leaderboard, compare_entries

    with Leaderboard.open(leaderboard_file, read_only=True) as board:
        comparison = compare_entries(board, first, second, split)
    if as_json:
        print_json(comparison.to_dict())
    else:
        show_comparison(comparison)


@leaderboard.command("merge")
@click.argument("other", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@leaderboard_option
@json_option
def leaderboard_merge(other: Path, leaderboard_file: Path, as_json: bool) -> None:
    """Copy the runs of another leaderboard FILE into this one, which is created if missing; FILE is not changed.

    Fine-tuned weights are copied too, also those that were missing at an earlier merge. A run that autoprompt did not
    write is left out.

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
    for problem in (*merged.refused, *merged.missing):
        say(f"Left out: {problem}")
    say(
        f"{len(merged.added)} runs added, {len(merged.extended)} extended, {len(merged.known)} known; "
        f"{merged.evaluations} evaluations, {merged.weights} files of weights, {len(merged.conflicts)} conflicts."
    )


@leaderboard.command("backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@leaderboard_option
def leaderboard_backup(file: Path, leaderboard_file: Path) -> None:
    """Copy the leaderboard and the weights of its winners to a new FILE, also while a search writes to it.

    \b
    autoprompt leaderboard backup copy.sqlite
    """
    from autoprompt.leaderboard import Leaderboard

    with Leaderboard.open(leaderboard_file, read_only=True) as board:
        done = board.back_up(file)
    for problem in done.missing:
        say(f"Left out: {problem}")
    say(f"Wrote {file}, and {done.weights} files of weights beside it." if done.weights else f"Wrote {file}.")


@leaderboard.command("check")
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@leaderboard_option
@json_option
def leaderboard_check(file: Path | None, leaderboard_file: Path, as_json: bool) -> None:
    """Check a leaderboard FILE: its pages, tables, every row, the number of rows, and the weights beside it.

    The exit code is 4 if a check fails.

    \b
    autoprompt leaderboard check
    autoprompt leaderboard check copy.sqlite
    """
    from autoprompt.leaderboard import Leaderboard

    with Leaderboard.open(file or leaderboard_file, read_only=True) as board:
        found = board.inspect()
    if as_json:
        print_json(found.to_dict())
    else:
        for problem in found.problems:
            echo(problem)
    counts = ", ".join(
        f"{value} {name.replace('_', ' ')}" for name, value in found.to_dict().items() if name != "problems"
    )
    if found.problems:
        raise StorageError(
            f"The leaderboard {board.path} has {len(found.problems)} problems ({counts}); restore a backup, or remove "
            "the runs that are named."
        )
    if not as_json:
        echo(f"OK: {counts}.")


@leaderboard.command("remove")
@click.argument("run_name", metavar="RUN", shell_complete=complete.runs)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@leaderboard_option
def leaderboard_remove(run_name: str, yes: bool, leaderboard_file: Path) -> None:
    """Delete RUN (its id or name, or @NUMBER as in messages) with its entries, rows and weights.

    Weights that another run uses stay. A run that is going on is not removed.

    \b
    autoprompt leaderboard remove reviews
    autoprompt leaderboard remove @17 --yes
    """
    from autoprompt.leaderboard import Leaderboard, remove

    with Leaderboard.open(leaderboard_file, read_only=True) as board:
        number = board.number_of(run_name)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("Removing a run asks for confirmation on a terminal; without one, add --yes.")
        click.confirm(f"Remove run @{number} ({run_name!r}) of {leaderboard_file} for good?", abort=True, err=True)
    with Leaderboard.open(leaderboard_file) as board:
        weights = remove(board, f"@{number}")
    say(f"Removed run @{number} ({run_name!r})" + (f", and {weights} files of weights." if weights else "."))


def print_problems(problems: Sequence[StorageError], count: int) -> None:
    """Print what was left out of a list of ``count`` items. Raises StorageError for damage, and if none is left."""
    from autoprompt.leaderboard import DamagedError

    damaged = next((problem for problem in problems if isinstance(problem, DamagedError)), None)
    last = damaged or (problems[-1] if problems and not count else None)
    for problem in problems:
        if problem is not last:
            echo(f"Left out: {problem}", err=True)
    if last is not None:
        raise last


@click.command(short_help="Write an entry as best.json or best.py.")
@click.argument("entry", required=False, shell_complete=complete.entries)
@click.option(
    "--run", "run_name", metavar="RUN", shell_complete=complete.runs, help="The winner of this run, instead of ENTRY."
)
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="best.json or best.py")
@click.option("--with-weights", is_flag=True, help="Also write the fine-tuned weights, of a run's winner.")
@click.option("--ensemble", type=click.IntRange(2), metavar="N",
              help="N prompts that predict together, with weights: ENTRY and the best of its run.")  # fmt: skip
@click.option("--bundle", is_flag=True,
              help="Prompts and scores of all runs, without rows, for search --warm-start.")  # fmt: skip
@leaderboard_option
def export(
    entry: str | None,
    run_name: str | None,
    out: Path,
    with_weights: bool,
    ensemble: int | None,
    bundle: bool,
    leaderboard_file: Path,
) -> None:
    """Write ENTRY as a file that other programs import: best.json, or best.py without any dependency.

    The label probabilities of an ensemble are the mean of its prompts'. A prediction takes N times as long.

    \b
    autoprompt export 3f2a9c0d --out best.py
    autoprompt export --run reviews --out best.json --with-weights
    autoprompt export --run reviews --out best.json --ensemble 5
    autoprompt export --bundle --out bundle.json
    """
    if bundle and (entry is not None or with_weights or ensemble):
        raise UsageError("--bundle takes whole runs, without weights; leave ENTRY, --with-weights and --ensemble out.")
    if not bundle and (entry is None) == (run_name is None):
        raise UsageError("Export takes an ENTRY or --run RUN; give one of the two.")
    from autoprompt import run
    from autoprompt.leaderboard import Leaderboard

    with Leaderboard.open(leaderboard_file, read_only=True) as board:
        if bundle:
            written = run.export_bundle(board, run_name, out)
        else:
            named = entry if entry is not None else run.winner_of(board, str(run_name))
            if ensemble is None:
                written = run.export(board, named, out, with_weights=with_weights)
            else:
                with progress_view() as shown:
                    written = run.export_ensemble(named, leaderboard_file, out, ensemble, shown)
    for path in written:
        say(f"Wrote {path}.")
