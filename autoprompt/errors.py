"""Every error a user can meet, each with the exit code of the command line.

    AutopromptError
    ├── UsageError              2   the command or call itself is wrong
    ├── InputError              3   data, template, label words or model cannot be used
    │   └── NotFoundError       3   an unknown corpus, model, run or entry
    ├── StorageError            4   the leaderboard or another file cannot be read or written
    ├── NothingSucceededError   5   no candidate could be evaluated
    ├── VerificationError       6   an entry's evaluations cannot be done again as they were
    └── WorkerLostError         1   a worker process ended while it had work

A message is one sentence: what was wrong, where, and what to do.
"""


class AutopromptError(Exception):
    """Base class; ``exit_code`` is what the command line exits with."""

    exit_code = 1


class UsageError(AutopromptError):
    """An option or argument is wrong."""

    exit_code = 2


class InputError(AutopromptError):
    """Data, a template, label words or a model cannot be used."""

    exit_code = 3


class NotFoundError(InputError):
    """A corpus, model, run or entry of this name does not exist."""


class StorageError(AutopromptError):
    """A leaderboard or another file of ours cannot be read or written."""

    exit_code = 4


class NothingSucceededError(AutopromptError):
    """Every candidate failed."""

    exit_code = 5


class VerificationError(AutopromptError):
    """An entry's evaluations cannot be done again as they were."""

    exit_code = 6


class WorkerLostError(AutopromptError):
    """A worker process ended while it had work, or can do no more work."""
