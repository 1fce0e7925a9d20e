"""Text from data, models and people as text: what a reader sees is what is there, and nothing of it acts."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from autoprompt.errors import InputError
from autoprompt.template import Literal, Template
from autoprompt.template.parsing import written
from autoprompt.terminal import visible

_MARKS = re.compile(r"([\\`*_{}\[\]()#+\-.!|~^$:@])")


def markdown(text: str) -> str:
    """Text within Markdown that is no markup, no link and no HTML, also in a table's cell."""
    marked = _MARKS.sub(r"\\\1", visible(text))
    return marked.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def markdown_code(text: str) -> str:
    """The same as a code span, for what is to be copied."""
    shown = visible(text).replace("|", "\\|")
    fence = "`" * (max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    space = " " if shown.startswith(("`", " ")) or shown.endswith(("`", " ")) or not shown else ""
    return f"{fence}{space}{shown}{space}{fence}"


def highlighted(template: str) -> Markup:
    """A template as HTML, its slots marked."""
    try:
        segments = Template.parse(template).segments
    except InputError:  # of a version that knew more
        return escape(visible(template))
    parts = []
    for segment in segments:
        text = escape(visible(written(segment)))
        parts.append(text if isinstance(segment, Literal) else Markup("<mark>{}</mark>").format(text))
    return Markup("").join(parts)
