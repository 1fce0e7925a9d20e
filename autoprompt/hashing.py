"""Canonical JSON of a value and the SHA-256 of a text, from which all ids and fingerprints are made."""

import hashlib
import json
from typing import Any

# Made once: ``json.dumps`` makes an encoder per call, and a search encodes hundreds of thousands of values.
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces. Raises ValueError for NaN and infinity."""
    return _encode(value)


def digest(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
