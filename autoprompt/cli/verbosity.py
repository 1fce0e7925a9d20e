"""--quiet and --verbose: how much a command prints in addition to its result."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from enum import IntEnum
from typing import TYPE_CHECKING

import click

from autoprompt.cli import layout
from autoprompt.cli.options import STARTED
from autoprompt.terminal import echo, visible

if TYPE_CHECKING:
    from autoprompt.run import Progress

_VERBOSITY = "autoprompt.verbosity"


class Verbosity(IntEnum):
    """How much a command prints in addition to its result."""

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2


def verbosity() -> Verbosity:
    """Return the verbosity of the running command."""
    context = click.get_current_context(silent=True)
    return Verbosity(context.meta.get(_VERBOSITY, Verbosity.NORMAL)) if context else Verbosity.NORMAL


def say(text: str) -> None:
    """Print a line for people on standard error, unless --quiet is given."""
    if verbosity() > Verbosity.QUIET:
        echo(visible(text), err=True)


@contextmanager
def progress_view(seconds: float | None = None, evaluations: int | None = None) -> Iterator[Progress]:
    """Yield the progress view that the verbosity asks for; ``seconds`` and ``evaluations``: the run's limits.

    Meanwhile standard output goes to standard error, like the view: what libraries print is not a result.
    """
    from autoprompt.progress import view

    level = verbosity()
    quiet, verbose = level == Verbosity.QUIET, level == Verbosity.VERBOSE
    with (
        view(STARTED, seconds, evaluations, quiet=quiet, verbose=verbose) as shown,
        redirect_stdout(sys.stderr),
    ):
        yield shown


def add_verbosity_options(command: click.Command) -> click.Command:
    """Add --quiet and --verbose to a command, or to the commands of a group, and return it."""
    command.context_class = layout.Context
    if isinstance(command, click.Group):
        for each in command.commands.values():
            add_verbosity_options(each)
    else:
        command.params += [
            click.Option(["-q", "--quiet"], is_flag=True, expose_value=False, callback=_setter(Verbosity.QUIET),
                         help="Print only the result and errors."),
            click.Option(["-v", "--verbose"], is_flag=True, expose_value=False, callback=_setter(Verbosity.VERBOSE),
                         help="Print a line for each evaluation, and the traceback of an error."),
        ]  # fmt: skip
    return command


def _setter(level: Verbosity) -> Callable[[click.Context, click.Parameter, bool], None]:
    def keep(context: click.Context, _parameter: click.Parameter, given: bool) -> None:
        known = context.meta.get(_VERBOSITY, level)
        if given and known != level:
            raise click.UsageError("--quiet and --verbose exclude each other; give one of them.")
        if given:
            context.meta[_VERBOSITY] = level

    return keep
