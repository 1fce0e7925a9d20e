"""Edits of a template: solved examples, trainable vectors, order of fields, place of the label; the rest stays."""

from __future__ import annotations

import random

from autoprompt.template import LABEL, Demos, Literal, Segment, Slot, Soft, Template

_STOP = " \t\n.,;:!?"


def is_field(segment: Segment) -> bool:
    """Whether a segment is a slot for a data field."""
    return isinstance(segment, Slot) and segment.name != LABEL


def fields_after(template: Template) -> bool:
    """Whether a data field stands after the label."""
    label = template.segments.index(Slot(LABEL))
    return any(is_field(s) for s in template.segments[label:])


def text(template: Template) -> Template:
    """The template without its solved examples and trainable vectors."""
    return Template(tuple(s for s in template.segments if not isinstance(s, Demos | Soft)))


def question(template: Template) -> tuple[Segment, ...]:
    """The segments between the last field or solved examples and ``{label}``: the words that ask for the label."""
    return template.segments[len(template.head().segments) : template.segments.index(Slot(LABEL))]


def with_demos(template: Template, count: int) -> Template:
    """The template with ``count`` solved examples, in their old place or at the start; 0 removes them."""
    if not template.demos and count:
        return Template((Demos(count), *template.segments))
    kept = [Demos(count) if isinstance(s, Demos) else s for s in template.segments]
    return Template(tuple(s for s in kept if s != Demos(0)))


def with_soft(template: Template, count: int) -> Template:
    """The template with ``count`` trainable vectors in one part; 0 removes them all.

    They stand at the place of the first such part, or before the words that ask for the label.
    """
    segments = list(template.segments)
    first = next((i for i, s in enumerate(segments) if isinstance(s, Soft)), len(template.head().segments))
    before, after = segments[:first], [s for s in segments[first:] if not isinstance(s, Soft)]
    return Template((*before, *([Soft(count)] if count else []), *after))


def soft_places(template: Template, part: Soft, anywhere: bool) -> list[Template]:
    """Templates with ``part`` added, one for each place between segments; ``anywhere``: after the label as well."""
    segments = template.segments
    last = len(segments) if anywhere else segments.index(Slot(LABEL))
    return [Template((*segments[:i], part, *segments[i:])) for i in range(last + 1)]


def moved_soft(template: Template, rng: random.Random, anywhere: bool) -> Template | None:
    """The template with one part of trainable vectors moved; None where there is none or no other place."""
    parts = [i for i, s in enumerate(template.segments) if isinstance(s, Soft)]
    if not parts:
        return None
    taken = rng.choice(parts)
    rest = Template(template.segments[:taken] + template.segments[taken + 1 :])
    part = template.segments[taken]
    assert isinstance(part, Soft)  # noqa: S101
    places = [place for place in soft_places(rest, part, anywhere) if place != template]
    return rng.choice(places) if places else None


def swapped_fields(template: Template, rng: random.Random) -> Template | None:
    """The template with two random data fields swapped; None where it has fewer than two."""
    segments = list(template.segments)
    fields = [i for i, segment in enumerate(segments) if is_field(segment)]
    if len(fields) < 2:
        return None
    a, b = rng.sample(fields, 2)
    segments[a], segments[b] = segments[b], segments[a]
    return Template(tuple(segments))


def reversed_fields(template: Template) -> Template:
    """The template with its data fields in the opposite order; the text between them stays."""
    fields = iter([segment for segment in reversed(template.segments) if is_field(segment)])
    return Template(tuple(next(fields) if is_field(segment) else segment for segment in template.segments))


def label_places(template: Template) -> list[int]:
    """Other places for the label: ``i`` is before data field ``i`` (from 0), the number of fields is after them all."""
    label = template.segments.index(Slot(LABEL))
    now = sum(is_field(s) for s in template.segments[:label])
    return [place for place in range(sum(map(is_field, template.segments)) + 1) if place != now]


def with_label_at(template: Template, place: int) -> Template:
    """The template with the label and the words that ask for it moved to ``place`` (see ``label_places``).

    ``"{text} It was {label}"`` becomes ``"It was {label}. {text}"``; moved back, it becomes the first again.
    """
    start = next((i + 1 for i, s in enumerate(template.segments) if isinstance(s, Demos)), 0)
    blocks: list[list[Segment]] = [[]]
    for segment in template.segments[start:]:
        blocks[-1].append(segment)
        if isinstance(segment, Slot):
            blocks.append([])
    rest = [s for s in blocks.pop() if isinstance(s, Soft)]  # text is dropped: a final full stop would be misplaced
    opening = blocks[0]
    at = next(i for i, block in enumerate(blocks) if block[-1] == Slot(LABEL))
    line = "\n" in _space(blocks[at]) or (at == 0 and len(blocks) > 1 and "\n" in _space(blocks[1]))
    asked = blocks.pop(at)
    blocks.insert(place, asked)
    if blocks[0] is not opening:
        moved = next(i for i, block in enumerate(blocks) if block is opening)
        gap = "\n" if line else ". " if blocks[moved - 1] is asked else " "
        blocks[moved] = [Literal(gap), *opening]
        blocks[0] = _strip_leading(blocks[0])
    return Template((*template.segments[:start], *(s for block in blocks for s in block), *rest))


def _space(block: list[Segment]) -> str:
    """Whitespace and punctuation at the start of a block's text."""
    text = next((s.text for s in block if isinstance(s, Literal)), "")
    return text[: len(text) - len(text.lstrip(_STOP))]


def _strip_leading(block: list[Segment]) -> list[Segment]:
    """The block without the whitespace and punctuation at the start of its text."""
    first = next((i for i, s in enumerate(block) if isinstance(s, Literal)), None)
    return [Literal(s.text.lstrip(_STOP)) if i == first and isinstance(s, Literal) else s for i, s in enumerate(block)]
