"""Escaping of untrusted text for Markdown and HTML: it is shown literally and never acts as markup."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from autoprompt.errors import InputError
from autoprompt.template import Literal, Template, format_segment
from autoprompt.terminal import visible

_MARKS = re.compile(r"([\\`*_{}\[\]()#+\-.!|~^$:@])")


def markdown(text: str) -> str:
    """Text escaped for Markdown, table cells included, so that it is no markup, link or HTML."""
    marked = _MARKS.sub(r"\\\1", visible(text))
    return marked.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def markdown_code(text: str) -> str:
    """Text as a Markdown code span, table cells included, for text that readers copy."""
    shown = visible(text).replace("|", "\\|")
    fence = "`" * (max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    space = " " if shown.startswith(("`", " ")) or shown.endswith(("`", " ")) or not shown else ""
    return f"{fence}{space}{shown}{space}{fence}"


def highlighted(template: str) -> Markup:
    """A template as HTML with its slots marked."""
    try:
        segments = Template.parse(template).segments
    except InputError:  # written by a newer version
        return escape(visible(template))
    parts = []
    for segment in segments:
        text = escape(visible(format_segment(segment)))
        parts.append(text if isinstance(segment, Literal) else Markup("<mark>{}</mark>").format(text))
    return Markup("").join(parts)
