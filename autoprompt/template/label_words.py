"""``LabelWords``: the word or phrase that the model predicts for each label (the verbalizer)."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoprompt.errors import InputError
from autoprompt.short_repr import short_repr
from autoprompt.template.parsing import check_text

MAX_WORD = 2_000
"""Most characters of one label word."""


@dataclass(frozen=True)
class LabelWords:
    """The word or phrase for each label, in the labels' order."""

    pairs: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for label, word in self.pairs:
            if not word.strip():
                raise InputError(f"The label word of {label!r} is empty; give each label a word.")
            if len(word) > MAX_WORD:
                raise InputError(
                    f"The label word of {label!r} has {len(word)} characters, and {MAX_WORD} are the most; shorten it."
                )
            check_text(word, f"label word of {label!r}")
            key = unicodedata.normalize("NFC", word.strip())
            if key in seen:
                raise InputError(f"The labels {seen[key]!r} and {label!r} share the word {word!r}; give each its own.")
            seen[key] = label

    def __repr__(self) -> str:
        return short_repr(self, self.mapping())

    @classmethod
    def of(cls, words: Mapping[str, str], labels: Sequence[str]) -> LabelWords:
        """Check ``words`` (word by label) against the labels. Raises InputError that names what is wrong."""
        known = set(labels)
        missing = [label for label in labels if label not in words]
        unknown = [label for label in words if label not in known]
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
        """The word of each label."""
        return dict(self.pairs)

    def replace(self, label: str, word: str) -> LabelWords:
        """A copy with another word for one label. Raises InputError for an unusable word or one that is taken."""
        return LabelWords(tuple((name, word if name == label else old) for name, old in self.pairs))
