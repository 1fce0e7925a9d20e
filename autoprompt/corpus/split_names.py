"""What data call their splits: files of a folder, keys of a dict, cells of a split column; in any case.

The words of the datasets library: train, training; validation, valid, dev, val; test, testing, eval, evaluation.
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
    """The split that a name stands for: ``validation`` of Dev; None where it stands for none."""
    return _SPLIT_OF.get(name.strip().casefold())
