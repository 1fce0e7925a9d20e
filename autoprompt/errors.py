"""The errors that a user can meet, each with its exit code on the command line.

    AutopromptError
    ├── UsageError              2   the command or call itself is wrong
    ├── InputError              3   data, template, label words or model cannot be used
    │   └── NotFoundError       3   an unknown corpus, model, run or entry
    ├── StorageError            4   the leaderboard or another file cannot be read or written
    ├── NothingSucceededError   5   no candidate could be evaluated
    ├── VerificationError       6   an entry's evaluations cannot be reproduced
    └── WorkerLostError         1   a worker process ended while it had work

A message is one sentence: what was wrong, where, and what to do.
"""

from collections.abc import Iterable

_MOST_SAID = 300


class AutopromptError(Exception):
    """Base class; ``exit_code`` is what the command line exits with.

    A message may quote an untrusted file: it is made one line, without characters that control a terminal.
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__("".join(map(_shown, message)))


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


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else ascii(character)[1:-1]
