"""The command line: parse, call, print. Heavy imports stand inside the commands, so that --help is quick."""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from typing import Any, NoReturn

import click

from autoprompt.cli import board, embedded, layout, predicting, refining, reporting, searching
from autoprompt.cli.telling import Verbosity, talkative, verbosity
from autoprompt.errors import AutopromptError
from autoprompt.terminal import echo, guard_streams, visible


class Root(click.Group):
    """Commands whose errors are one sentence; with --verbose, where they came from as well."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Help is as narrow as the terminal, where click's own stops at 50 columns."""
        extra.setdefault("terminal_width", layout.terminal_width())
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except AutopromptError:
            if verbosity() == Verbosity.VERBOSE:
                echo(traceback.format_exc().rstrip(), err=True)
            raise


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="autoprompt-engine")
def cli() -> None:
    """Find the prompt template, label words and training settings that make a language model do your task best.

    \b
    autoprompt search rotten-tomatoes --budget 5m     # an embedded corpus
    autoprompt search reviews.csv                     # your own data
    autoprompt leaderboard                            # what was found
    autoprompt export 3f2a9c0d --out best.json --with-weights
    autoprompt predict best.json "A fine film."
    """


@click.command(short_help="Print what makes a shell complete names.")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion(shell: str) -> None:
    """Print what makes SHELL complete commands, options, corpora, models, runs and entries.

    Names that a shell would have to quote are not offered; a run with such a name is offered by its id.

    \b
    autoprompt completion bash >> ~/.bashrc
    autoprompt completion zsh >> ~/.zshrc
    autoprompt completion fish > ~/.config/fish/completions/autoprompt.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - these three are click's own
    click.echo(kind(cli, {}, "autoprompt", "_AUTOPROMPT_COMPLETE").source())


for _command in (
    searching.search,
    searching.resume,
    searching.verify,
    searching.evaluate,
    refining.refine,
    board.leaderboard,
    reporting.report,
    board.export,
    predicting.predict,
    embedded.models,
    embedded.corpora,
):
    cli.add_command(talkative(_command))
cli.add_command(completion)


def _stop(number: int, _frame: Any) -> NoReturn:
    """The first signal lets all that goes on end in order; the second ends it at once: nothing is lost by that."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _stop_at_once)
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


def _stop_at_once(number: int, _frame: Any) -> NoReturn:
    os._exit(128 + number)  # workers end with their driver


def main() -> NoReturn:
    """Entry point: every error is one sentence on stderr with its exit code."""
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else whoever started us wants none
        signal.signal(signal.SIGINT, _stop)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without the letters of a template is no error
    guard_streams()
    try:
        code = cli.main(standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except AutopromptError as error:
        echo(visible(f"Error: {error}"), err=True)
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        echo("Stopped; what was finished is in the leaderboard, and `autoprompt resume` goes on from it.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        said = io.StringIO()
        error.show(said)
        echo(said.getvalue().rstrip(), err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output has gone: nothing is left to say, not even at the interpreter's exit.
        sys.stderr.close()
        sys.exit(0)
