"""SVG charts for the HTML report: the same bytes for the same values, in the page's colours and fonts."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any, TypeVar

from markupsafe import Markup

from autoprompt.report.history import Point, SettingFacts, TunedPrompt

T = TypeVar("T")

# Placeholders in matplotlib's SVG, replaced by variables of the style sheet, which has a light and a dark scheme.
INK, MUTED, ACCENT = "#010101", "#020202", "#030303"
_VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", ACCENT: "var(--accent)"}
_STYLE: Any = {
    "text.parse_math": False,  # a dollar sign in a name is shown as it is
    "svg.hashsalt": "autoprompt",  # otherwise ids are random
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_SIZE = (4.6, 2.8)
MOST_POINTS = 400
"""Most points of one kind in a chart: more would hide each other, and each takes 130 bytes of the page."""


def progress(points: Sequence[Point]) -> list[Markup]:
    """Three charts of the lowest loss so far: against fine-tunes, seconds and tokens."""
    axes = (
        ("fine-tunes", [float(p.evaluations) for p in points]),
        ("seconds of all workers", [p.seconds for p in points]),
        ("tokens", [float(p.tokens) for p in points]),
    )
    from matplotlib.ticker import EngFormatter

    losses = [p.loss for p in points]
    described = f"It fell from {losses[0]:.3f} to {losses[-1]:.3f}." if losses else "Nothing was fine-tuned."

    def draw(label: str, values: list[float]) -> Callable[[Any], None]:
        def on(ax: Any) -> None:
            ax.step(values, losses, where="post", color=ACCENT)
            ax.locator_params(axis="x", nbins=5)
            ax.xaxis.set_major_formatter(EngFormatter(sep=""))  # 350k
            ax.set_xlabel(label)
            ax.set_ylabel("lowest validation loss")

        return on

    return [
        _chart(f"progress{number}", f"Lowest validation loss against {label}", described, draw(label, values))
        for number, (label, values) in enumerate(axes)
    ]


def front(prompts: Sequence[TunedPrompt], best: Sequence[TunedPrompt]) -> Markup:
    """Chart of loss against length, with the Pareto front marked."""
    known = sorted((p.loss, p.length) for p in prompts if p.loss is not None)
    drawn = thinned(known, MOST_POINTS)

    def on(ax: Any) -> None:
        ax.scatter([length for _, length in drawn], [loss for loss, _ in drawn], s=14, color=MUTED, label="fine-tuned")
        ax.scatter([p.length for p in best], [p.loss for p in best], s=30, color=ACCENT, marker="D", label="front")
        ax.set_xlabel("characters of the template's own text")
        ax.set_ylabel("validation loss")
        ax.legend(frameon=False)

    described = f"{len(known)} prompts, {len(best)} of them on the front of loss, length and perplexity."
    described += f" {len(drawn)} are drawn." if len(drawn) < len(known) else ""
    return _chart("front", "Validation loss against length of the template", described, on)


def setting(name: str, groups: Sequence[SettingFacts]) -> Markup:
    """Chart of the fine-tunes' losses by the values of one setting, with their medians."""

    values = [f"{group.value:g}" if isinstance(group.value, float) else str(group.value) for group in groups]

    def on(ax: Any) -> None:
        for place, group in enumerate(groups):
            losses = thinned(group.losses, max(2, MOST_POINTS // len(groups)))
            ax.scatter([place] * len(losses), losses, s=14, color=MUTED)
            ax.hlines(group.median, place - 0.3, place + 0.3, color=ACCENT)
        ax.set_xticks(range(len(groups)), values)
        ax.set_xlabel(name.replace("_", " "))
        ax.set_ylabel("validation loss")

    counts = ", ".join(f"{value}: {len(group.losses)} prompts" for value, group in zip(values, groups, strict=True))
    return _chart(f"setting-{name}", f"Validation loss by {name.replace('_', ' ')}", f"{counts}.", on)


def thinned(values: Sequence[T], most: int) -> list[T]:
    """At most ``most`` of the sorted values, evenly spaced, with the first and the last."""
    if len(values) <= most:
        return list(values)
    return [values[round(place * (len(values) - 1) / (most - 1))] for place in range(most)]


def intervals(title: str, label: str, rows: Sequence[tuple[str, float, float, float]]) -> Markup:
    """Chart of values with their intervals. ``rows``: name, value, low and high each."""

    def on(ax: Any) -> None:
        for place, (_, value, low, high) in enumerate(reversed(rows)):
            ax.hlines(place, low, high, color=MUTED)
            ax.plot([value], [place], "o", color=ACCENT)
        ax.set_yticks(range(len(rows)), [name for name, *_ in reversed(rows)])
        ax.set_ylim(-0.6, len(rows) - 0.4)
        ax.set_xlabel(label)

    described = "; ".join(f"{name}: {value:.3f} ({low:.3f} to {high:.3f})" for name, value, low, high in rows)
    return _chart("intervals", title, described, on, height=0.9 + 0.34 * len(rows))


def _chart(name: str, title: str, described: str, draw: Callable[[Any], None], height: float = _SIZE[1]) -> Markup:
    """An SVG element with its text alternative. ``name``: prefix that makes its ids unique on the page."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context():
        mpl.rcdefaults()  # undo the user's matplotlibrc
        mpl.rcParams.update(_STYLE)
        figure = Figure(figsize=(_SIZE[0], height), layout="constrained")
        FigureCanvasSVG(figure)
        ax = figure.add_subplot()
        ax.patch.set_visible(False)
        draw(ax)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata=_METADATA)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    box = re.search(r'viewBox="[^"]*"', svg)
    assert box is not None  # noqa: S101
    start = (
        f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" {box[0]} xmlns="http://www.w3.org/2000/svg" role="img" '
        f'aria-labelledby="{name}-title {name}-desc">\n'
        f'<title id="{name}-title">{escape(title)}</title>\n<desc id="{name}-desc">{escape(described)}</desc>'
    )
    # matplotlib escapes the texts that it draws, and ``start`` is escaped above.
    return Markup(start + svg[svg.index(">") + 1 :].rstrip())  # noqa: S704
