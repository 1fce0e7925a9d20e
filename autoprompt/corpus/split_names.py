"""Words that name the splits, in any case: in file names, dict keys and split columns.

The words of train, validation and test are those of the datasets library: train, training; validation, valid, dev, val;
test, testing, eval, evaluation. Rows without labels are called unlabeled, unlabelled or, by some data sets of the Hub,
unsupervised.
"""

from collections.abc import Mapping

UNLABELED = "unlabeled"
"""The split of rows whose labels are not known, or not looked at."""
SPLIT_WORDS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
    UNLABELED: ("unlabeled", "unlabelled", "unsupervised"),
}
_SPLIT_OF = {word: split for split, words in SPLIT_WORDS.items() for word in words}


def split_of(name: str) -> str | None:
    """The split that a name stands for: ``validation`` for Dev; None for a name of no split."""
    return _SPLIT_OF.get(name.strip().casefold())
