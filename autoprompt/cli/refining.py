"""The command ``refine``, which continues the fine-tune of an entry with new rows."""

from __future__ import annotations

from pathlib import Path

import click

from autoprompt.cli import complete
from autoprompt.cli.options import column_options, device_option, json_option, leaderboard_option, print_json
from autoprompt.cli.verbosity import progress_view


@click.command(short_help="Continue an entry's fine-tune with new labelled rows.")
@click.argument("entry", shell_complete=complete.entries)
@click.argument("corpus", shell_complete=complete.corpora)
@column_options
@device_option
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed for the order of the rows.")
@click.option("--name", metavar="TEXT", help="A name for the run of the new entry.")
@leaderboard_option
@json_option
def refine(
    entry: str,
    corpus: str,
    text_column: str | None,
    label_column: str | None,
    target_column: str | None,
    drop_empty: bool,
    encoding: str | None,
    delimiter: str | None,
    no_header: bool,
    column_names: str | None,
    device: str,
    seed: int,
    name: str | None,
    leaderboard_file: Path,
    as_json: bool,
) -> None:
    """Continue the fine-tune of ENTRY, the winner of a run, with the labelled rows of CORPUS and its own training rows.

    The result is a new entry, unless a paired test over the old validation rows and the new rows shows that it got
    worse, or its mean loss rose on both. Each half of the new rows is scored by a fine-tune that was trained on the
    other half only. A winner that was trained once more has learnt the validation rows, and is judged by the new rows
    alone.

    \b
    autoprompt refine 3f2a9c0d monday.csv
    autoprompt refine 3f2a9c0d monday.jsonl --name monday
    """
    from autoprompt import run
    from autoprompt.cli.tables import show_refinement

    data = run.DataOptions(
        text_column, label_column, target_column, drop_empty,
        encoding=encoding, delimiter=delimiter, no_header=no_header, column_names=column_names,
    )  # fmt: skip
    with progress_view() as shown:
        result = run.refine(entry, corpus, leaderboard_file, shown, data=data, device=device, seed=seed, name=name)
    if as_json:
        print_json(result.to_dict())
    else:
        show_refinement(result)
