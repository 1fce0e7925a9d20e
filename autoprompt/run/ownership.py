"""Ownership marks of runs: proof that this user began a run on this machine.

A leaderboard may come from a stranger. Its options for workers, clusters and devices are used only for a run with a
valid mark: a keyed hash of the run's id and request, whose secret key lies in the user's own folder.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs

from autoprompt.candidate import canonical_json
from autoprompt.leaderboard import RunRecord

_KEY_BYTES = 32


def mark_of(run: str, request: Mapping[str, Any] | None) -> str:
    """The mark of a run (its id) that this user begins; empty where no key can be stored."""
    key = _key()
    return "" if key is None else _mark(key, run, request)


def is_own(run: RunRecord) -> bool:
    """Whether this user began the run and its request has not changed since."""
    found, asked = run.config.mark, run.config.request
    key = _read(_place()) if isinstance(found, str) and found else None
    return key is not None and hmac.compare_digest(
        str(found).encode(), _mark(key, run.id, asked.to_dict() if asked else None).encode()
    )


def _mark(key: bytes, run: str, request: Mapping[str, Any] | None) -> str:
    return hmac.new(key, canonical_json([run, request]).encode(), "sha256").hexdigest()


def _place() -> Path:
    return Path(platformdirs.user_state_dir("autoprompt", appauthor=False)) / "key"


def _key() -> bytes | None:
    """This user's key, made on first use; None where it cannot be stored."""
    place = _place()
    found = _read(place)
    if found is not None:
        return found
    made = place.with_name(f"{place.name}.{secrets.token_hex(8)}")
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            if place.exists():  # not usable: for example, others can read it
                made.replace(place)
            else:
                os.link(made, place)  # fails if another process was first
        finally:
            made.unlink(missing_ok=True)
    except OSError:
        pass
    return _read(place)


def _read(place: Path) -> bytes | None:
    """The key; None where there is none, or where another user may have read or written it."""
    try:
        with open(os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            facts = os.fstat(file.fileno())
            private = stat.S_ISREG(facts.st_mode) and facts.st_uid == os.geteuid() and not facts.st_mode & 0o077
            key = file.read(_KEY_BYTES + 1) if private else b""
    except OSError:
        return None
    return key if len(key) == _KEY_BYTES else None
