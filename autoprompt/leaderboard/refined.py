"""Comparison of a refined entry with its parent, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoprompt.leaderboard.records import RunRecord

DIGITS = 3
"""Decimal places of a loss; two losses that are equal in them count as unchanged."""


def refinement_verdict(found: Mapping[str, Any] | None) -> str | None:
    """``refined from 1f2e3d4c: better on new rows (loss 0.512 to 0.301, n=4), no worse on old (0.302 to 0.302, n=32)``.

    ``found``: the value of ``refine`` in the run's result. Returns None without one.
    """
    if not found:
        return None
    new, old = (_part(found[name]) for name in ("new", "validation"))
    said = [f"{new[0]} on new rows ({new[1]})"] if new else ["new rows not judged"]
    said += [f"{old[0]} on old ({old[1]})"] if old else []
    return f"refined from {found['entry'][:8]}: {', '.join(said)}"


def parent_of(run: RunRecord) -> tuple[str, str] | None:
    """Ids of the run and the entry that a refining run started from; None for any other run."""
    told = run.config.get("refine") or {}
    return (str(told["run"]), str(told["entry"])) if {"run", "entry"} <= told.keys() else None


def worse_on_both(found: Mapping[str, Any]) -> bool:
    """Whether the mean loss rose on the new rows and on the old validation rows."""
    return all(
        found[name]["before"] is not None and found[name]["after"]["loss"] > found[name]["before"]["loss"]
        for name in ("new", "validation")
    )


def _part(scores: Mapping[str, Any]) -> tuple[str, str] | None:
    """The change of the mean loss as a word, and a text with both losses; None where nothing was evaluated."""
    before, after = scores["before"], scores["after"]
    if before is None or after is None:
        return None
    change = round(after["loss"], DIGITS) - round(before["loss"], DIGITS)
    word = "better" if change < 0 else "worse" if change > 0 else "no worse"
    noise = ", no more than noise" if change and scores.get("clear") is False else ""
    return word, f"loss {before['loss']:.{DIGITS}f} to {after['loss']:.{DIGITS}f}, n={after['n']}{noise}"
