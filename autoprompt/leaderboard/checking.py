"""What a leaderboard refuses: names and states that a run cannot have, and rows that damage changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from autoprompt.errors import InputError, NotFoundError, StorageError, UsageError, closest
from autoprompt.leaderboard import records
from autoprompt.leaderboard.records import RunRecord
from autoprompt.terminal import command_line

NAME_LIMIT = 200
PREFIX_LENGTH = 8


def check_name(name: str | None) -> None:
    """Raise UsageError for a name that no run can have."""
    if name is None:
        return
    if len(name) > NAME_LIMIT:
        raise UsageError(f"The run name has {len(name)} characters; use at most {NAME_LIMIT}.")
    if not name.strip():
        raise UsageError("The run name is blank; give a --name with letters, or none.")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"The run name {name!r} is not valid text; use another --name.") from error


def check_run_status(status: str) -> None:
    """Raise InputError for a status that runs do not have."""
    if status not in records.RUN_STATUSES:
        raise InputError(f"The run status {status!r} is unknown; use one of {', '.join(records.RUN_STATUSES)}.")


def not_found(
    what: str, reference: str, matches: int, path: Path, listing: str, known: Iterable[str] = ()
) -> NotFoundError:
    """Why a reference names nothing, or more than one thing; ``known``: the names that there are."""
    if matches and len(reference) < PREFIX_LENGTH:
        why = f"a prefix needs at least {PREFIX_LENGTH} characters"
    elif matches > 1:
        why = f"{matches} begin with it, so give more characters"
    else:
        why = f"nothing has that id or name{closest(reference, known)}"
    return NotFoundError(f"The {what} {reference[:NAME_LIMIT]!r} is not in {path}: {why}; see `autoprompt {listing}`.")


def check_unused(path: Path, run_id: str | None, name: str | None, runs: Sequence[RunRecord]) -> None:
    """Raise StorageError for a new run's id that is used, UsageError for its name."""
    for known in runs:
        if known.id == run_id:
            raise StorageError(f"The run {run_id} is already in the leaderboard {path}; resume it.")
        if name is not None and known.name == name:
            shown = name if name.isprintable() else known.id
            raise UsageError(
                f"The name {name!r} is used by run {known.id} in {path}; use another --name or "
                f"`{command_line('resume', shown, leaderboard=path)}`."
            )


def check_row(path: Path, table: str, row: Any, values: Sequence[Any], check: object) -> None:
    """Raise StorageError for a row that its checksum does not cover."""
    expected = records.checksum(values)
    if not expected or check != expected:
        raise StorageError(
            f"The leaderboard {path} is damaged: row {row} of table {table} does not match its checksum; restore a "
            "backup."
        )


def check_count(path: Path, run: str, found: int, expected: int) -> None:
    """Raise StorageError for rows that damage made invisible: they have no checksum to fail."""
    if found != expected:
        raise StorageError(
            f"The leaderboard {path} is damaged: table evaluations has {found} of {expected} rows of run {run}; "
            "restore a backup."
        )
