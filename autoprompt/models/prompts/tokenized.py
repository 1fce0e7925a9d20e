"""Tokenised prompts, with the places of the answer and of the template's literal text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from autoprompt.errors import InputError
from autoprompt.template import LABEL, LabelWords, Piece

Span = tuple[int, int]

CHAT_MARKER = ""
"""Slot name of text that a chat format adds; no field has an empty name."""


@dataclass(frozen=True)
class LiteralToken:
    """A token wholly inside a literal segment.

    ``index``: in the prompt's ids. ``segment``: number of the segment. ``start``, ``end``: its characters in the
    segment.
    """

    index: int
    segment: int
    start: int
    end: int


@dataclass(frozen=True)
class Rendered:
    """One tokenised prompt with one answer in place of ``{label}``.

    ``ids``: token ids; a trainable vector is -1 - its number. ``spans``: each token's character range. ``pieces``: the
    template's segments and a chat format's markers, which make up the text. ``blanks``: whether white space before the
    answer is part of it. True for a target text, because decoding does not know which token comes next.
    """

    ids: tuple[int, ...]
    spans: tuple[Span, ...]
    pieces: tuple[Piece, ...]
    blanks: bool = False

    @cached_property
    def starts(self) -> list[int]:
        """Character offset of each piece, and of the text's end."""
        return list(accumulate((len(piece.text) for piece in self.pieces), initial=0))

    @cached_property
    def answer(self) -> Span:
        """First and last + 1 of the tokens that contain a character of the answer; (n, n) without an answer."""
        label = next((i for i, piece in enumerate(self.pieces) if piece.slot == LABEL), None)
        if label is None:
            return len(self.ids), len(self.ids)
        start, end = self.starts[label], self.starts[label + 1]
        if self.blanks and self.pieces[label - 1].slot != CHAT_MARKER:
            start = len("".join(piece.text for piece in self.pieces[:label]).rstrip())
        first = next((i for i, (_, b) in enumerate(self.spans) if b > start), len(self.ids))
        return first, max([first, *(i + 1 for i, (a, b) in enumerate(self.spans) if b > start and a < end)])

    def literals(self, *, after_answer: bool) -> list[LiteralToken]:
        """The tokens wholly inside literal text; if several share a character, only the last.

        ``after_answer``: include the text after the answer.
        """
        found: list[LiteralToken] = []
        segments = [(number, piece) for number, piece in enumerate(self.pieces) if piece.slot != CHAT_MARKER]
        for segment, (number, piece) in enumerate(segments):
            if piece.slot == LABEL and not after_answer:
                break
            if piece.slot is not None:
                continue
            start, end = self.starts[number], self.starts[number + 1]
            found += [
                LiteralToken(index, segment, a - start, b - start)
                for index, (a, b) in enumerate(self.spans)
                if start <= a < b <= end and not (index + 1 < len(self.spans) and a <= self.spans[index + 1][0] < b)
            ]
        return found


@dataclass(frozen=True)
class Target:
    """Where the tokens of one answer are predicted.

    ``input``: index of the row's input. ``places``: for each token, the index in that input whose output predicts it.
    ``ids``: the tokens.
    """

    input: int
    places: tuple[int, ...]
    ids: tuple[int, ...]


@dataclass(frozen=True)
class EncodedRow:
    """One row's tokens.

    ``inputs``: distinct sequences for the model; in an encoder-decoder for the decoder, while the encoder reads
    ``context``. ``targets``: one per label, or one for the row's own target text. ``cached_tokens``: number of cached
    prefix tokens before every input.
    """

    inputs: tuple[tuple[int, ...], ...]
    targets: tuple[Target, ...]
    cached_tokens: int = 0
    context: tuple[int, ...] = ()


def encoded_row(
    answers: Sequence[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]],
    words: LabelWords,
    *,
    cached_tokens: int = 0,
    context: tuple[int, ...] = (),
) -> EncodedRow:
    """Build a row from each answer's input, places and tokens.

    Raises InputError for answers that have no tokens or cannot be told apart.
    """
    inputs = list(dict.fromkeys(own for own, _, _ in answers))
    targets = tuple(Target(inputs.index(own), places, ids) for own, places, ids in answers)
    if len({(target.input, target.ids) for target in targets}) < len(targets) or not all(t.ids for t in targets):
        if not words.pairs:
            raise InputError("A target text has no token that the model's tokenizer knows; check the data's labels.")
        raise InputError(
            f"The label words {list(words.words)} cannot be told apart by the model's tokenizer; change them."
        )
    return EncodedRow(tuple(inputs), targets, cached_tokens, context)
