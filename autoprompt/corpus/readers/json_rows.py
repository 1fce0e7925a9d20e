"""JSON as data files hold it: no duplicate keys, no NaN, one object a row."""

import json
from typing import Any, NoReturn

from autoprompt.corpus.cells import Cells, check_characters
from autoprompt.errors import InputError
from autoprompt.untrusted import unique_keys


def json_row(place: str, line: str) -> Cells:
    """Return the line's JSON object. Raises InputError for anything else."""
    try:
        row = loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place} is not valid JSON ({error}); correct the line.") from error
    if not isinstance(row, dict):
        raise InputError(f"{place} is no JSON object; write one object a line.")
    check_characters(row, place)
    return row


def loads(text: str) -> Any:
    """Return the JSON value. Raises ValueError, and RecursionError for one that is nested too deep."""
    return json.loads(text, parse_constant=_no_constant, object_pairs_hook=unique_keys)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON, write null")
