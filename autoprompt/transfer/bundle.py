"""Bundles: files with what runs found (templates, label words, scores and evidence) and without any row of data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path, PurePath
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from autoprompt.errors import InputError
from autoprompt.files import write_atomically
from autoprompt.leaderboard import Leaderboard
from autoprompt.transfer.lessons import Source, sources_of
from autoprompt.untrusted import open_regular, read_json, schema_error_text

FORMAT = "autoprompt-bundle"
VERSION = 1
MAX_FILE = 32 << 20
"""Most bytes of a bundle."""
MAX_SOURCES = 1_000
_SOURCES = TypeAdapter(Annotated[tuple[Source, ...], Field(max_length=MAX_SOURCES)])
_MAGIC = b"SQLite format 3\0"


def write_bundle(sources: Sequence[Source], path: Path) -> None:
    """Write the sources to one file, whole or not at all. Raises StorageError.

    Paths to models and data are shortened to their last part.
    """
    told = [replace(s, corpus=PurePath(s.corpus).name, model=PurePath(s.model).name) for s in sources]
    values = {"format": FORMAT, "version": VERSION, "sources": [asdict(source) for source in told]}
    write_atomically(path, json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_bundle(path: Path) -> list[Source]:
    """The sources in a bundle, which is checked as untrusted input. Raises InputError."""
    values = read_json(path, "The leaderboard or bundle", MAX_FILE)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise InputError(f"{path} is no bundle; write one with `autoprompt export --bundle`.")
    version = values.get("version")
    if type(version) is not int or version != VERSION:
        raise InputError(f"The bundle {path} has version {version!r:.40}, not {VERSION}; upgrade autoprompt.")
    try:
        return list(_SOURCES.validate_python(values.get("sources")))
    except ValidationError as error:
        raise InputError(f"The bundle {path} is damaged {schema_error_text(error)}; export it again.") from error


def read_sources(path: Path) -> list[Source]:
    """The sources in a leaderboard or a bundle. Raises InputError, StorageError."""
    try:
        with open_regular(path) as file:
            stored = file.read(len(_MAGIC)) == _MAGIC
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); name a leaderboard, or what `autoprompt export --bundle` wrote."
        ) from error
    if not stored:
        return read_bundle(path)
    with Leaderboard.open(path, read_only=True) as board:
        return sources_of(board)
