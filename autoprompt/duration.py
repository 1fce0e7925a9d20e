"""Parsing and formatting of durations such as ``5m``, ``90s`` and ``1h30m``."""

from __future__ import annotations

import math
import re

from autoprompt.errors import UsageError

_FORM = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def parse_duration(text: str, name: str = "The duration") -> float:
    """Seconds in a text such as ``5m``, ``90s``, ``1h`` or ``1h30m``.

    ``name`` begins the error message. Raises UsageError for a number without a unit (it could mean minutes or seconds),
    for any other text, and for a duration that is not above 0.
    """
    written = text.strip().lower()
    if _NUMBER.fullmatch(written):
        raise UsageError(f"{name} is {text!r}, a number without a unit; write 5m, 90s or 1h.")
    match = _FORM.fullmatch(written)
    parts = zip(match.groups(default="0"), (3600, 60, 1), strict=True) if match else ()
    seconds = sum(float(part) * unit for part, unit in parts)
    if not 0 < seconds < math.inf:
        raise UsageError(f"{name} is {text!r}, which is no duration above 0; write 5m, 90s or 1h.")
    return seconds


def duration_text(seconds: float) -> str:
    """``45s``, ``3m10s``, ``2h5m``, as ``parse_duration`` reads them: to the second, from an hour on to the minute."""
    if seconds >= 3600:
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{hours}h{minutes}m" if minutes else f"{hours}h"
    minutes, rest = divmod(max(1, round(seconds)), 60)
    return "".join([f"{minutes}m" if minutes else "", f"{rest}s" if rest else ""])


def rounded_up(seconds: float) -> str:
    """Duration text rounded up to 5 s (up to 1 min), 30 s (up to 5 min), 1 min (up to 1 h) or 10 min."""
    step = 5 if seconds <= 60 else 30 if seconds <= 300 else 60 if seconds <= 3600 else 600
    return duration_text(step * math.ceil(seconds / step))
