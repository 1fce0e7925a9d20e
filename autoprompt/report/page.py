"""Reports as self-contained HTML pages."""

from __future__ import annotations

from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from autoprompt.report import charts, formatting
from autoprompt.report.comparing import Comparison
from autoprompt.report.escaping import highlighted
from autoprompt.report.facts import Facts
from autoprompt.terminal import visible

if TYPE_CHECKING:
    from jinja2 import Environment


def run_page(facts: Facts) -> str:
    """The report of one run."""
    drawn = {
        "progress": charts.progress(facts.progress),
        "front": charts.front(facts.tuned_prompts, facts.front),
        "settings": [
            charts.setting(name, list(group)) for name, group in groupby(facts.settings, lambda row: row.name)
        ],
    }
    settings, words = formatting.common_to_all([line.entry for line in facts.lines])
    return render(
        "run.html.j2", facts=facts, charts=drawn, metric=formatting.test_metric(facts),
        manifest=formatting.manifest_items(facts.run), common_settings=settings, common_words=words,
    )  # fmt: skip


def comparison_page(comparison: Comparison) -> str:
    """The report of several runs."""
    rows = [
        (visible(row.name), row.winner.test.accuracy, *row.winner.interval)
        for row in comparison.runs
        if row.winner and row.winner.test and row.winner.test.accuracy is not None and row.winner.interval
    ]
    chart = charts.intervals("Test accuracy of each run's winner", "test accuracy", rows) if rows else ""
    return render("comparison.html.j2", comparison=comparison, chart=chart)


def render(name: str, **values: Any) -> str:
    """A Jinja template of this package, filled with the values. All are escaped, except ``Markup``."""
    from importlib.metadata import version

    environment = _environment()
    style = (_folder() / "style.css").read_text(encoding="utf-8")
    return environment.get_template(name).render(style=Markup(style), version=version("autoprompt-engine"), **values)  # noqa: S704


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_folder()), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "visible": visible,
        "slots": highlighted,
        "settings": formatting.settings_text,
        "other_settings": formatting.other_settings,
        **{
            name: getattr(formatting, name)
            for name in ("number", "clock", "moment", "shortened", "accuracy", "interval", "gain", "points")
        },
    }
    return environment


def _folder() -> Path:
    return Path(__file__).parent
