"""Removal of a run from a leaderboard, even if its rows are damaged."""

from __future__ import annotations

import re
from contextlib import nullcontext

from autoprompt.leaderboard import backups, weights
from autoprompt.leaderboard.locks import holding
from autoprompt.leaderboard.store import Leaderboard

_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")


def remove(board: Leaderboard, reference: str) -> int:
    """Remove the run with this id, name, id prefix or ``@NUMBER`` (its row number), and everything stored for it.

    Also deletes its weights that no other run refers to. Returns the number of weight files deleted.

    Raises NotFoundError, and StorageError while the run's driver is alive.
    """
    number = board.number_of(reference)
    run, config, result = board.raw_run(number)
    # A run whose id this program did not make has no driver, and the id may be a path: it must not name a lock file.
    plain = isinstance(run, str) and _ID.fullmatch(run) is not None
    with holding(board.path, run) if plain else nullcontext():
        board.remove(number)
    names = backups.named_in_texts(config, result)
    free = [name for name in names if not board.names_weights(name)]
    return sum(weights.delete(board.path, name) for name in free)
