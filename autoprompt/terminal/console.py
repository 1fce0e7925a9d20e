"""The rich console for tables and progress views."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from autoprompt.terminal.escaping import printable, visible
from autoprompt.terminal.streams import without_escaping


class Console(RichConsole):
    """A rich console that prints control characters as escapes, without markup, emoji names, highlighting or links.

    Give styles as ``Text``.
    """

    def __init__(self, *, stderr: bool = False, **options: Any) -> None:
        options.setdefault("file", without_escaping(sys.stderr if stderr else sys.stdout))
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Escape the text of everything that is printed, before it is laid out."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else _escaped(segment)


def plain(text: str, style: str = "") -> Text:
    """Return text from data, models or people as a ``Text`` on one line, escaped as by ``visible``."""
    return Text(visible(text), style=style)


def _escaped(segment: Segment) -> Segment:
    style = segment.style.update_link(None) if segment.style and segment.style.link else segment.style
    return Segment(printable(segment.text), style)
