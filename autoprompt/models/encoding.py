"""From prompts to token ids: whole strings, with the places of the answer, the text and the literals.

A prompt is always tokenised as one string; only trainable vectors and a chat format's markers, which are no text,
part it. What the model answers with (a label word, a target text) stands in its place while the string is tokenised,
so that the tokens around it are those of the finished prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any

from autoprompt.candidate import Candidate
from autoprompt.corpus import Example
from autoprompt.errors import InputError
from autoprompt.template import LABEL, Literal, Piece, Template, render_value

Span = tuple[int, int]


@dataclass(frozen=True)
class LiteralToken:
    """One token that lies wholly in a literal: its index in the ids, the segment, and its characters there."""

    index: int
    segment: int
    start: int
    end: int


@dataclass(frozen=True)
class Rendered:
    """One prompt with one answer in its place.

    ``ids``: tokens; a trainable vector is -1 - its number. ``spans``: each token's characters. ``pieces``: the
    rendered segments that the characters come from.
    """

    ids: tuple[int, ...]
    spans: tuple[Span, ...]
    pieces: tuple[Piece, ...]

    @cached_property
    def starts(self) -> list[int]:
        """Where each piece starts, and at last the text's end."""
        return list(accumulate((len(piece.text) for piece in self.pieces), initial=0))

    @cached_property
    def answer(self) -> Span:
        """First and last + 1 of the tokens that hold a character of the answer; (n, n) without an answer."""
        label = next((i for i, piece in enumerate(self.pieces) if piece.slot == LABEL), None)
        if label is None:
            return len(self.ids), len(self.ids)
        start, end = self.starts[label], self.starts[label + 1]
        first = next((i for i, (_, b) in enumerate(self.spans) if b > start), len(self.ids))
        return first, max([first, *(i + 1 for i, (a, b) in enumerate(self.spans) if b > start and a < end)])

    def literals(self, *, after_answer: bool) -> list[LiteralToken]:
        """The tokens that lie wholly in literal text."""
        found = []
        for number, piece in enumerate(self.pieces):
            if piece.slot == LABEL and not after_answer:
                break
            if piece.slot is not None:
                continue
            start, end = self.starts[number], self.starts[number + 1]
            found += [
                LiteralToken(index, number, a - start, b - start)
                for index, (a, b) in enumerate(self.spans)
                if start <= a < b <= end
            ]
        return found


@dataclass(frozen=True)
class Target:
    """Where the tokens of one answer are foretold: which of its row's inputs, the places there, the tokens."""

    input: int
    places: tuple[int, ...]
    ids: tuple[int, ...]


@dataclass(frozen=True)
class EncodedRow:
    """One row's tokens.

    ``inputs``: distinct sequences for the model (of an encoder-decoder: for the decoder, and ``context`` for the
    encoder). ``targets``: one a label, or one for the row's own target text. ``keep``: tokens of the kept prefix
    before every input.
    """

    inputs: tuple[tuple[int, ...], ...]
    targets: tuple[Target, ...]
    keep: int = 0
    context: tuple[int, ...] = ()


