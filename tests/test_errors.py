"""Messages are one line that a terminal shows and does not obey, whatever they quote."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprompt.errors import AutopromptError, StorageError, first_line


@given(st.text(st.characters(codec=None)))
def test_a_message_is_one_printable_line(text: str) -> None:
    message = str(StorageError(f"The file {text} is damaged."))
    assert message.isprintable()
    assert len(f"{message}\n".splitlines()) == 1
    assert str(AutopromptError(message)) == message, "once is enough"
    again = pickle.loads(pickle.dumps(StorageError(text)))  # noqa: S301
    assert (type(again), str(again)) == (StorageError, str(StorageError(text)))


def test_what_is_printable_stays_and_what_is_not_can_be_read() -> None:
    assert str(AutopromptError("größe 🙂 {text}")) == "größe 🙂 {text}"
    assert str(AutopromptError("near\n  \x1b[31mred\u202e")) == "near   \\x1b[31mred\\u202e"


@pytest.mark.parametrize(
    ("said", "line"), [("one.\ntwo", "one"), ("", "OSError"), ("\n\n", "OSError"), ("x" * 999, "x" * 300)]
)
def test_the_first_line_of_another_librarys_error(said: str, line: str) -> None:
    assert first_line(OSError(said)) == line
