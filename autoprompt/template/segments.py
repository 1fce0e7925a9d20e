"""Segments of a template: literal text, slots, solved examples and trainable vectors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

LABEL = "label"
MAX_PARTS = {"demos": 32, "soft": 64}
"""The most solved examples and trainable vectors that one part may ask for."""

MAX_CHARACTERS = 200_000
"""Most characters of a template's text, solved examples included."""
MAX_SEGMENTS = 1_000
"""Most segments of a template: slots and the literal texts between them."""


@dataclass(frozen=True)
class Literal:
    """Fixed text of a template."""

    text: str


@dataclass(frozen=True)
class Slot:
    """A place filled from a data field, or, when ``name == "label"``, the predicted place."""

    name: str


@dataclass(frozen=True)
class Demos:
    """``{demos:4}``: solved training examples, each rendered with the segments that follow."""

    count: int


@dataclass(frozen=True)
class Soft:
    """``{soft:8}``: trainable vectors in place of tokens."""

    count: int


Segment = Literal | Slot | Demos | Soft


@dataclass(frozen=True)
class Piece:
    """One rendered segment: its text, and the slot it fills (None for literal text).

    ``soft``: number of trainable vectors that it stands for; its text is then empty.
    """

    text: str
    slot: str | None
    soft: int = 0


def merge_literals(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """The segments with adjacent literals joined and empty ones dropped."""
    out: list[Segment] = []
    texts: list[str] = []

    def close() -> None:
        text = "".join(texts)
        texts.clear()
        if text:
            out.append(Literal(text))

    for segment in segments:
        if isinstance(segment, Literal):
            texts.append(segment.text)
        else:
            close()
            out.append(segment)
    close()
    return tuple(out)
