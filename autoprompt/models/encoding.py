"""From rendered prompts to token ids: whole strings, with the places of label, text and literals.

A prompt is always tokenised as one string. A kept prefix ends where the head's own tokens and those of the
whole string still agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoprompt.candidate import digest
from autoprompt.errors import InputError
from autoprompt.template import LABEL, LabelWords, Piece, Template, render_value

MIN_TAIL = 4
"""Positions that a tail has at least, taken from the text where the template has fewer after it."""


@dataclass(frozen=True)
class LiteralToken:
    """One token that lies wholly in a literal: its index in the ids, the segment, and its characters there."""

    index: int
    segment: int
    start: int
    end: int


@dataclass(frozen=True)
class EncodedRow:
    """One row's tokens.

    ``keep``: how many tokens the kept prefix covers. ``tails``: the distinct inputs after it, without the last
    target. ``targets``: for each label, which tail, and the ids that its last positions predict.
    """

    keep: int
    tails: tuple[tuple[int, ...], ...]
    targets: tuple[tuple[int, tuple[int, ...]], ...]


class Encoder:
    """A tokenizer (fast, of transformers) with a length limit for fields."""

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        if not tokenizer.is_fast:
            raise InputError("The model's tokenizer has no fast version, which is needed to find places in a text.")
        self.tokenizer = tokenizer
        self.max_length = max_length
        self._cut: dict[str, str] = {}

    def tokenize(self, texts: Sequence[str], *, special: bool = True) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """Ids and character spans; special tokens spelled in a text stay text, a closing one is dropped."""
        if not texts:
            return []
        encoded = self.tokenizer(
            list(texts),
            add_special_tokens=special,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            split_special_tokens=True,
        )
        out = []
        columns = (encoded[name] for name in ("input_ids", "offset_mapping", "special_tokens_mask"))
        for text, ids, spans, added in zip(texts, *columns, strict=True):
            end = len(ids)
            while text and end and added[end - 1]:
                end -= 1
            out.append((ids[:end], spans[:end]))
        return out

    def cut(self, text: str) -> str:
        """A field's text, cut after ``max_length`` tokens."""
        if text not in self._cut:
            (_, spans), *_ = self.tokenize([text], special=False)
            self._cut[text] = text if len(spans) <= self.max_length else text[: spans[self.max_length - 1][1]]
        return self._cut[text]

    def cut_fields(self, fields: Mapping[str, Any]) -> dict[str, str]:
        """All fields as text, each cut."""
        return {name: self.cut(render_value(value)) for name, value in fields.items()}

    def heads(self, template: Template, rows: Sequence[Mapping[str, Any]]) -> list[list[int]]:
        """The ids of each row's head: the prompt up to the end of the last field before the label."""
        head = template.head()
        if not head.segments:
            return [[] for _ in rows]
        return [ids for ids, _ in self.tokenize([head.render(self.cut_fields(row)) for row in rows])]

    def encode(
        self,
        template: Template,
        words: LabelWords,
        rows: Sequence[Mapping[str, Any]],
        heads: list[list[int]] | None,
    ) -> list[EncodedRow]:
        """Encode rows; ``heads`` from ``heads()``, or None to keep no prefix.

        Raises InputError when two labels' words give the same tokens.
        """
        count = len(words.pairs)
        pieces = [template.pieces(self.cut_fields(row), word) for row in rows for word in words.words]
        encoded = self.tokenize(["".join(p.text for p in parts) for parts in pieces])
        out = []
        for number in range(len(rows)):
            block = slice(number * count, (number + 1) * count)
            starts = [_first_target(spans, _label_start(parts)) for (_, spans), parts in
                      zip(encoded[block], pieces[block], strict=True)]  # fmt: skip
            head = heads[number] if heads is not None else []
            out.append(_encode_row([ids for ids, _ in encoded[block]], starts, head, words))
        return out

    def literal_tokens(
        self, template: Template, row: Mapping[str, Any], word: str
    ) -> tuple[list[int], list[LiteralToken]]:
        """A rendered row's ids and those of its tokens that lie wholly in literal text before the label."""
        pieces = template.pieces(self.cut_fields(row), word)
        (ids, spans), *_ = self.tokenize(["".join(p.text for p in pieces)])
        found = []
        position = 0
        for number, piece in enumerate(pieces):
            if piece.slot == LABEL:
                break
            end = position + len(piece.text)
            if piece.slot is None:
                found += [
                    LiteralToken(index, number, start - position, stop - position)
                    for index, (start, stop) in enumerate(spans)
                    if position <= start < stop <= end
                ]
            position = end
        return ids, found


def _label_start(pieces: Sequence[Piece]) -> int:
    position = 0
    for piece in pieces:
        if piece.slot == LABEL:
            return position
        position += len(piece.text)
    raise InputError("The template has no {label} slot.")


def _first_target(spans: Sequence[tuple[int, int]], label_start: int) -> int:
    """Index of the token that holds the label's first character."""
    return next(index for index, (_, end) in enumerate(spans) if end > label_start)


def _encode_row(ids: list[list[int]], starts: list[int], head: list[int], words: LabelWords) -> EncodedRow:
    context = min(starts)
    keep = max(0, min(_agreement([head, *ids]), context - MIN_TAIL))
    tails: list[tuple[int, ...]] = []
    targets = []
    for sequence, start in zip(ids, starts, strict=True):
        # A prompt that begins with the label has nothing to predict its first token from.
        first = max(start, 1)
        tail = tuple(sequence[keep:-1])
        if tail not in tails:
            tails.append(tail)
        targets.append((tails.index(tail), tuple(sequence[first:])))
    if len(set(targets)) < len(targets) or not all(target for _, target in targets):
        raise InputError(f"The label words {list(words.words)} cannot be told apart by the tokenizer; change them.")
    return EncodedRow(keep, tuple(tails), tuple(targets))


def _agreement(sequences: Sequence[Sequence[int]]) -> int:
    """Length of the common beginning."""
    shortest = min(len(s) for s in sequences)
    first = sequences[0]
    return next((i for i in range(shortest) if any(s[i] != first[i] for s in sequences)), shortest)


def rows_key(head: Template, rows: Sequence[Any]) -> str:
    """Names the kept prefixes of some rows under one head."""
    return digest("\n".join([head.format(), *(row.row_id for row in rows)]))[:32]