@dataclass
class Encoder:
    """A tokenizer (fast, of transformers) with length limits.

    ``max_length``: tokens of a field. ``limit``: tokens of a whole prompt. ``chat``: text of the chat format before
    and after what the user says, with its special tokens.
    """

    tokenizer: Any
    max_length: int
    limit: int = 1 << 30
    chat: tuple[str, str] | None = None
    _cut: dict[tuple[str, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.tokenizer.is_fast:
            raise InputError("The model's tokenizer has no fast version, which is needed to find places in a text.")

    # Texts

    def tokenize(self, texts: Sequence[str], *, special: bool = True) -> list[tuple[list[int], list[Span]]]:
        """Ids and character spans; special tokens spelled in a text stay text, closing ones are dropped."""
        return [(ids[:end], spans[:end]) for ids, spans, end in self._tokenize(texts, special=special)]

    def _tokenize(self, texts: Sequence[str], *, special: bool) -> list[tuple[list[int], list[Span], int]]:
        """Ids, spans, and where the closing special tokens begin."""
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
            out.append((ids, spans, end))
        return out

    @cached_property
    def _around(self) -> tuple[list[int], list[int]]:
        """The special tokens before and after a text."""
        (ids, _, end), *_ = self._tokenize(["a"], special=True)
        (plain, _, _), *_ = self._tokenize(["a"], special=False)
        return ids[: end - len(plain)], ids[end:]

    @property
    def opening(self) -> int:
        """How many special tokens stand before a text."""
        return len(self._around[0])

    def whole(self, texts: Sequence[str]) -> list[tuple[list[int], list[Span], int]]:
        """Ids, spans, and where the closing special tokens begin."""
        return self._tokenize(texts, special=True)

    def cut(self, text: str, length: int | None = None) -> str:
        """A field's text, cut after ``length`` tokens (default: ``max_length``)."""
        length = self.max_length if length is None else length
        if (text, length) not in self._cut:
            (_, spans), *_ = self.tokenize([text], special=False)
            end = spans[length - 1][1] if 0 < length < len(spans) else 0
            self._cut[text, length] = text if len(spans) <= length else text[:end]
        return self._cut[text, length]

    def cut_fields(self, fields: Mapping[str, Any]) -> dict[str, str]:
        """All fields as text, each cut."""
        return {name: self.cut(render_value(value)) for name, value in fields.items()}

    def length(self, text: str) -> int:
        """Tokens of a text."""
        (ids, _), *_ = self.tokenize([text], special=False)
        return len(ids)

    # Prompts

    def demos(self, candidate: Candidate) -> str:
        """The text of the candidate's solved examples."""
        words = candidate.label_words.mapping()
        solved = [(self.cut_fields(d.fields), words.get(d.label, self.cut(d.label))) for d in candidate.demos]
        return candidate.template.render_demos(solved)

    def answers(self, candidate: Candidate, rows: Sequence[Example]) -> list[list[str]]:
        """What may stand at ``{label}`` in each row: all label words, or the row's own target text."""
        if candidate.label_words.pairs:
            return [list(candidate.label_words.words)] * len(rows)
        return [[self.cut(row.label)] for row in rows]

    def render(
        self, candidate: Candidate, rows: Sequence[Example], answers: Sequence[Sequence[str]], *, closing: bool
    ) -> list[list[Rendered]]:
        """Each row's prompt with each of its answers. ``closing``: keep the special tokens at the end.

        Raises InputError where a template leaves no room for its fields.
        """
        demos = self.demos(candidate)
        pieces = [
            candidate.template.pieces(fields, answer, demos)
            for fields, own in zip(self._fitting(candidate, rows, answers, demos), answers, strict=True)
            for answer in own
        ]
        rendered = iter(self._render(pieces, closing=closing))
        return [[next(rendered) for _ in own] for own in answers]

    def heads(self, candidate: Candidate, rows: Sequence[Example]) -> list[list[int]]:
        """The ids of each row's head: the prompt up to the end of the last field before the label."""
        head = candidate.template.head()
        if not head.segments:
            return [[] for _ in rows]
        demos = self.demos(candidate)
        answers = self.answers(candidate, rows)
        pieces = [head.pieces(fields, None, demos) for fields in self._fitting(candidate, rows, answers, demos)]
        return [list(rendered.ids) for rendered in self._render(pieces, closing=False)]

    def _fitting(
        self, candidate: Candidate, rows: Sequence[Example], answers: Sequence[Sequence[str]], demos: str
    ) -> list[dict[str, str]]:
        """The rows' fields, cut so that the whole prompt stays within the limit: template and answer are never cut."""
        cut = [self.cut_fields(row.fields) for row in rows]
        if self.limit > 1 << 20:
            return cut
        return [self._fit(candidate.template, row, own, demos) for row, own in zip(cut, answers, strict=True)]

    def _fit(self, template: Template, fields: dict[str, str], answers: Sequence[str], demos: str) -> dict[str, str]:
        used = [name for name in template.slots if name != LABEL]
        # Characters are at least as many as tokens, so that most rows need no second look.
        rough = [fields | dict.fromkeys(template.slots, ""), fields]
        longest = max(answers, key=len, default="")
        pieces = template.pieces(fields, longest, demos)
        if sum(len(piece.text) + piece.soft for piece in pieces) + 8 <= self.limit:
            return fields
        empty, full = (len(r.ids) for r in self._render([template.pieces(f, longest, demos) for f in rough],
                                                        closing=True))  # fmt: skip
        fields = dict(fields)
        while full > self.limit:
            name = max(used, key=lambda field: self.length(fields[field]))
            length = self.length(fields[name]) - (full - self.limit)
            if empty > self.limit or not fields[name]:
                raise InputError(
                    f"The template alone takes {empty} of the model's {self.limit} tokens; shorten it or its examples."
                )
            fields[name] = self.cut(fields[name], max(0, length))
            (whole,) = self._render([template.pieces(fields, longest, demos)], closing=True)
            full = len(whole.ids)
        return fields

    def _render(self, prompts: Sequence[Sequence[Piece]], *, closing: bool) -> list[Rendered]:
        if self.chat is None and not any(piece.soft for pieces in prompts for piece in pieces):
            texts = ["".join(piece.text for piece in pieces) for pieces in prompts]
            return [
                Rendered(tuple(ids if closing else ids[:end]), tuple(spans if closing else spans[:end]), tuple(pieces))
                for pieces, (ids, spans, end) in zip(prompts, self._tokenize(texts, special=True), strict=True)
            ]
        return [self._render_parted(pieces, closing=closing) for pieces in prompts]

    def _render_parted(self, pieces: Sequence[Piece], *, closing: bool) -> Rendered:
        """A prompt parted by what is no text: trainable vectors, a chat format's markers."""
        before, after = self._around
        ids: list[int] = []
        spans: list[Span] = []
        position = vectors = 0

        def add(tokens: Sequence[int], places: Sequence[Span] | None = None) -> None:
            ids.extend(tokens)
            spans.extend(places or [(position, position)] * len(tokens))

        def add_text(text: str) -> None:
            (tokens, places), *_ = self.tokenize([text], special=False) if text else [([], [])]
            add(tokens, [(a + position, b + position) for a, b in places])

        add(self._markers(0) if self.chat else before)
        text = ""
        for piece in pieces:
            if piece.soft or (piece.slot == LABEL and self.chat):
                add_text(text)
                position, text = position + len(text), ""
                if piece.soft:
                    add([-1 - number for number in range(vectors, vectors + piece.soft)])
                    vectors += piece.soft
                else:
                    add(self._markers(1))
            text += piece.text
        add_text(text)
        if closing and not self.chat:
            add(after)
        return Rendered(tuple(ids), tuple(spans), tuple(pieces))

    def _markers(self, side: int) -> list[int]:
        assert self.chat is not None  # noqa: S101
        return list(self.tokenizer(self.chat[side], add_special_tokens=False)["input_ids"])


def chat_format(tokenizer: Any) -> tuple[str, str]:
    """What the tokenizer's chat template puts before and after a user's message, an answer to follow.

    Raises InputError for a tokenizer without one.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise InputError("The model's tokenizer has no chat template; leave --chat out.")
    mark = "autoprompt user message"
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": mark}], tokenize=False, add_generation_prompt=True
    )
    before, found, after = text.partition(mark)
    if not found:
        raise InputError("The model's chat template does not repeat the user's message; leave --chat out.")
    return before, after


def literal_text(template: Template) -> str:
    """The literal segments as one text."""
    return " ".join(s.text for s in template.segments if isinstance(s, Literal))
