"""Vocabulary tokens that can be used in a template or as a label word."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from autoprompt.errors import InputError
from autoprompt.models.prompts.encoding import Encoder
from autoprompt.template import LabelWords


@lru_cache(maxsize=4)
def printable(tokenizer: Any) -> Mapping[int, str]:
    """Ids and texts of the tokens that are printable, contain no brace and are not special."""
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    ids = [token for token in range(len(tokenizer)) if token not in special]
    texts = tokenizer.batch_decode([[token] for token in ids], clean_up_tokenization_spaces=False)
    return {
        token: text
        for token, text in zip(ids, texts, strict=True)
        if text.strip() and text.replace("\n", "").isprintable() and "\ufffd" not in text and not set("{}") & set(text)
    }


@lru_cache(maxsize=4)
def whole_words(tokenizer: Any, *, alone: bool = False) -> Mapping[int, str]:
    """Ids and words of the tokens that are a whole lower-case word after a space, or, if ``alone``, without one."""
    found = {token: text.strip() for token, text in printable(tokenizer).items()}
    wanted = {token: w for token, w in found.items() if len(w) >= 3 and w.isalpha() and w.islower()}
    texts = [word if alone else "a " + word for word in wanted.values()]
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    return {
        token: word
        for (token, word), ids in zip(wanted.items(), encoded, strict=True)
        if len(ids) == 2 - alone and ids[-1] == token
    }


@lru_cache(maxsize=4)
def unlike_labels(tokenizer: Any, label_words: LabelWords) -> Mapping[int, str]:
    """Printable ids and texts that neither contain a label or label word nor are part of one.

    Single characters are always included.
    """
    taken = [text.lower() for pair in label_words.pairs for text in pair]
    return {
        token: text
        for token, text in printable(tokenizer).items()
        if not any(text.strip().lower() in name or name in text.lower() for name in taken) or len(text.strip()) < 2
    }


def check_words(encoder: Encoder, label_words: LabelWords) -> None:
    """Raise InputError for a label word with characters that the tokenizer does not know."""
    unknown = encoder.tokenizer.unk_token_id
    for label, word in label_words.pairs:
        (ids, spans), *_ = encoder.tokenize([word], special=False)
        written = {place for start, end in spans for place in range(start, end)}
        lost = any(not char.isspace() and place not in written for place, char in enumerate(word))
        if not ids or lost or (unknown is not None and unknown in ids):
            raise InputError(
                f"The label word {word!r} of {label!r} has characters that the model's tokenizer does not know; "
                "use another word."
            )
