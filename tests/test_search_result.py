"""What a search returns: how it shows itself."""

from pathlib import Path

import pytest
import shown

from autoprompt import SearchResult
from autoprompt.results import RunResult


@pytest.mark.parametrize(
    ("score", "said"),
    [
        ({"loss": 0.5, "accuracy": 0.84, "metric": "accuracy", "value": 0.84, "n": 400}, "84.0 % (test, n=400)"),
        ({"loss": 0.5, "accuracy": 0.84, "metric": "mcc", "value": 0.7, "n": 400}, "84.0 % (test, n=400)"),
        ({"loss": 0.5, "accuracy": 0.0, "metric": "rougeL", "value": 0.4125, "n": 9}, "0.412 rougeL (test, n=9)"),
    ],
)
def test_labels_show_their_accuracy_and_generated_texts_their_metric(score, said):
    outcome = RunResult.from_dict(shown.RESULT | {"best": shown.ROW | {"test": score}})
    found = SearchResult(outcome, Path("lb.sqlite"))
    assert said in repr(found).splitlines()[1]
    assert said in found._repr_html_()
