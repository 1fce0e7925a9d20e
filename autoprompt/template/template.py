"""``Template``: a prompt template, bound to the data's fields and rendered segment by segment.

Text from the data is always literal text, even when it spells a slot.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoprompt.errors import InputError, UsageError
from autoprompt.template.parsing import check_text, format_segment, parse
from autoprompt.template.segments import (
    LABEL,
    MAX_CHARACTERS,
    MAX_SEGMENTS,
    Demos,
    Literal,
    Piece,
    Segment,
    Slot,
    Soft,
    canonical,
)

_BETWEEN_DEMOS = "\n\n"


@dataclass(frozen=True, init=False)
class Template:
    """An immutable prompt template in canonical form (adjacent literals joined, empty ones dropped).

    ``Template("Review: {text} | Sentiment: {sentiment}")`` is ``Template.parse`` of the text.
    """

    segments: tuple[Segment, ...]

    def __init__(self, segments: Iterable[Segment] | str) -> None:
        given = Template.parse(segments).segments if isinstance(segments, str) else segments
        object.__setattr__(self, "segments", canonical(given))

    @classmethod
    def parse(cls, source: str) -> Template:
        """Parse ``"Review: {text}\\nSentiment: {label}"``; ``{{`` and ``}}`` are literal braces.

        Raises InputError for unbalanced braces, for slots that are more than a plain name, and for a text of more than
        ``MAX_CHARACTERS`` or ``MAX_SEGMENTS``.
        """
        if not isinstance(source, str):
            raise InputError(f"The template {reprlib.repr(source)} is not text.")
        if len(source) > MAX_CHARACTERS:
            raise InputError(
                f"The template has {len(source)} characters, and {MAX_CHARACTERS} are the most; shorten it."
            )
        check_text(source, "template")
        template = cls(tuple(parse(source)))
        if len(template.segments) > MAX_SEGMENTS:
            raise InputError(
                f"The template {source[:80]!r}... has {len(template.segments)} slots and texts between them, and "
                f"{MAX_SEGMENTS} are the most; shorten it."
            )
        return template

    @property
    def slots(self) -> tuple[str, ...]:
        """Slot names in order, the label slot included."""
        return tuple(s.name for s in self.segments if isinstance(s, Slot))

    @property
    def fields(self) -> tuple[str, ...]:
        """The data fields that the template shows, in order."""
        return tuple(dict.fromkeys(name for name in self.slots if name != LABEL))

    @property
    def literals(self) -> tuple[str, ...]:
        """The literal texts in order."""
        return tuple(s.text for s in self.segments if isinstance(s, Literal))

    @property
    def demos(self) -> int:
        """Number of solved examples that the template shows."""
        return sum(s.count for s in self.segments if isinstance(s, Demos))

    @property
    def soft(self) -> int:
        """Number of trainable vectors in the template."""
        return sum(s.count for s in self.segments if isinstance(s, Soft))

    @property
    def length(self) -> int:
        """Number of characters of literal text; among tied candidates, the shorter template wins."""
        return sum(len(text) for text in self.literals)

    def format(self) -> str:
        """The template as text; ``Template.parse`` of it gives the template back."""
        return "".join(format_segment(segment) for segment in self.segments)

    def __str__(self) -> str:
        return self.format()

    def bind(self, fields: Sequence[str], label_column: str = LABEL) -> Template:
        """Check the slots against the data's fields and name the predicted place ``{label}``.

        Raises InputError for an unknown field, for no or several predicted places, and when no field is used.
        """
        label = self._label_slot(fields, label_column)
        bound = Template(tuple(Slot(LABEL) if s == Slot(label) else s for s in self.segments))
        used = [name for name in bound.slots if name != LABEL]
        for name in used:
            if name not in fields:
                raise InputError(
                    f"The template's slot {{{name}}} at column {self._columns(name)[0]} is no field of the data; "
                    f"use {_names(fields)} or {{label}}."
                )
        places = self._columns(label)
        if len(places) > 1:
            raise InputError(
                f"The template {self.format()!r} repeats the label's slot {{{label}}} at column {places[1]}; keep one."
            )
        if sum(isinstance(s, Demos) for s in self.segments) > 1:
            raise InputError(f"The template {self.format()!r} has several {{demos}} parts; keep one.")
        if not used:
            raise InputError(f"The template {self.format()!r} uses no data field; add {_names(fields)}.")
        if not {LABEL, *used} <= set(bound._pattern().slots):
            raise InputError(f"In the template {self.format()!r} the {{demos}} come after a slot; put them first.")
        return bound

    def _columns(self, name: str) -> list[int]:
        """Columns of the slots with this name in the template's text, counted from 1."""
        out = []
        column = 1
        for segment in self.segments:
            if segment == Slot(name):
                out.append(column)
            column += len(Template((segment,)).format())
        return out

    def _label_slot(self, fields: Sequence[str], label_column: str) -> str:
        if LABEL in self.slots:
            return LABEL
        if label_column in self.slots:
            return label_column
        others = sorted(set(self.slots) - set(fields))
        if len(others) == 1:
            return others[0]
        if not others:
            raise InputError(
                f"The template {self.format()!r} ends at column {len(self.format())} with no {{label}} slot for the "
                "predicted word; add {label}."
            )
        places = ", ".join(f"{{{name}}} at column {self._columns(name)[0]}" for name in others)
        raise InputError(
            f"The template {self.format()!r} has no {{label}} and the unknown slots {places}; the data's fields are "
            f"{_names(fields)}."
        )

    def _pattern(self) -> Template:
        """The template of one solved example: the segments after ``{demos}``, without trainable vectors."""
        first = next((i + 1 for i, s in enumerate(self.segments) if isinstance(s, Demos)), 0)
        return Template(tuple(s for s in self.segments[first:] if not isinstance(s, Soft)))

    def render_demos(self, solved: Sequence[tuple[Mapping[str, Any], str]]) -> str:
        """The text of ``{demos:k}`` from k pairs of fields and label word, in their order."""
        pattern = self._pattern()
        return "".join(pattern.render(fields, word) + _BETWEEN_DEMOS for fields, word in solved)

    def with_demos(self, text: str) -> Template:
        """The template with its solved examples as literal text, for programs that have no training rows."""
        return Template(tuple(Literal(text) if isinstance(s, Demos) else s for s in self.segments))

    def pieces(self, fields: Mapping[str, Any], label: str | None = None, demos: str = "") -> list[Piece]:
        """The rendered segments; without ``label`` only those before the predicted place.

        ``demos``: the text of the solved examples. Raises InputError when a field is missing.
        """
        out = []
        for segment in self.segments:
            if isinstance(segment, Literal):
                out.append(Piece(segment.text, None))
            elif isinstance(segment, Demos):
                out.append(Piece(demos, "demos"))
            elif isinstance(segment, Soft):
                out.append(Piece("", "soft", segment.count))
            elif segment.name != LABEL:
                if segment.name not in fields:
                    raise InputError(f"The field {segment.name!r}, which the template uses, is missing.")
                out.append(Piece(render_value(fields[segment.name]), segment.name))
            elif label is None:
                break
            else:
                out.append(Piece(label, LABEL))
        return out

    def render(self, fields: Mapping[str, Any], label: str | None = None) -> str:
        """The prompt's text up to the label, or all of it when ``label`` (a label word) is given."""
        return "".join(piece.text for piece in self.pieces(fields, label))

    def parts(self) -> list[tuple[str | None, str | None]]:
        """Each segment as (slot's name, None) or (None, literal text): for programs without this package.

        Raises UsageError for solved examples and trainable vectors.
        """
        if self.soft or self.demos:
            raise UsageError(
                f"The template {self.format()!r} has parts that are no text of their own; trainable vectors need the "
                "model and its weights, solved examples are written out with `with_demos`."
            )
        return [(None, s.text) if isinstance(s, Literal) else (s.name, None) for s in self.segments
                if isinstance(s, Literal | Slot)]  # fmt: skip

    def head(self) -> Template:
        """The part that the prefix cache can hold: up to and including the last field or demos before the label."""
        before = self.segments[: self.segments.index(Slot(LABEL))]
        last = max((i for i, s in enumerate(before) if isinstance(s, Slot | Demos)), default=-1)
        return Template(before[: last + 1])


def _names(names: Iterable[str]) -> str:
    return ", ".join("{" + name + "}" for name in names)


def render_value(value: Any) -> str:
    """A field as prompt text: a string unchanged, a dict or list as ``key: value`` lines."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return "\n".join(f"{key}: {_inline(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return "\n".join(f"{number}: {_inline(item)}" for number, item in enumerate(value, 1))
    return str(value)


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_inline(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_inline(item) for item in value)
    return str(value)
