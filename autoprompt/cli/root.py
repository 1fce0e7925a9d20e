"""The ``autoprompt`` command group with all commands, and the printing of errors."""

from __future__ import annotations

import io
import sys
import traceback
from typing import Any

import click

from autoprompt.cli import artifacts, layout, leaderboard, predicting, refining, reporting, searching
from autoprompt.cli.interruption import interrupted
from autoprompt.cli.verbosity import Verbosity, talkative, verbosity
from autoprompt.errors import AutopromptError
from autoprompt.terminal import echo, visible


class Root(click.Group):
    """The top-level command group; with --verbose it prints the traceback of an error."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Make a context whose help fits narrow terminals; click's own help is at least 50 columns wide."""
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
    leaderboard.leaderboard,
    reporting.report,
    leaderboard.export,
    predicting.predict,
    artifacts.models,
    artifacts.corpora,
):
    cli.add_command(talkative(_command))
cli.add_command(completion)


def run() -> int:
    """Run the command line of this process and return the exit code; print an error as one sentence on stderr."""
    try:
        code = cli.main(standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except AutopromptError as error:
        echo(visible(f"Error: {error}"), err=True)
        return error.exit_code
    except click.exceptions.Abort:
        echo(interrupted(), err=True)
        return 130
    except click.ClickException as error:
        said = io.StringIO()
        error.show(said)
        echo(said.getvalue().rstrip(), err=True)
        return error.exit_code
    except BrokenPipeError:  # the program that reads our output has ended
        return 0
