"""Reports as files."""

from __future__ import annotations

from pathlib import Path

from autoprompt.errors import StorageError
from autoprompt.files import write_whole
from autoprompt.leaderboard import Leaderboard
from autoprompt.report.facts import facts_of
from autoprompt.report.markdown import run_text
from autoprompt.report.page import run_page


def write(board: Leaderboard, reference: str, out: Path) -> list[Path]:
    """Write ``report.html`` and ``report.md`` of a run (id or name) into a folder, each file whole or not at all.

    Raises NotFoundError for an unknown run, StorageError where the folder cannot be written.
    """
    facts = facts_of(board, reference)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"The folder {out} cannot be made ({error.strerror}); choose another --out.") from error
    files = {"report.html": run_page(facts), "report.md": run_text(facts)}
    for name, text in files.items():
        write_whole(out / name, text)
    return [out / name for name in files]
