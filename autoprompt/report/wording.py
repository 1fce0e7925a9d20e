"""How both kinds of report put values into words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoprompt.leaderboard import RunRecord
from autoprompt.report.escaping import visible
from autoprompt.report.facts import Facts
from autoprompt.report.outcome import Judged

LONGEST = 600
"""Characters of a field of the data that are shown."""


def metric_of(facts: Facts) -> str:
    """What is reported beside accuracy."""
    tests = [row.test["metric"] for row in facts.judged if row.test]
    return tests[0] if tests else "metric"


def depends(run: RunRecord) -> dict[str, str]:
    """The manifest as names and values."""
    manifest: Mapping[str, Any] = run.config.get("manifest") or {}
    model, code = manifest.get("model", {}), manifest.get("code", {})
    found = {
        "Model revision": model.get("revision", ""),
        **{f"{name}, SHA-256": value for name, value in model.get("files", {}).items()},
        "Data revision": manifest.get("data", {}).get("revision", ""),
        "Source, SHA-256": code.get("source", ""),
        "Commit": code.get("commit", ""),
        **run.environment,
    }
    return {name: str(value) for name, value in found.items() if value}


def settings_text(settings: Mapping[str, Any]) -> str:
    """``tail, learning rate 0.0005, batch size 8``."""
    words = [str(settings["tuning"])] if "tuning" in settings else []
    return ", ".join([*words, *(f"{k.replace('_', ' ')} {number(v)}" for k, v in settings.items() if k != "tuning")])


def number(value: Any) -> str:
    """A setting's value."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def accuracy(row: Judged) -> str:
    """``84.0 %``; nothing where there is none."""
    value = (row.test or {}).get("accuracy")
    return "" if value is None else f"{100 * value:.1f} %"


def interval(ends: tuple[float, float] | None) -> str:
    """``80.1 % – 87.3 %``."""
    return " – ".join(f"{100 * end:.1f} %" for end in ends or ())


def clock(seconds: float) -> str:
    """``3:46``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def cut(value: Any) -> str:
    """A field of the data, at most so long."""
    text = visible(value if isinstance(value, str) else str(value))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
