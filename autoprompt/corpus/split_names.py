"""Words that name the train, validation and test splits, in any case: in file names, dict keys and split columns.

The words are those of the datasets library: train, training; validation, valid, dev, val; test, testing, eval,
evaluation.
"""

from collections.abc import Mapping

SPLIT_WORDS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
UNLABELLED_WORDS = frozenset({"unlabeled", "unlabelled", "unsupervised"})
_SPLIT_OF = {word: split for split, words in SPLIT_WORDS.items() for word in words}


def split_of(name: str) -> str | None:
    """The split that a name stands for: ``validation`` for Dev; None for a name of no split."""
    return _SPLIT_OF.get(name.strip().casefold())
