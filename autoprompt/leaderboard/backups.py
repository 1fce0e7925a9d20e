"""Copies of a whole leaderboard: the file with what stands in its -wal, and the weights beside it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from autoprompt.errors import InputError, StorageError
from autoprompt.leaderboard import queries, schema, weights
from autoprompt.leaderboard.failures import explain
from autoprompt.leaderboard.stored_json import parsed


@dataclass
class BackedUp:
    """``weights``: how many files came along. ``missing``: a sentence for each that did not."""

    weights: int = 0
    missing: list[str] = field(default_factory=list)


def back_up(path: Path, place: Path) -> BackedUp:
    """Copy what is committed into a new file, whole or not at all, and the weights that its runs name.

    Weights that are gone or damaged are reported and do not stop it. Raises StorageError, also for a file that exists.
    """
    try:
        if os.path.lexists(place):
            raise FileExistsError(place)
        with schema.copied(schema.connect_to_read(path).connection, path, place) as new:
            brought, missing = weights.bring_all(place, path, _named_in(new))
            schema.publish(new, place)
    except FileExistsError as error:
        raise StorageError(f"The file {place} exists and was left alone; name a new one.") from error
    except (sqlite3.Error, OSError) as error:
        raise StorageError(f"The backup {place} cannot be written: {explain(place, error)}.") from error
    return BackedUp(brought, missing)


def _named_in(file: Path) -> list[str]:
    """The weights that the runs of a leaderboard name, as far as they can be read."""
    names: dict[str, None] = {}
    opened = schema.connect_to_read(file)
    with closing(opened.connection):
        for row in opened.meter.counted(opened.connection.execute(queries.JSON_OF_RUNS)):
            names |= dict.fromkeys(named_in_texts(*row))
    return list(names)


def named_in_texts(config: object, result: object) -> list[str]:
    """The weights that a run's JSON names; none where it is no JSON of this program."""
    try:
        read = [None if text is None else parsed(text, "A run") for text in (config, result)]
        return [name for name in weights.named_by(*read) if weights.is_name(name)]
    except (InputError, AttributeError):  # it is shown by `leaderboard check`
        return []
