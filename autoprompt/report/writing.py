"""Writing of reports to files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from autoprompt.errors import StorageError
from autoprompt.files import write_whole
from autoprompt.leaderboard import Leaderboard
from autoprompt.report.comparing import comparison_of
from autoprompt.report.facts import facts_of
from autoprompt.report.markdown import comparison_text, run_text
from autoprompt.report.page import comparison_page, run_page


def write(board: Leaderboard, references: Sequence[str], out: Path, *, rows: bool = True) -> list[Path]:
    """Write ``report.html`` and ``report.md`` into a folder, each file whole or not at all. Returns their paths.

    One run (id or name) gets a full report, several are compared. ``rows``: show the data rows that the winner got
    wrong. Raises NotFoundError for an unknown run, StorageError where the folder cannot be written.
    """
    if len(references) == 1:
        facts = facts_of(board, references[0])
        facts = facts if rows else replace(facts, worst_mistakes=[])
        files = {"report.html": run_page(facts), "report.md": run_text(facts)}
    else:
        comparison = comparison_of(board, references)
        files = {"report.html": comparison_page(comparison), "report.md": comparison_text(comparison)}
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"The folder {out} cannot be made ({error.strerror}); choose another --out.") from error
    for name, text in files.items():
        write_whole(out / name, text)
    return [out / name for name in files]
