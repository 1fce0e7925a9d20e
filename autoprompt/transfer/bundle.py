"""What runs found as one file to hand over: templates, label words, scores and evidence, and no row of any data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path, PurePath

from pydantic import TypeAdapter, ValidationError

from autoprompt.errors import InputError
from autoprompt.files import write_whole
from autoprompt.leaderboard import Leaderboard
from autoprompt.transfer.lessons import Source, sources_of

FORMAT = "autoprompt-bundle"
VERSION = 1
_SOURCES = TypeAdapter(tuple[Source, ...])
_MAGIC = b"SQLite format 3\0"


def write_bundle(sources: Sequence[Source], path: Path) -> None:
    """Write the sources, all or nothing; of paths to models and data only their last part. Raises StorageError."""
    told = [replace(s, corpus=PurePath(s.corpus).name, model=PurePath(s.model).name) for s in sources]
    values = {"format": FORMAT, "version": VERSION, "sources": [asdict(source) for source in told]}
    write_whole(path, json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_bundle(path: Path) -> list[Source]:
    """The inverse of ``write_bundle``, checked as what a stranger may have written. Raises InputError."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"The bundle {path} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"The file {path} is neither a leaderboard nor a bundle ({error}); name another.") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise InputError(f"{path} is no bundle; write one with `autoprompt export --bundle`.")
    if values.get("version") != VERSION:
        raise InputError(f"The bundle {path} has version {values.get('version')!r}, not {VERSION}; upgrade autoprompt.")
    try:
        return list(_SOURCES.validate_python(values.get("sources")))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"The bundle {path} is damaged at {place!r} ({first['msg']}); export it again.") from error


def read_sources(path: Path) -> list[Source]:
    """What a leaderboard or a bundle can teach. Raises InputError, StorageError."""
    try:
        with path.open("rb") as file:
            stored = file.read(len(_MAGIC)) == _MAGIC
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); name a leaderboard, or what `autoprompt export --bundle` wrote."
        ) from error
    if not stored:
        return read_bundle(path)
    with Leaderboard.open(path, read_only=True) as board:
        return sources_of(board)
