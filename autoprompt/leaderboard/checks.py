"""Checks of a leaderboard: run names and statuses, row checksums and row counts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from autoprompt.errors import InputError, NotFoundError, StorageError, UsageError, closest
from autoprompt.leaderboard import records
from autoprompt.terminal import command_line

NAME_LIMIT = 200


class DamagedError(StorageError):
    """A stored row was changed or is missing."""


class RefusedError(StorageError):
    """A row matches its checksum, but this program does not write such a row."""


PREFIX_LENGTH = 8


def check_name(name: str | None) -> None:
    """Raise UsageError for a run name that is too long, blank or not valid Unicode."""
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
    """Raise InputError for an unknown run status."""
    if status not in records.RUN_STATUSES:
        raise InputError(f"The run status {status!r} is unknown; use one of {', '.join(records.RUN_STATUSES)}.")


def not_found(
    what: str, reference: str, matches: int, path: Path, listing: str, known: Iterable[str] = ()
) -> NotFoundError:
    """NotFoundError for a reference that matches nothing or several things; ``known``: names to suggest from."""
    if matches and len(reference) < PREFIX_LENGTH:
        why = f"a prefix needs at least {PREFIX_LENGTH} characters"
    elif matches > 1:
        why = f"{matches} begin with it, so give more characters"
    else:
        why = f"nothing has that id or name{closest(reference, known)}"
    return NotFoundError(f"The {what} {reference[:NAME_LIMIT]!r} is not in {path}: {why}; see `autoprompt {listing}`.")


def check_unused(path: Path, run_id: str | None, name: str | None, runs: Iterable[tuple[str, str | None]]) -> None:
    """Raise StorageError for a run id and UsageError for a name that ``runs`` (ids and names) already have."""
    for known, its_name in runs:
        if known == run_id:
            raise StorageError(f"The run {run_id} is already in the leaderboard {path}; resume it.")
        if name is not None and its_name == name:
            shown = name if name.isprintable() else known
            raise UsageError(
                f"The name {name!r} is used by run {known} in {path}; use another --name or "
                f"`{command_line('resume', shown, leaderboard=path)}`."
            )


def check_row(path: Path, table: str, row: Any, values: Sequence[Any], check: object) -> None:
    """Raise DamagedError for a row that does not match its checksum."""
    expected = records.checksum(values)
    if not expected or check != expected:
        raise DamagedError(
            f"The leaderboard {path} is damaged: row {row} of table {table} does not match its checksum; restore a "
            "backup."
        )


def check_count(path: Path, table: str, run: str, found: int, expected: int, why: str = "") -> None:
    """Raise DamagedError where a run does not have the expected number of rows.

    Damage can hide rows, and no checksum can show that. ``why``: the result of ``integrity_problem``.
    """
    if found != expected:
        raise DamagedError(
            f"The leaderboard {path} is damaged: table {table} has {found} of {expected} rows of run {run}"
            f"{f' ({why})' if why else ''}; restore a backup."
        )


def integrity_problem(connection: sqlite3.Connection) -> str:
    """The first problem that SQLite's integrity check finds; empty where it finds none."""
    rows = connection.execute("PRAGMA integrity_check(1)").fetchall()
    first = " ".join(str(rows[0][0]).split())[:200] if rows else ""
    return "" if first == "ok" else f"SQLite's integrity check says: {first}"


def refusal(path: Path, table: str, row: Any, error: Exception) -> RefusedError:
    """RefusedError for a row that matches its checksum, but whose content cannot be used."""
    return RefusedError(
        f"Row {row} of table {table} in the leaderboard {path} is refused: {str(error).rstrip('.')}; it comes from "
        "another program or a newer version, so upgrade autoprompt or remove its run with `autoprompt leaderboard "
        "remove`."
    )
