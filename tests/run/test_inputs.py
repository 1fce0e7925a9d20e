"""What is wrong with a request is said before a model is looked for, which may mean a download."""

from pathlib import Path
from typing import Any

import pytest

from autoprompt.errors import InputError, NotFoundError, UsageError
from autoprompt.progress import Silent
from autoprompt.run import DataOptions, ModelOptions, SearchOptions, search

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "template": ({"templates": ("{text} {mood}{label}",)}, "mood"),
    "metric": ({"metric": "bleu"}, "bleu"),
    "words missing": ({"label_words": {"negative": "bad"}}, "positive"),
    "words that collide": ({"label_words": {"negative": "bad", "positive": "bad"}}, "share the word"),
    "address": ({"address": "auto"}, "ray_address is for a Ray cluster"),
    "strategy": ({"strategy": "magic"}, "'magic' is unknown"),
    "folds": ({"folds": 900}, "folds is 900"),
    "columns": ({"data": DataOptions(text_column="story")}, "story"),
}


def asked(corpus_folder: Path, tmp_path: Path, address: str | None = None, **more: Any) -> SearchOptions:
    nowhere = ModelOptions(str(tmp_path / "nowhere"), ray_address=address)
    return SearchOptions(str(corpus_folder), model=nowhere, leaderboard=tmp_path / "lb.sqlite", **more)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_without_a_model_is_said_first(corpus_folder: Path, tmp_path: Path, name: str) -> None:
    wrong, said = WRONG[name]
    with pytest.raises((UsageError, InputError), match=said):
        search(asked(corpus_folder, tmp_path, **wrong), Silent())


def test_then_the_model_is_looked_for(corpus_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        search(asked(corpus_folder, tmp_path), Silent())
