"""Formatting of values (settings, metrics, intervals, times) for the HTML and the Markdown report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from autoprompt.leaderboard import EntryRow, RunRecord
from autoprompt.report.comparing import Gain
from autoprompt.report.facts import Facts
from autoprompt.report.outcome import TestedPrompt
from autoprompt.terminal import visible

LONGEST = 600
"""Most characters of a data field that are shown."""


def test_metric(facts: Facts) -> str:
    """The name of the metric that is reported next to accuracy."""
    tests = [row.test.metric for row in facts.tested_prompts if row.test]
    return tests[0] if tests else "metric"


def manifest_items(run: RunRecord) -> dict[str, str]:
    """The manifest as names and values."""
    facts = run.config.manifest
    found = {
        "Model revision": facts.model.revision,
        **{f"{name}, SHA-256": value for name, value in facts.model.files.items()},
        "Data revision": facts.data.revision,
        "Source, SHA-256": facts.code.source,
        "Commit": facts.code.commit,
        **run.environment,
    }
    return {name: str(value) for name, value in found.items() if value}


def settings_text(settings: Mapping[str, Any]) -> str:
    """``tail, learning rate 0.0005, batch size 8``."""
    words = [str(settings["tuning"])] if "tuning" in settings else []
    return ", ".join([*words, *(f"{k.replace('_', ' ')} {number(v)}" for k, v in settings.items() if k != "tuning")])


def common_to_all(entries: Sequence[EntryRow]) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """Settings that all entries of the first one's tuning mode share, and label words that all entries share."""
    if not entries:
        return {}, {}
    first, alike = entries[0], [e for e in entries if e.settings.get("tuning") == entries[0].settings.get("tuning")]
    settings = {k: v for k, v in first.settings.items() if all(e.settings.get(k) == v for e in alike)}
    return settings, first.label_words if all(e.label_words == first.label_words for e in entries) else {}


def other_settings(entry: EntryRow, common: Mapping[str, Any]) -> str:
    """The settings that are not common to all; all settings where the entry has another tuning mode."""
    if entry.settings.get("tuning") != common.get("tuning"):
        return settings_text(entry.settings)
    return settings_text({name: value for name, value in entry.settings.items() if name not in common})


def number(value: Any) -> str:
    """A setting's value."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def accuracy(row: TestedPrompt) -> str:
    """``84.0 %``; empty where there is none."""
    if row.test is None or row.test.accuracy is None:
        return ""
    return f"{100 * row.test.accuracy:.1f} %"


def interval(ends: tuple[float, float] | None) -> str:
    """``80.1 % – 87.3 %``."""
    return " – ".join(f"{100 * end:.1f} %" for end in ends or ())


def points(ends: tuple[float, float] | None) -> str:
    """``-1.0 to +9.0``, for a difference of accuracies in points; empty where there is no interval."""
    return " to ".join(f"{100 * end:+.1f}" for end in ends or ())


def gain(found: Gain | None) -> str:
    """``+4.0 points (-1.0 to +9.0), test``; points for accuracy, else the metric's name."""
    if found is None:
        return ""
    scale, unit, digits = (100, "points", 1) if found.metric == "accuracy" else (1, visible(found.metric), 3)
    value, *ends = (f"{scale * number:+.{digits}f}" for number in (found.value, *(found.ends or ())))
    within = f" ({' to '.join(ends)})" if ends else ""
    return f"{value} {unit}{within}, {found.split}"


def moment(iso: str) -> str:
    """``2026-11-26 16:29 UTC``, without UTC where the time has no zone; other texts unchanged."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\d(\+00:00)?", iso)
    return f"{found[1]} {found[2]}{' UTC' if found[3] else ''}" if found else iso


def clock(seconds: float) -> str:
    """``3:46``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def shortened(value: Any) -> str:
    """A data field as text, cut after ``LONGEST`` characters."""
    text = visible(value if isinstance(value, str) else str(value))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
