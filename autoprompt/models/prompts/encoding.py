"""Encoding of prompts into token ids, within the length limits of a field and of the model.

A prompt is always tokenised as one string. The answer (a label word or a target text) is in its place during
tokenisation, so that the tokens around it are those of the finished prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from autoprompt.candidate import Candidate
from autoprompt.corpus import Example
from autoprompt.errors import InputError
from autoprompt.models.library_errors import as_input_error
from autoprompt.models.prompts.special_tokens import Chat, Placeholders, keep_literal
from autoprompt.models.prompts.tokenized import Rendered, Span
from autoprompt.template import LABEL, Piece, Template, render_value

SIZES_KEPT = 20_000
"""Maximum entries of each cache of cut texts and lengths; a cache that exceeds it is emptied."""


@dataclass
class Encoder:
    """A fast tokenizer of transformers, with length limits.

    ``max_length``: maximum tokens of a field. ``limit``: maximum tokens of a whole prompt. ``chat``: text of the chat
    format before and after the user's message, with its special tokens.
    """

    tokenizer: Any
    max_length: int
    limit: int = 1 << 30
    chat: Chat | None = None
    vocabulary: int | None = None
    """Rows of the model's embedding; the tokenizer of another model may have more tokens."""
    _cut: dict[tuple[str, int], str] = field(default_factory=dict)
    _length: dict[str, int] = field(default_factory=dict)
    _size: dict[tuple[Piece, ...], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.tokenizer.is_fast:
            raise InputError("The model's tokenizer has no fast version, which is needed to find places in a text.")
        keep_literal(self.tokenizer)
        named = (getattr(self.tokenizer, f"{name}_token_id") for name in ("bos", "eos", "mask", "cls", "sep"))
        self._check_known([token for token in named if token is not None])

    # Texts

    def tokenize(self, texts: Sequence[str], *, special: bool = True) -> list[tuple[list[int], list[Span]]]:
        """Ids and character spans of each text; special tokens spelled in it stay text, closing ones are dropped."""
        return [(ids[:end], spans[:end]) for ids, spans, end in _tokenized(self.tokenizer, texts, special=special)]

    def with_special_tokens(self, text: str) -> tuple[list[int], list[int], list[int]]:
        """A text's ids in three parts: opening special tokens, the text's own tokens, closing special tokens."""
        ((ids, _, end),) = _tokenized(self.tokenizer, [text], special=True)
        return ids[: self._opening], ids[self._opening : end], ids[end:]

    @cached_property
    def _opening(self) -> int:
        """Number of special tokens before a text."""
        ((_, _, end),) = _tokenized(self.tokenizer, ["a"], special=True)
        return end - self.length("a")

    def cut(self, text: str, length: int | None = None) -> str:
        """A field's text, cut after ``length`` tokens (default: ``max_length``)."""
        length = self.max_length if length is None else length
        if (text, length) not in self._cut:
            if len(self._cut) > SIZES_KEPT:
                self._cut.clear()
            (_, spans), *_ = self.tokenize([text], special=False)
            end = spans[length - 1][1] if 0 < length < len(spans) else 0
            self._cut[text, length] = text if len(spans) <= length else text[:end]
        return self._cut[text, length]

    def cut_fields(self, fields: Mapping[str, Any]) -> dict[str, str]:
        """All fields as text, each cut."""
        return {name: self.cut(render_value(value)) for name, value in fields.items()}

    def is_cut(self, text: str) -> bool:
        """Whether a field or target text is longer than the limit of a field."""
        return self.cut(text) != text

    def length(self, text: str) -> int:
        """Number of tokens of a text."""
        if text not in self._length:
            if len(self._length) > SIZES_KEPT:
                self._length.clear()
            (ids, _), *_ = self.tokenize([text], special=False)
            self._length[text] = len(ids)
        return self._length[text]

    # Prompts

    def demos(self, candidate: Candidate) -> str:
        """The text of the candidate's demonstrations (solved examples)."""
        words = candidate.label_words.mapping()
        solved = [(self.cut_fields(d.fields), words.get(d.label, self.cut(d.label))) for d in candidate.demos]
        return candidate.template.render_demos(solved)

    def answers(self, candidate: Candidate, rows: Sequence[Example]) -> list[list[str]]:
        """The possible answers at ``{label}`` in each row: all label words, or the row's own target text."""
        if candidate.label_words.pairs:
            return [list(candidate.label_words.words)] * len(rows)
        return [[self.cut(row.label)] for row in rows]

    def render(
        self,
        candidate: Candidate,
        rows: Sequence[Example],
        answers: Sequence[Sequence[str]],
        *,
        closing_tokens: bool,
        spare: int = 0,
    ) -> list[list[Rendered]]:
        """Each row's prompt with each of its answers.

        ``closing_tokens``: keep the special tokens at the end. ``spare``: tokens to leave free below the limit. Raises
        InputError for a template that leaves no room for its fields.
        """
        demos = self.demos(candidate)
        pieces = [
            candidate.template.pieces(fields, answer, demos)
            for fields, own in zip(self._fitted_fields(candidate, rows, answers, demos, spare), answers, strict=True)
            for answer in own
        ]
        rendered = iter(self._render(pieces, closing_tokens=closing_tokens))
        return [[next(rendered) for _ in own] for own in answers]

    def heads(self, candidate: Candidate, rows: Sequence[Example], *, spare: int = 0) -> list[list[int]]:
        """The ids of each row's head: the prompt up to the end of the last field before the label."""
        head = candidate.template.head()
        if not head.segments:
            return [[] for _ in rows]
        demos = self.demos(candidate)
        fitting = self._fitted_fields(candidate, rows, self.answers(candidate, rows), demos, spare)
        pieces = [head.pieces(fields, None, demos) for fields in fitting]
        return [list(rendered.ids) for rendered in self._render(pieces, closing_tokens=False)]

    def fitted_fields(
        self, candidate: Candidate, rows: Sequence[Example], answers: Sequence[Sequence[str]]
    ) -> list[dict[str, str]]:
        """The rows' fields, cut as in the candidate's prompts."""
        return self._fitted_fields(candidate, rows, answers, self.demos(candidate), 0)

    def _fitted_fields(
        self,
        candidate: Candidate,
        rows: Sequence[Example],
        answers: Sequence[Sequence[str]],
        demos: str,
        spare: int,
    ) -> list[dict[str, str]]:
        """The rows' fields, cut so that the whole prompt stays within the limit: template and answer are never cut."""
        limit = self.limit - spare
        fields = [self.cut_fields(row.fields) for row in rows]
        if limit > 1 << 20:
            return fields
        template = candidate.template
        prompts = [template.pieces(own, max(given, key=len), demos) for own, given in zip(fields, answers, strict=True)]
        doubtful = [i for i, pieces in enumerate(prompts) if not self._surely_fits(pieces, answers[i], limit)]
        longest = [max(answers[i], key=self.length) for i in doubtful]
        sizes = self._sizes(
            [template.pieces(fields[i], long, demos) for i, long in zip(doubtful, longest, strict=True)]
        )
        for i, long, size in zip(doubtful, longest, sizes, strict=True):
            if size > limit:
                fields[i] = self._fit(template, fields[i], long, demos, limit)
        return fields

    def _surely_fits(self, pieces: Sequence[Piece], answers: Sequence[str], limit: int) -> bool:
        """Whether a prompt fits for certain, judged by its characters.

        ASCII text has at least as many characters as tokens.
        """
        rough = sum(len(piece.text) + piece.soft + 1 for piece in pieces) + 8 + sum(map(len, self.chat or ()))
        return rough <= limit and all(text.isascii() for text in (*answers, *(piece.text for piece in pieces)))

    def _sizes(self, prompts: Sequence[Sequence[Piece]]) -> list[int]:
        """Number of tokens of each whole prompt."""
        known = [tuple(pieces) for pieces in prompts]
        new = [pieces for pieces in dict.fromkeys(known) if pieces not in self._size]
        if len(self._size) > SIZES_KEPT:
            self._size.clear()
            new = list(dict.fromkeys(known))
        self._size |= {p: len(r.ids) for p, r in zip(new, self._render(new, closing_tokens=True), strict=True)}
        return [self._size[pieces] for pieces in known]

    def _fit(self, template: Template, fields: dict[str, str], longest: str, demos: str, limit: int) -> dict[str, str]:
        """The fields of one prompt that is too long, cut until it fits; the longest field is cut each time."""

        def size(values: dict[str, str]) -> int:
            (tokens,) = self._sizes([template.pieces(values, longest, demos)])
            return tokens

        used = [name for name in template.slots if name != LABEL]
        empty = size(fields | dict.fromkeys(used, ""))
        if empty > limit:
            raise InputError(
                f"The template alone takes {empty} of the {limit} tokens that the model has room for; shorten it or "
                "its examples."
            )
        fields = dict(fields)
        while (over := size(fields) - limit) > 0:
            name = max(used, key=lambda field: self.length(fields[field]))
            fields[name] = self._shorter(fields[name], over)
        return fields

    def _shorter(self, text: str, tokens: int) -> str:
        """The text without its last ``tokens`` tokens, or some more if the cut would fall inside a character."""
        for length in range(self.length(text) - tokens, 0, -1):
            if self.cut(text, length) != text:
                return self.cut(text, length)
        return ""

    def _check_known(self, ids: Sequence[int]) -> None:
        if self.vocabulary is not None and ids and max(ids) >= self.vocabulary:
            raise InputError(
                f"The model's tokenizer gives token {max(ids)}, and its embedding has {self.vocabulary} rows; use "
                "the tokenizer that the model was trained with."
            )

    @cached_property
    def _placeholders(self) -> Placeholders:
        return Placeholders(self.tokenizer, self.chat)

    def _render(self, prompts: Sequence[Sequence[Piece]], *, closing_tokens: bool) -> list[Rendered]:
        placeholders = None
        if self.chat is not None or any(piece.soft for pieces in prompts for piece in pieces):
            placeholders = self._placeholders
            prompts = [placeholders.insert(pieces) for pieces in prompts]
        texts = ["".join(piece.text for piece in pieces) for pieces in prompts]
        # A chat format already contains all special tokens.
        tokenizer = placeholders.tokenizer if placeholders else self.tokenizer
        out = []
        for pieces, (ids, spans, end) in zip(
            prompts, _tokenized(tokenizer, texts, special=self.chat is None), strict=True
        ):
            stop = len(ids) if closing_tokens else end
            own = placeholders.resolve(ids[:stop]) if placeholders else ids[:stop]
            self._check_known(own)
            out.append(Rendered(tuple(own), tuple(spans[:stop]), tuple(pieces)))
        return out


def _tokenized(tokenizer: Any, texts: Sequence[str], *, special: bool) -> list[tuple[list[int], list[Span], int]]:
    """Ids, spans and the index of the first closing special token of each text; those spelled in it stay text."""
    if not texts:
        return []
    with as_input_error("The model's tokenizer fails on a text"):
        encoded = tokenizer(
            list(texts),
            add_special_tokens=special,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            split_special_tokens=True,
            verbose=False,  # no warning about long texts
        )
    out = []
    columns = (encoded[name] for name in ("input_ids", "offset_mapping", "special_tokens_mask"))
    for text, ids, spans, added in zip(texts, *columns, strict=True):
        end = len(ids)
        while text and end and added[end - 1]:
            end -= 1
        out.append((ids, spans, end))
    return out
