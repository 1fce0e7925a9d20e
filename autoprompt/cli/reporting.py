"""The command ``report``, which writes what runs found as HTML and Markdown."""

from __future__ import annotations

from pathlib import Path

import click

from autoprompt.cli import complete
from autoprompt.cli.options import leaderboard_option
from autoprompt.cli.verbosity import say


@click.command(short_help="Write what a run found, as HTML and Markdown.")
@click.argument("references", metavar="RUN...", nargs=-1, required=True, shell_complete=complete.runs)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("report"), show_default=True,
              help="Folder for report.html and report.md.")  # fmt: skip
@click.option(
    "--no-rows",
    is_flag=True,
    help="Leave out the data rows that the winner got wrong, so that the report can be shared.",
)
@leaderboard_option
def report(references: tuple[str, ...], out: Path, no_rows: bool, leaderboard_file: Path) -> None:
    """Write a report of RUN (id or name) as a self-contained HTML page and as Markdown.

    Several runs (models, strategies, corpora) are compared.

    \b
    autoprompt report 3f2a9c0d11e2 --out report
    autoprompt report hybrid-run random-run --out compared
    """
    from autoprompt.leaderboard import Leaderboard
    from autoprompt.report import write

    with Leaderboard.open(leaderboard_file, read_only=True) as board:
        written = write(board, references, out, rows=not no_rows)
    for path in written:
        say(f"Wrote {path}.")
