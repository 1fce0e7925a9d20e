"""What a journal keeps of a task's work comes back as it was, through JSON, and is known by what was asked."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprompt.candidate import Candidate, Demo, Settings
from autoprompt.corpus import Example
from autoprompt.evaluator import Evaluation, Rung
from autoprompt.evaluator.journal import Journal, decoded, encoded, key_of
from autoprompt.evaluator.proposing import ProposeTask, WordsTask
from autoprompt.evaluator.tasks import FitTask, FrozenTask, PreparePrefix, TestTask, TimeWriting
from autoprompt.evaluator.worker import Work
from autoprompt.models import TokenProposals
from autoprompt.template import Demos, LabelWords, Literal, Slot, Soft, Template

NUMBER = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(max_size=12)
SEGMENT = TEXT.map(Literal) | TEXT.map(Slot) | st.integers(1, 32).map(Demos) | st.integers(1, 64).map(Soft)
TEMPLATE = st.lists(SEGMENT, max_size=6).map(Template)
WORDS = LabelWords((("neg", "bad"), ("pos", "good")))
CANDIDATE = Candidate(Template.parse("{text}\nMood: {label}"), WORDS, Settings.default("tail", 32))
ASKED = Evaluation(CANDIDATE, Rung.TUNED)
ROWS = (Example("r1", {"text": "a"}, "neg"), Example("r2", {"text": "b"}, "pos"))


@st.composite
def evaluations(draw) -> Evaluation:
    count = draw(st.integers(0, 3))
    rows = [tuple(draw(NUMBER) for _ in range(2)) for _ in range(count)]
    return replace(
        ASKED,
        status=draw(st.sampled_from(["complete", "pruned", "failed"])),
        reason=draw(st.none() | TEXT),
        labels=("neg", "pos"),
        row_ids=tuple(f"r{n}" for n in range(count)),
        gold=tuple(draw(st.integers(0, 1)) for _ in range(count)),
        log_probs=tuple(rows),
        losses=tuple(draw(NUMBER) for _ in range(count)),
        references=tuple(draw(TEXT) for _ in range(count)),
        outputs=tuple(draw(TEXT) for _ in range(count)),
        readability=draw(st.none() | NUMBER),
        milestone=draw(st.none() | NUMBER),
        weights=draw(st.none() | TEXT),
    )


def through_json(task, value):
    work = Work(value, 1.25, 7)
    return decoded(task, json.loads(json.dumps(encoded(work), allow_nan=False)))


@given(evaluations(), evaluations())
def test_evaluations_come_back_as_they_were(one, other):
    assert through_json(FitTask(ASKED), one) == Work(one, 1.25, 7)
    assert through_json(FrozenTask(ASKED), one).value == one
    assert through_json(TestTask((ASKED, ASKED), ROWS), [one, other]).value == [one, other]


@given(st.lists(st.tuples(TEMPLATE, NUMBER | st.just(math.inf)), max_size=3), st.lists(st.tuples(TEMPLATE, NUMBER)))
def test_proposals_come_back_as_they_were(replacements, infills):
    proposals = TokenProposals(replacements, infills)
    assert through_json(ProposeTask(CANDIDATE, 3, 3), proposals).value == proposals


def test_the_others_come_back_as_they_were():
    assert through_json(WordsTask(CANDIDATE, 2), [WORDS, WORDS]).value == [WORDS, WORDS]
    assert through_json(PreparePrefix(CANDIDATE, 0, 1, 2), 300).value == 300
    assert through_json(TimeWriting(CANDIDATE), 0.125).value == 0.125


OTHER = replace(CANDIDATE, template=Template.parse("{text} {label}"))


@pytest.mark.parametrize(
    "other",
    [
        FitTask(replace(ASKED, candidate=OTHER)),
        FitTask(replace(ASKED, fold=1)),
        FitTask(replace(ASKED, repeat=1)),
        FitTask(replace(ASKED, rung=Rung.REPEATED)),
        FitTask(ASKED, math.inf),
        FitTask(ASKED, 0.5),
        FitTask(replace(ASKED, candidate=replace(CANDIDATE, demos=(Demo("r1", "{}", "neg"),)))),
        FrozenTask(ASKED),
        TestTask((ASKED,), ROWS),
        TestTask((ASKED,), ROWS[:1]),
        WordsTask(CANDIDATE, 2),
        PreparePrefix(CANDIDATE, 0, 0, 2),
    ],
)
def test_a_key_names_what_is_asked(other):
    assert key_of(other) != key_of(FitTask(ASKED))
    assert key_of(other) == key_of(replace(other))


def test_a_key_does_not_depend_on_what_came_of_it_or_where_it_lies():
    done = replace(ASKED, losses=(0.5,), weights="/tmp/a", seconds=3.0)  # noqa: S108
    assert key_of(TestTask((done,), ROWS)) == key_of(TestTask((ASKED,), ROWS))


def test_a_plain_journal_keeps_nothing():
    journal = Journal()
    journal.note("a", {})
    assert not journal.unread
    assert journal.decided("fit", lambda: True) is True
    assert journal.decided("fit", lambda: False) is False
    with pytest.raises(LookupError):
        journal.recall("a")
