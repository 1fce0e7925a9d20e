"""Special tokens, soft-prompt vectors and chat markers inside a prompt."""

from __future__ import annotations

import copy
import re
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tokenizers import AddedToken, Regex, pre_tokenizers

from autoprompt.errors import InputError, first_line, parameter
from autoprompt.models.prompts.chat_template import render_chat
from autoprompt.models.prompts.tokenized import CHAT_MARKER
from autoprompt.template import LABEL, Piece

Chat = tuple[str, str]
"""Text of a chat format before and after the user's message, up to where the answer begins."""


def keep_literal(tokenizer: Any) -> None:
    """Make the tokenizer treat special tokens that are spelled out in a text as text.

    ``split_special_tokens`` does this, except where a Unigram vocabulary contains the special token as a piece that
    matches any text. For those, the first character is split from the rest.
    """
    names = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    spelled = tokenizer(names, add_special_tokens=False, split_special_tokens=True)["input_ids"] if names else []
    own = tokenizer.convert_tokens_to_ids(names)
    matched = [n for n, token, ids in zip(names, own, spelled, strict=True) if token in ids and len(n) > 1]
    if matched:
        pattern = "|".join(f"{re.escape(name[0])}(?={re.escape(name[1:])})" for name in matched)
        backend = tokenizer.backend_tokenizer
        before = [backend.pre_tokenizer] if backend.pre_tokenizer is not None else []
        backend.pre_tokenizer = pre_tokenizers.Sequence([*before, pre_tokenizers.Split(Regex(pattern), "isolated")])


class Placeholders:
    """A copy of a tokenizer with placeholder tokens for trainable vectors and a chat format's special tokens.

    With them the whole prompt is tokenised as one string, while the same special tokens in the data stay text.
    """

    def __init__(self, tokenizer: Any, chat: Chat | None) -> None:
        secret = secrets.token_hex(8)  # random, so that no data can contain a placeholder
        self._vector = f"<{secret}-vector>"
        added = {token.content: token for token in tokenizer.added_tokens_decoder.values()}
        names = sorted((n for n in added if n and any(n in part for part in chat or ())), key=len, reverse=True)
        placeholders = {name: f"<{secret}-{number}>" for number, name in enumerate(names)}
        self.tokenizer = copy.deepcopy(tokenizer)
        self.tokenizer.add_tokens([AddedToken(self._vector, normalized=False)])
        for name, placeholder in placeholders.items():
            old = added[name]
            self.tokenizer.add_tokens([AddedToken(placeholder, normalized=False, lstrip=old.lstrip, rstrip=old.rstrip)])
        ids = self.tokenizer.convert_tokens_to_ids
        self._meaning = {
            ids(placeholder): tokenizer.convert_tokens_to_ids(name) for name, placeholder in placeholders.items()
        }
        self._vector_id = ids(self._vector)
        pattern = re.compile("|".join(map(re.escape, names)) or r"(?!)")
        self._chat = tuple(pattern.sub(lambda m: placeholders[m[0]], part) for part in chat) if chat else None

    def insert(self, pieces: Sequence[Piece]) -> list[Piece]:
        """The prompt's pieces with placeholders in their text, inside the chat format if there is one."""
        out = [replace(piece, text=self._vector * piece.soft) if piece.soft else piece for piece in pieces]
        if self._chat is None:
            return out
        label = next((i for i, piece in enumerate(out) if piece.slot == LABEL), len(out))
        if label < len(out):
            out[:label] = [*_without_trailing_space(out[:label]), Piece(self._chat[1], CHAT_MARKER)]
        return [Piece(self._chat[0], CHAT_MARKER), *out]

    def resolve(self, ids: Sequence[int]) -> list[int]:
        """The ids with each placeholder replaced by its special token, or by -1, -2, ... for vectors in order."""
        out = []
        vectors = 0
        for token in ids:
            vectors += token == self._vector_id
            out.append(-vectors if token == self._vector_id else self._meaning.get(token, token))
        return out


def _without_trailing_space(pieces: list[Piece]) -> list[Piece]:
    """The pieces of the user's message without the white space at its end, which leads over to an answer."""
    out = list(pieces)
    for number in reversed(range(len(out))):
        out[number] = replace(out[number], text=out[number].text.rstrip())
        if out[number].text:
            break
    return out


def chat_format(tokenizer: Any) -> Chat:
    """The text that the tokenizer's chat template puts before and after a user's message.

    Raises InputError for a template that is missing or cannot be used.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise InputError(f"The model's tokenizer has no chat template; leave {parameter('chat')} out.")
    mark = "autoprompt user message"
    try:
        template = tokenizer.get_chat_template()
    except ValueError as error:
        raise InputError(
            f"The model's chat template fails ({first_line(error)}); leave {parameter('chat')} out."
        ) from error
    if not isinstance(template, str):
        raise InputError(f"The model's chat template is not text; leave {parameter('chat')} out.")
    text = render_chat(template, [{"role": "user", "content": mark}], tokenizer.special_tokens_map)
    before, found, after = text.partition(mark)
    if not found:
        raise InputError(
            f"The model's chat template does not repeat the user's message; leave {parameter('chat')} out."
        )
    return before, after
