"""Prompt templates and label words: parse, bind, render, canonical form.

A template is parsed once into literal and slot segments, and rendered segment by segment.
"""

from autoprompt.template.label_words import LabelWords
from autoprompt.template.parsing import format_segment
from autoprompt.template.segments import LABEL, MAX_CHARACTERS, MAX_PARTS, Demos, Literal, Piece, Segment, Slot, Soft
from autoprompt.template.template import Template, render_value

__all__ = [
    "LABEL",
    "MAX_CHARACTERS",
    "MAX_PARTS",
    "Demos",
    "LabelWords",
    "Literal",
    "Piece",
    "Segment",
    "Slot",
    "Soft",
    "Template",
    "format_segment",
    "render_value",
]
