"""Taking a run out of a leaderboard, whatever its rows hold."""

from __future__ import annotations

import re
from contextlib import nullcontext

from autoprompt.leaderboard import backups, weights
from autoprompt.leaderboard.locks import holding
from autoprompt.leaderboard.store import Leaderboard

_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")


def remove(board: Leaderboard, reference: str) -> int:
    """Remove the run of this id, name, prefix of an id, or ``@NUMBER`` in the file, with all that belongs to it.

    The weights that no other run names go, too. Returns how many files these were.

    Raises NotFoundError, and StorageError while the run's driver lives.
    """
    number = board.number_of(reference)
    run, config, result = board.raw_run(number)
    # No driver holds a run whose id is none of ours, and such an id may be a path.
    plain = isinstance(run, str) and _ID.fullmatch(run) is not None
    with holding(board.path, run) if plain else nullcontext():
        board.remove(number)
    names = backups.named_in_texts(config, result)
    free = [name for name in names if not board.names_weights(name)]
    return sum(weights.forget(board.path, name) for name in free)
