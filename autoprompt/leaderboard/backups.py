"""Backups of a whole leaderboard: the database including its -wal file, and the weights beside it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from autoprompt.errors import InputError, StorageError
from autoprompt.leaderboard import queries, schema, weights
from autoprompt.leaderboard.sqlite_errors import explain
from autoprompt.leaderboard.stored_json import parsed


@dataclass
class BackedUp:
    """``weights``: number of weight files copied. ``missing``: a sentence for each that could not be copied."""

    weights: int = 0
    missing: list[str] = field(default_factory=list)


def back_up(path: Path, place: Path) -> BackedUp:
    """Copy the committed data to the new file ``place``, whole or not at all, and the weights that its runs name.

    An older file is not migrated. Missing or damaged weights are reported and do not stop the backup. Raises
    StorageError, also if ``place`` exists.
    """
    try:
        if os.path.lexists(place):
            raise FileExistsError(place)
        with schema.temporary_copy(schema.connect_unmigrated(path).connection, path, place) as new:
            brought, missing = weights.copy_all(place, path, _named_in(new))
            schema.publish(new, place)
    except FileExistsError as error:
        raise StorageError(f"The file {place} exists and was left alone; name a new one.") from error
    except (sqlite3.Error, OSError) as error:
        raise StorageError(f"The backup {place} cannot be written: {explain(place, error)}.") from error
    return BackedUp(brought, missing)


def _named_in(file: Path) -> list[str]:
    """Names of the weights that the runs of a leaderboard refer to, except runs whose JSON cannot be parsed."""
    names: dict[str, None] = {}
    opened = schema.connect_to_read(file)
    with closing(opened.connection):
        for row in opened.meter.counted(opened.connection.execute(queries.JSON_OF_RUNS)):
            names |= dict.fromkeys(named_in_texts(*row))
    return list(names)


def named_in_texts(config: object, result: object) -> list[str]:
    """Names of the weights in a run's stored JSON; empty where this program did not write that JSON."""
    try:
        read = [None if text is None else parsed(text, "A run") for text in (config, result)]
        return [name for name in weights.names_of_run(*read) if weights.is_name(name)]
    except (InputError, AttributeError):  # `leaderboard check` reports it
        return []
