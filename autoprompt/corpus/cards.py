"""Cards: what is known of the embedded corpora, one TOML file each."""

import contextlib
import dataclasses
import difflib
import importlib.resources
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from autoprompt.errors import InputError, NotFoundError

_TEXTS = ("name", "title", "source", "licence", "artifact", "label_column", "metric", "template")
_LISTS = ("fields", "labels")


@dataclass(frozen=True)
class Card:
    """One embedded corpus: where its rows come from, and the manual prompt a person would write for it."""

    name: str
    title: str
    source: str
    licence: str
    artifact: str
    fields: tuple[str, ...]
    label_column: str
    labels: tuple[str, ...]
    metric: str
    template: str
    label_words: Mapping[str, str]


def list_cards() -> list[Card]:
    """All cards by name. Raises InputError for a card that cannot be used."""
    return [parse_card(name, text) for name, text in sorted(_card_texts().items())]


def card(name: str) -> Card:
    """The card of this name; NotFoundError lists the names that exist."""
    texts = _card_texts()
    if name in texts:
        return parse_card(name, texts[name])
    # difflib takes a mere beginning of a long name for something else.
    close = difflib.get_close_matches(name, texts, n=1, cutoff=0.5) or [other for other in texts if name in other]
    hint = f"did you mean {close[0]!r}; " if close else ""
    raise NotFoundError(
        f"There is no corpus {name!r}: {hint}name one of {', '.join(sorted(texts))}, "
        "a csv, tsv, jsonl or parquet file, a folder of them, or hub:NAME."
    )


def has_card(name: str) -> bool:
    """Whether an embedded corpus has this name."""
    return name in _card_texts()


def parse_card(name: str, text: str) -> Card:
    """Read one card. Raises InputError, which names the card, for broken TOML or unknown or missing keys."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"The card of corpus {name!r} is not valid TOML: {error}; correct it.") from error
    known = {item.name for item in dataclasses.fields(Card)}
    for problem, keys in (("lacks", known - set(data)), ("has the unknown", set(data) - known)):
        if keys:
            raise InputError(f"The card of corpus {name!r} {problem} {', '.join(sorted(keys))}; correct it.")
    if not _well_typed(data) or data["name"] != name or set(data["label_words"]) != set(data["labels"]):
        raise InputError(
            f"The card of corpus {name!r} has a value of the wrong kind, another name, "
            "or label_words for other labels; correct it."
        )
    return Card(**(data | {key: tuple(data[key]) for key in _LISTS}))


def _well_typed(data: Mapping[str, Any]) -> bool:
    words = data["label_words"]
    return (
        all(isinstance(data[key], str) for key in _TEXTS)
        and all(isinstance(data[key], list) and data[key] for key in _LISTS)
        and all(isinstance(value, str) for key in _LISTS for value in data[key])
        and isinstance(words, dict)
        and all(isinstance(word, str) for word in words.values())
    )


def _card_texts() -> dict[str, str]:
    """Card name to TOML text: the installed package's, or those of the source tree beside the package."""
    for folder in _card_folders():
        files = [item for item in folder.iterdir() if item.name.endswith(".toml")]
        if files:
            return {item.name.removesuffix(".toml"): item.read_text(encoding="utf-8") for item in files}
    raise InputError("The corpus cards are missing from this installation; install autoprompt again.")


def _card_folders() -> list[Traversable]:
    places: list[Traversable] = []
    with contextlib.suppress(ModuleNotFoundError):  # a source tree that is not installed
        places.append(importlib.resources.files("autoprompt.cards"))
    places.append(Path(__file__).resolve().parents[2] / "corpora")
    return [place for place in places if place.is_dir()]
