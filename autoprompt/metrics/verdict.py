"""Whether a search found anything better than the tuned manual template, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoprompt.metrics.comparison import stated_interval

NONE_BETTER = "No prompt was measurably better than the tuned manual template"
KEEP = "keep the manual one, or give more time (--budget) or more rows"


def verdict(result: Mapping[str, Any]) -> str:
    """Of a finished run's result: by the paired interval of winner - ``manual_tuned`` on the rows that judge both."""
    found, manual = result.get("difference"), result.get("baselines", {}).get("manual_tuned")
    name, split = _judged(result)
    best = result.get("best")
    if best and manual and best["entry"] == manual["entry"]:
        judged = f" ({_said(found, _rows(result))} on the {split} rows)" if found else ""
        return f"{NONE_BETTER}, which is the {name} itself{judged}; {KEEP}."
    if not found:
        return f"There are no {split} rows on which the {name} and the tuned manual template could be compared."
    rows = _rows(result)
    said, ends = _said(found, rows), stated_interval(found, rows or 0)
    if ends is None:
        return f"The {split} rows are too few to tell the {name} from the tuned manual template: {said}; {KEEP}."
    if ends[0] > 0:
        return f"The {name} is better than the tuned manual template on the {split} rows: {said}."
    if ends[1] < 0:
        return f"The {name} is worse than the tuned manual template on the {split} rows: {said}; {KEEP}."
    return f"{NONE_BETTER}: {name} - manual_tuned on the {split} rows is {said}, and the interval includes 0; {KEEP}."


def _judged(result: Mapping[str, Any]) -> tuple[str, str]:
    """What is judged, and on which rows."""
    transfer = result.get("transfer")
    return ("winner", "test") if transfer is None else ("transferred prompt", transfer["split"])


def _said(found: Mapping[str, Any], rows: int | None) -> str:
    scale, unit, digits = (100, "points of accuracy", 1) if found["metric"] == "accuracy" else (1, found["metric"], 3)
    value = f"{scale * found['value']:+.{digits}f} {unit}"
    ends = stated_interval(found, rows or 0)
    counted = "" if rows is None else f", n = {rows}"
    if ends is None:
        return f"{value} (too few rows for an interval{counted})"
    low, high = (f"{scale * end:+.{digits}f}" for end in ends)
    return f"{value} (95 % interval {low} to {high}{counted})"


def _rows(result: Mapping[str, Any]) -> int | None:
    """How many rows judge."""
    scores = (result.get("best") or {}).get(_judged(result)[1])
    return scores["n"] if scores else None
