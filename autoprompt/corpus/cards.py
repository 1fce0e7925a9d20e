"""Cards: the descriptions of the embedded corpora, one TOML file each."""

import contextlib
import importlib.resources
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from autoprompt.corpus.readers import format_names
from autoprompt.corpus.types import DEFAULT_METRICS, Task
from autoprompt.errors import InputError, NotFoundError, closest

_KEYS = {
    "classification": ("label_column", "labels", "label_words"),
    "generation": ("target_column",),
    "artifact": ("artifact",),
    "files": ("files", "split"),
}
_COMMON = ("name", "title", "source", "licence", "fields", "metric", "template")
_LISTS = ("fields", "labels", "files")


@dataclass(frozen=True)
class Card:
    """One embedded corpus: where its rows come from, and the manual template that a person would write for it.

    The rows are pulled as an ``artifact``, or are in ``files`` beside the card. With ``files``, ``split`` is the number
    of train and of validation rows per class (for generation: in all), in the order of the files; the rest is test.
    A card for ``task`` "generation" has a ``target_column`` instead of a ``label_column``.
    """

    name: str
    title: str
    source: str
    licence: str
    fields: tuple[str, ...]
    metric: str
    template: str
    task: Task = "classification"
    label_column: str = ""
    labels: tuple[str, ...] = ()
    label_words: Mapping[str, str] = field(default_factory=dict)
    target_column: str = ""
    artifact: str = ""
    files: tuple[str, ...] = ()
    split: Mapping[str, int] = field(default_factory=dict)


def list_cards() -> list[Card]:
    """All cards, sorted by name. Raises InputError for a card that cannot be used."""
    return [parse_card(name, text) for name, text in sorted(_card_texts().items())]


def card(name: str) -> Card:
    """The card of this name. Raises NotFoundError, which lists the names that exist."""
    texts = _card_texts()
    if name in texts:
        return parse_card(name, texts[name])
    raise NotFoundError(
        f"There is no corpus {name!r}{closest(name, texts)}; name one of {', '.join(sorted(texts))}, "
        f"a {format_names()} file, a folder of them, or hub:NAME."
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
    task = data.setdefault("task", "classification")
    rows = "files" if "files" in data else "artifact"
    known = {"task", *_COMMON, *_KEYS[rows], *_KEYS["generation" if task == "generation" else "classification"]}
    for problem, keys in (("lacks", known - set(data)), ("has the unknown", set(data) - known)):
        if keys:
            raise InputError(f"The card of corpus {name!r} {problem} {', '.join(sorted(keys))}; correct it.")
    if not _well_typed(data) or data["name"] != name or set(data.get("label_words", ())) != set(data.get("labels", ())):
        raise InputError(
            f"The card of corpus {name!r} has a value of the wrong kind, another name, "
            "or label_words for other labels; correct it."
        )
    return Card(**(data | {key: tuple(data[key]) for key in _LISTS if key in data}))


@contextlib.contextmanager
def card_files(known: Card) -> Iterator[list[Path]]:
    """Yield the paths of a card's files of rows. Raises InputError where one is missing."""
    with contextlib.ExitStack() as stack:
        paths = []
        for name in known.files:
            place = _card_folder() / name
            if not place.is_file():
                raise InputError(
                    f"The rows {name} of corpus {known.name!r} are missing from this installation; "
                    "install autoprompt again."
                )
            paths.append(stack.enter_context(importlib.resources.as_file(place)))
        yield paths


def _well_typed(data: Mapping[str, Any]) -> bool:
    words, split = data.get("label_words", {}), data.get("split", {})
    lists = [data[key] for key in _LISTS if key in data]
    return (
        all(isinstance(data[key], str) for key in data if key not in (*_LISTS, "label_words", "split"))
        and data["task"] in DEFAULT_METRICS
        and all(isinstance(values, list) and values for values in lists)
        and all(isinstance(value, str) for values in lists for value in values)
        and isinstance(words, dict)
        and all(isinstance(word, str) for word in words.values())
        and isinstance(split, dict)
        and ("files" not in data or set(split) == {"train", "validation"})
        and all(type(count) is int and count > 0 for count in split.values())
    )


def _card_texts() -> dict[str, str]:
    """Card name -> TOML text."""
    files = [item for item in _card_folder().iterdir() if item.name.endswith(".toml")]
    return {item.name.removesuffix(".toml"): item.read_text(encoding="utf-8") for item in files}


def _card_folder() -> Traversable:
    """The folder of the cards: in the installed package, or in the source tree beside the package."""
    for folder in _card_folders():
        if any(item.name.endswith(".toml") for item in folder.iterdir()):
            return folder
    raise InputError("The corpus cards are missing from this installation; install autoprompt again.")


def _card_folders() -> list[Traversable]:
    places: list[Traversable] = []
    with contextlib.suppress(ModuleNotFoundError):  # a source tree that is not installed
        places.append(importlib.resources.files("autoprompt.cards"))
    places.append(Path(__file__).resolve().parents[2] / "corpora")
    return [place for place in places if place.is_dir()]
