"""Strict parsing of the JSON in a leaderboard's rows: bounded depth, finite numbers, valid Unicode."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from autoprompt.errors import InputError, StorageError

MOST_DEPTH = 40
"""Maximum levels of nested JSON."""
INT64_BOUND = 2**63
FLOAT_BOUND = 1e150
"""Maximum absolute value of a number: its square is still finite."""
_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{]|[\]}]', re.DOTALL)


class Stored(dict[str, Any]):
    """A JSON object of a leaderboard. A missing key raises StorageError: the file is at fault, not the program."""

    def __missing__(self, key: str) -> NoReturn:
        raise lacking(key)


def lacking(name: str) -> StorageError:
    """The error for a value that a run was stored without."""
    return StorageError(
        f"A run of the leaderboard lacks the value {name!r}, which this needs; it was stored in part or by another "
        "program, so search again."
    )


def parsed(text: Any, where: str) -> Any:
    """The value of a row's JSON; objects become ``Stored``.

    Raises InputError, whose message begins with ``where``, for JSON that is invalid or nested too deeply, for numbers
    that are not finite or integers beyond 64 bits, and for lone surrogates.
    """
    if not isinstance(text, str):
        raise InputError(f"{where} is no text; JSON was expected.")
    try:
        if (text.count("[") + text.count("{") > MOST_DEPTH) and _depth(text) > MOST_DEPTH:
            raise ValueError(f"it is nested more than {MOST_DEPTH} levels deep")
        value = _decode(text)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is no JSON of this program ({str(error)[:200]}).") from error
    return value


def _depth(text: str) -> int:
    most = depth = 0
    for found in _BRACKETS.finditer(text):
        if found[0] in ("[", "{", "]", "}"):
            depth += 1 if found[0] in ("[", "{") else -1
            most = max(most, depth)
    return most


def _finite(text: str) -> float:
    value = float(text)
    if not -FLOAT_BOUND <= value <= FLOAT_BOUND:
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _of_64_bits(text: str) -> int:
    if len(text) > 20 or not -INT64_BOUND <= int(text) < INT64_BOUND:
        raise ValueError(f"the number {text[:20]} does not fit in 64 bits")
    return int(text)


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


# Made once: a listing reads tens of thousands of values.
_decode = json.JSONDecoder(
    object_hook=Stored, parse_float=_finite, parse_int=_of_64_bits, parse_constant=_constant
).decode
