"""Parsing of a template's text into segments, and writing of segments as text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from autoprompt.errors import InputError
from autoprompt.template.segments import MAX_PARTS, Demos, Literal, Segment, Slot, Soft

_SLOT_NAME = re.compile(r"[^\W\d]\w*(?:[ -]\w+)*\Z")
_PART = re.compile(r"(demos|soft)(?::([0-9]*))?\Z")


def parse(source: str) -> Iterator[Segment]:
    """The segments of a template's text. Raises InputError for unbalanced braces and invalid slots."""
    position = 0
    while position < len(source):
        char = source[position]
        if char in "{}" and source[position : position + 2] == char * 2:
            yield Literal(char)
            position += 2
        elif char == "{":
            end = source.find("}", position)
            if end < 0:
                raise InputError(_at(source, position, "opens a slot that is never closed; write {{ for a brace"))
            yield _slot(source, position, source[position + 1 : end])
            position = end + 1
        elif char == "}":
            raise InputError(_at(source, position, "closes no slot; write }} for a brace"))
        else:
            following = re.compile("[{}]").search(source, position)
            end = following.start() if following else len(source)
            yield Literal(source[position:end])
            position = end


def _slot(source: str, position: int, name: str) -> Segment:
    shown = "{" + name[:40] + "}"
    part = _PART.match(name)
    if part:
        most = MAX_PARTS[part[1]]
        count = int(part[2]) if part[2] and len(part[2]) < 4 else 0
        if not 1 <= count <= most or part[2] != str(count):
            raise InputError(_at(source, position, f"opens {shown!r}, which takes a number from 1 to {most}: "
                                 f"{{{part[1]}:4}}"))  # fmt: skip
        return Demos(count) if part[1] == "demos" else Soft(count)
    if not _SLOT_NAME.match(name):
        raise InputError(_at(source, position, f"opens {shown!r}, but a slot is a field's plain name"))
    return Slot(name)


def format_segment(segment: Segment) -> str:
    """A segment as it is written in a template."""
    match segment:
        case Literal(text):
            return text.replace("{", "{{").replace("}", "}}")
        case Slot(name):
            return "{" + name + "}"
        case Demos(count):
            return f"{{demos:{count}}}"
        case Soft(count):
            return f"{{soft:{count}}}"


def check_text(text: str, what: str) -> None:
    """Raise InputError for a lone surrogate in ``text``; ``what`` names the text."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"The {what} {text!r} has a lone surrogate at column {error.start + 1}, which is no character; remove it."
        ) from error


def _at(source: str, position: int, what: str) -> str:
    shown = source if len(source) <= 80 else source[:77] + "..."
    return f"In the template {shown!r} the brace at column {position + 1} {what}."
