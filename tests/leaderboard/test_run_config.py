"""A run's configuration: typed values, and JSON that is stored again as it was read."""

import json
from dataclasses import replace

import pytest
from boards import RUN, a_run

from autoprompt.errors import StorageError
from autoprompt.leaderboard import Leaderboard, RefineInputs, RunConfig

STORED = {
    "unknown": 1, "labels": ["a", "b"], "chat": False, "budget": None,
    "manifest": {"code": {"scoring": 3, "more": "x"}, "model": {"revision": "r", "files": {"f": "0"}}},
    "request": {"corpus": "c", "model": {"model": "m"}, "fix": {}},
    "warm_start": {
        "sources": [{"run": "r", "corpus": "c", "model": "m", "similarity": 0.5, "parts": {}, "prompts": 2}],
    },
}  # fmt: skip


def test_values_are_typed_and_json_is_stored_again_as_it_was_read(tmp_path):
    config = RunConfig.from_dict(STORED)
    assert (config.labels, config.chat) == (["a", "b"], False)
    assert (config.manifest.code.scoring, config.manifest.model.files) == (3, {"f": "0"})
    assert config.request.model["model"] == "m"
    assert config.warm_start.runs[0].prompts == 2
    assert json.dumps(config.to_dict()) == json.dumps(STORED)
    with Leaderboard.open(tmp_path / "lb.sqlite") as board:
        board.start_run(a_run(config=config))
        board.finish_run(RUN, "stopped")
        assert json.dumps(board.run(RUN).to_dict()["config"]) == json.dumps(STORED)
        assert board.run(RUN).config == config


@pytest.mark.parametrize("name", ["family", "transfer", "max_length"])
def test_a_value_that_was_not_stored_is_reported_where_it_is_used(name):
    with pytest.raises(StorageError, match=f"lacks the value '{name}'"):
        getattr(RunConfig.from_dict(STORED), name)
    with pytest.raises(AttributeError):
        RunConfig.from_dict(STORED).unknown  # noqa: B018


def test_some_values_may_be_missing():
    config = RunConfig.from_dict({})
    assert (config.budget, config.max_evaluations, config.folds, config.warnings) == (None,) * 4
    assert (config.mark, config.refine) == (None, None)


def test_a_changed_configuration_keeps_the_rest_as_it_was_stored():
    told = RefineInputs(entry="e", run="r", weights="w", candidate={}, new=[])
    changed = RunConfig.from_dict(STORED).changed(budget=3.0, request=None, refine=told)
    assert (changed.budget, changed.request, changed.refine) == (3.0, None, told)
    assert list(changed.to_dict()) == [*STORED, "refine"]
    assert changed.to_dict() | {"budget": None, "request": STORED["request"]} == STORED | {"refine": told.to_dict()}
    assert replace(told, run="x").to_dict() == told.to_dict() | {"run": "x"}
    with pytest.raises(TypeError, match="sed"):
        changed.changed(sed=1)


def test_a_new_configuration_is_stored_in_the_order_of_its_values():
    told = RefineInputs(new=[], candidate={}, weights="w", run="r", entry="e")
    assert list(told.to_dict()) == ["entry", "run", "weights", "candidate", "new", "validation_learnt"]
