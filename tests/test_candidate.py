"""Candidates: canonical JSON, ids, settings."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprompt.candidate import Candidate, Settings, derived_seed
from autoprompt.errors import InputError, UsageError
from autoprompt.hashing import canonical_json
from autoprompt.template import LabelWords, Literal, Slot, Template

PLAIN = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
SEGMENTS = st.lists(st.one_of(PLAIN.map(Literal), st.sampled_from(["text", "label"]).map(Slot)), max_size=5)
SETTINGS = st.one_of(
    st.just(Settings("none")),
    st.builds(Settings, st.just("tail"), st.floats(1e-6, 1), st.integers(1, 64), st.integers(1, 9), st.integers(1, 32)),
    st.builds(Settings, st.just("full"), st.floats(1e-6, 1), st.integers(1, 64), st.integers(1, 9)),
)
WORDS = st.lists(PLAIN.filter(lambda w: bool(w.strip())).map(lambda w: w.strip()), min_size=2, max_size=2)
CANDIDATES = st.builds(
    lambda segments, words, settings: Candidate(
        Template(tuple(segments)), LabelWords((("a", words[0] + "1"), ("b", words[1] + "2"))), settings
    ),
    SEGMENTS,
    WORDS,
    SETTINGS,
)


def _candidate(template: str = "{text} It was {label}", words: tuple[str, str] = ("good", "bad"), **values: Any) -> Any:
    settings = Settings(**({"tuning": "tail", "learning_rate": 5e-4, "batch_size": 8, "epochs": 4, "rank": 8} | values))
    return Candidate(Template.parse(template), LabelWords(tuple(zip(("pos", "neg"), words, strict=True))), settings)


@given(CANDIDATES)
def test_json_round_trip(candidate: Candidate) -> None:
    again = Candidate.from_dict(json.loads(json.dumps(candidate.to_dict())))
    assert again == candidate
    assert again.canonical() == candidate.canonical()
    assert again.id == candidate.id


@given(CANDIDATES, CANDIDATES)
def test_ids_differ_exactly_where_candidates_do(a: Candidate, b: Candidate) -> None:
    assert (a.id == b.id) == (a == b)
    assert (a.text_id == b.text_id) == ((a.template, a.label_words) == (b.template, b.label_words))


def test_the_id_never_changes_between_versions() -> None:
    candidate = _candidate()
    assert candidate.canonical() == (
        '{"label_words":[["pos","good"],["neg","bad"]],'
        '"settings":{"batch_size":8,"epochs":4,"learning_rate":0.0005,"rank":8,"tuning":"tail"},'
        '"template":"{text} It was {label}"}'
    )
    assert candidate.id == "e5a6b9072de917f01b45953ec0a071d08fa4fd6d2c1cd55b5e923081e9913b0f"


def test_each_part_counts_and_the_order_of_labels_does() -> None:
    others = [
        _candidate(),
        _candidate("{text} It was  {label}"),
        _candidate(words=("fine", "bad")),
        _candidate(rank=4),
        _candidate(learning_rate=4e-4),
        _candidate(tuning="none"),
        Candidate(_candidate().template, LabelWords((("neg", "bad"), ("pos", "good"))), _candidate().settings),
    ]
    assert len({c.id for c in others}) == len(others)
    assert others[0].text_id == others[3].text_id == others[5].text_id


def test_an_entry_depends_on_data_model_and_seed() -> None:
    candidate = _candidate()
    entries = {candidate.entry(*args) for args in (("f", "m", 0), ("g", "m", 0), ("f", "n", 0), ("f", "m", 1))}
    assert len(entries) == 4
    assert candidate.entry("f", "m", 0) in entries


def test_settings_that_a_mode_does_not_use_are_nothing() -> None:
    assert Settings("none", 0.1, 8, 2, 8) == Settings("none")
    assert Settings("full", 1e-5, 8, 2, rank=8) == Settings("full", 1e-5, 8, 2)
    assert _candidate(tuning="none", rank=4).id == _candidate(tuning="none", rank=8).id


def test_a_whole_number_as_learning_rate_is_the_same_setting() -> None:
    assert _candidate(learning_rate=1).id == _candidate(learning_rate=1.0).id


@pytest.mark.parametrize(
    "values",
    [
        {"tuning": "magic"},
        {"learning_rate": 0.0},
        {"learning_rate": -1e-3},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"learning_rate": "5e-4"},
        {"batch_size": 0},
        {"batch_size": 2.5},
        {"epochs": True},
        {"rank": 0},
    ],
)
def test_impossible_settings_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        _candidate(**values)
    stored = _candidate().to_dict()
    stored["settings"] |= values
    with pytest.raises(InputError):
        Candidate.from_dict(stored)


@pytest.mark.parametrize(
    "change",
    [
        {"template": None},
        {"template": "{text"},
        {"template": 3},
        {"label_words": ["good", "bad"]},
        {"label_words": {"pos": "good", "neg": None}},
        {"label_words": {"pos": "x", "neg": "x"}},
        {"settings": {}},
        {"settings": {"tuning": "none", "rank": 8}},
        {"settings": None},
    ],
)
def test_what_is_no_candidate_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Candidate.from_dict(_candidate().to_dict() | change)
    with pytest.raises(InputError):
        Candidate.from_dict({name: v for name, v in _candidate().to_dict().items() if name not in change})


@pytest.mark.parametrize(("labelled", "steps"), [(True, 80), (False, 32)])
def test_default_settings_make_as_many_steps_whatever_the_rows(labelled: bool, steps: int) -> None:
    for rows in (4, 32, 64, 300):
        settings = Settings.default("tail", rows, labelled=labelled)
        assert settings.steps(rows) == settings.epochs * -(-rows // 8)
        assert 0.75 * steps <= settings.steps(rows) <= 1.5 * steps
    assert Settings.default("none", 32).steps(32) == 0
    assert Settings.default("full", 32).rank == 0
    with pytest.raises(UsageError, match="'magic'"):
        Settings.default("magic", 32)


def test_canonical_json_refuses_nan_and_sorts() -> None:
    assert canonical_json({"b": [1.5, "é"], "a": None}) == '{"a":null,"b":[1.5,"é"]}'
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))


def test_derived_seeds_are_stable_distinct_and_in_range() -> None:
    seeds = [derived_seed(run, name, part) for run in (0, 1) for name in ("fit", "x") for part in (0, 1)]
    assert len(set(seeds)) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derived_seed(0, "fit", 0, 0) == 2354663288872609367
