"""One prompt without a search."""

from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import commands
import pytest
import runs

from autoprompt import run
from autoprompt.progress import Silent


def test_one_prompt_alone_does_not_predict_rows_without_labels(
    model_folders: dict[str, Path], corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = runs.small(model_folders["llama"], corpus_folder, tmp_path)
    never = Mock(side_effect=AssertionError("nobody asks for them"))
    monkeypatch.setattr("autoprompt.evaluator.tasks.predict_unlabelled", never)
    assert options.data.unlabeled is not None
    with commands.inline():
        found = run.evaluate(
            options.corpus, options.data, replace(options.model), "{text}\nLabel: {label}", None, {"epochs": 1},
            "validation", 0, Silent(),
        )  # fmt: skip
    assert found.n == 24
    assert found.to_dict()["data"]["splits"]["unlabeled"] == 12
    assert not never.called
