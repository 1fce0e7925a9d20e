"""The errors that a user can meet, each with its exit code on the command line.

    AutopromptError
    ├── UsageError              2   the command or call itself is wrong
    ├── InputError              3   data, template, label words or model cannot be used
    │   └── NotFoundError       3   an unknown corpus, model, run or entry
    ├── StorageError            4   the leaderboard or another file cannot be read or written
    ├── NothingSucceededError   5   no candidate could be evaluated
    ├── VerificationError       6   an entry's evaluations cannot be reproduced
    └── WorkerLostError         1   a worker process ended while it had work

A message is one sentence: what was wrong, where, and what to do. A parameter in it is named with ``parameter``, so that
Python reads ``workers=0`` and the command line ``--workers 0``.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

_MOST_SAID = 300
_EDGE, _BETWEEN = (f"\0{os.urandom(12).hex()}{sign}" for sign in "|,")
"""Marks around a parameter and between its parts. A text that a message quotes cannot hold them: nobody knows them."""


class Parameter(NamedTuple):
    """A parameter in a message: its name, and its value as Python and as a command has it; "" without."""

    name: str
    python: str
    shell: str

    def in_python(self) -> str:
        """Return ``workers=0``; the name alone without a value."""
        return f"{self.name}={self.python}" if self.python else self.name


def parameter(name: str, value: Any = None) -> str:
    """Return the text for a parameter in the message of an error of ours, with a value or without.

    ``parameter("workers", 0)`` is ``workers=0`` in ``str(error)`` and ``--workers 0`` on the command line;
    ``parameter("chat", True)`` is ``chat=True`` and ``--chat``. It has no use outside such a message.
    """
    shell = "" if value is None or value is True else str(value)
    return _marked(Parameter(name, "" if value is None else repr(value), shell))


class AutopromptError(Exception):
    """Base class; ``exit_code`` is what the command line exits with.

    A message may quote an untrusted file: it is made one line, without characters that control a terminal.
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        self._parts = tuple(_parts(message))
        super().__init__(self.worded(Parameter.in_python))

    def worded(self, named: Callable[[Parameter], str]) -> str:
        """Return the message with each parameter as ``named`` writes it."""
        return "".join(_line(named(part) if isinstance(part, Parameter) else part) for part in self._parts)

    @property
    def message(self) -> str:
        """The message with its parameters still marked: for the message of another error of ours."""
        return "".join(part if isinstance(part, str) else _marked(part) for part in self._parts)


class UsageError(AutopromptError):
    """An option or argument is wrong."""

    exit_code = 2


class InputError(AutopromptError):
    """Data, a template, label words or a model cannot be used."""

    exit_code = 3


class NotFoundError(InputError):
    """A corpus, model, run or entry of this name does not exist."""


class StorageError(AutopromptError):
    """A leaderboard or another file cannot be read or written."""

    exit_code = 4


class NothingSucceededError(AutopromptError):
    """Every candidate failed."""

    exit_code = 5


class VerificationError(AutopromptError):
    """An entry's evaluations cannot be reproduced."""

    exit_code = 6


class WorkerLostError(AutopromptError):
    """A worker process ended while it had work, or can do no more work."""


def first_line(error: BaseException) -> str:
    """First line of another library's error, to quote within a sentence; the error type's name if it is empty."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".")[:_MOST_SAID] if lines else type(error).__name__


def closest(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'NAME'`` with the closest known name, for an error message; empty if none is close."""
    from difflib import get_close_matches

    names = list(dict.fromkeys(known))
    # difflib does not match a short part of a long name.
    near = get_close_matches(name, names, n=1, cutoff=0.5) or [other for other in names if name and name in other]
    return f"; did you mean {near[0]!r}" if near else ""


def _marked(found: Parameter) -> str:
    return _EDGE + _BETWEEN.join(found) + _EDGE


def _parts(message: str) -> Iterator[str | Parameter]:
    """The message's texts and parameters in their order."""
    for place, text in enumerate(message.split(_EDGE)):
        yield Parameter(*text.split(_BETWEEN)) if place % 2 else text


def _line(text: str) -> str:
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else ascii(character)[1:-1]
