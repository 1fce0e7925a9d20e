"""Prompt templates and label words: parse, bind, render, canonical form.

A template is parsed once into literal and slot segments and rendered segment by segment, so text from
the data is always literal text, even when it spells a slot.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoprompt.errors import InputError, UsageError

LABEL = "label"
_SLOT_NAME = re.compile(r"[^\W\d]\w*(?:[ -]\w+)*\Z")
_PART = re.compile(r"(demos|soft)(?::([0-9]*))?\Z")
MAX_PARTS = {"demos": 32, "soft": 64}
"""The most solved examples and trainable vectors that one part may ask for."""
BETWEEN_DEMOS = "\n\n"


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
    """``{demos:4}``: solved training examples, each rendered with what follows this part."""

    count: int


@dataclass(frozen=True)
class Soft:
    """``{soft:8}``: trainable vectors in place of tokens."""

    count: int


Segment = Literal | Slot | Demos | Soft


@dataclass(frozen=True)
class Piece:
    """One rendered segment: its text, and the slot it fills (None for literal text).

    ``soft``: how many trainable vectors it stands for; its text is empty then.
    """

    text: str
    slot: str | None
    soft: int = 0


@dataclass(frozen=True, init=False)
class Template:
    """An immutable prompt template in canonical form (adjacent literals joined, empty ones dropped).

    ``Template("Review: {text} | Sentiment: {sentiment}")`` is ``Template.parse`` of the text.
    """

    segments: tuple[Segment, ...]

    def __init__(self, segments: Iterable[Segment] | str) -> None:
        given = Template.parse(segments).segments if isinstance(segments, str) else segments
        object.__setattr__(self, "segments", _canonical(given))

    @classmethod
    def parse(cls, source: str) -> Template:
        """Parse ``"Review: {text}\\nSentiment: {label}"``; ``{{`` and ``}}`` are literal braces.

        Raises InputError for unbalanced braces and for slots that are more than a plain name.
        """
        if not isinstance(source, str):
            raise InputError(f"The template {source!r} is not text.")
        _check_text(source, "template")
        return cls(tuple(_parse(source)))

    @property
    def slots(self) -> tuple[str, ...]:
        """Slot names in order, the label slot included."""
        return tuple(s.name for s in self.segments if isinstance(s, Slot))

    @property
    def literals(self) -> tuple[str, ...]:
        """The literal texts in order."""
        return tuple(s.text for s in self.segments if isinstance(s, Literal))

    @property
    def demos(self) -> int:
        """How many solved examples the template shows."""
        return sum(s.count for s in self.segments if isinstance(s, Demos))

    @property
    def soft(self) -> int:
        """How many trainable vectors the template holds."""
        return sum(s.count for s in self.segments if isinstance(s, Soft))

    @property
    def length(self) -> int:
        """Characters of literal text, the length that ties are broken by."""
        return sum(len(text) for text in self.literals)

    def format(self) -> str:
        """The template as text; ``Template.parse`` of it gives the template back."""
        return "".join(_source(segment) for segment in self.segments)

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
        """Where the slots of a name stand in the template's text, counted from 1."""
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
        """What one solved example is rendered with: all that follows the demos, trainable vectors left out."""
        first = next((i + 1 for i, s in enumerate(self.segments) if isinstance(s, Demos)), 0)
        return Template(tuple(s for s in self.segments[first:] if not isinstance(s, Soft)))

    def render_demos(self, solved: Sequence[tuple[Mapping[str, Any], str]]) -> str:
        """The text of ``{demos:k}`` from k pairs of fields and label word, in their order."""
        pattern = self._pattern()
        return "".join(pattern.render(fields, word) + BETWEEN_DEMOS for fields, word in solved)

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
        """Each segment as (slot's name, None) or (None, literal text): for programs without this package."""
        if self.soft or self.demos:
            raise UsageError(
                f"The template {self.format()!r} has parts that are no text of their own; trainable vectors need the "
                "model and its weights, solved examples are written out with `with_demos`."
            )
        return [(None, s.text) if isinstance(s, Literal) else (s.name, None) for s in self.segments
                if isinstance(s, Literal | Slot)]  # fmt: skip

    def head(self) -> Template:
        """The part up to and including the last field slot or demos before the label: what a prefix can keep."""
        before = self.segments[: self.segments.index(Slot(LABEL))]
        last = max((i for i, s in enumerate(before) if isinstance(s, Slot | Demos)), default=-1)
        return Template(before[: last + 1])


def _canonical(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    out: list[Segment] = []
    for segment in segments:
        if isinstance(segment, Literal) and out and isinstance(out[-1], Literal):
            out[-1] = Literal(out[-1].text + segment.text)
        elif segment != Literal(""):
            out.append(segment)
    return tuple(out)


def _parse(source: str) -> Iterable[Segment]:
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


def _source(segment: Segment) -> str:
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


def _check_text(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"The {what} {text!r} has a lone surrogate at column {error.start + 1}, which is no character; remove it."
        ) from error


def _at(source: str, position: int, what: str) -> str:
    shown = source if len(source) <= 80 else source[:77] + "..."
    return f"In the template {shown!r} the brace at column {position + 1} {what}."


def _names(names: Iterable[str]) -> str:
    return ", ".join("{" + name + "}" for name in names)


def render_value(value: Any) -> str:
    """A field as prompt text: a string as it is, a dict or list as ``key: value`` lines."""
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


@dataclass(frozen=True)
class LabelWords:
    """Which word or phrase stands for each label (the verbalizer), in the labels' order."""

    pairs: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for label, word in self.pairs:
            if not word.strip():
                raise InputError(f"The label word of {label!r} is empty; give each label a word.")
            _check_text(word, f"label word of {label!r}")
            key = unicodedata.normalize("NFC", word.strip())
            if key in seen:
                raise InputError(f"The labels {seen[key]!r} and {label!r} share the word {word!r}; give each its own.")
            seen[key] = label

    @classmethod
    def of(cls, words: Mapping[str, str], labels: Sequence[str]) -> LabelWords:
        """Check ``words`` (label → word) against the labels. Raises InputError naming what is off."""
        missing = [label for label in labels if label not in words]
        unknown = [label for label in words if label not in labels]
        if missing or unknown:
            what = f"miss {missing}" if missing else f"name {unknown}, which the data does not have"
            raise InputError(f"The label words {what}; the labels are {list(labels)}.")
        not_text = [label for label in labels if not isinstance(words[label], str)]
        if not_text:
            raise InputError(f"The label words of {not_text} are not text; give one word or phrase each.")
        return cls(tuple((label, words[label]) for label in labels))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in order."""
        return tuple(label for label, _ in self.pairs)

    @property
    def words(self) -> tuple[str, ...]:
        """The words in the labels' order."""
        return tuple(word for _, word in self.pairs)

    def mapping(self) -> dict[str, str]:
        """Label → word."""
        return dict(self.pairs)

    def replace(self, label: str, word: str) -> LabelWords:
        """A copy with another word for one label. Raises InputError when it collides."""
        return LabelWords(tuple((name, word if name == label else old) for name, old in self.pairs))
