"""What commands share: kinds of parameters, groups of options, and how a result is printed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from autoprompt.candidate import TUNING_MODES
from autoprompt.cli import complete

if TYPE_CHECKING:
    from autoprompt.progress import View
    from autoprompt.run import DataOptions, ModelOptions

STARTED = time.monotonic()
"""When the command began: a budget counts from here."""
F = TypeVar("F", bound=Callable[..., Any])

STRATEGY_NAMES = ("hybrid", "genetic", "gradient", "random", "grid")
FAMILY_NAMES = ("causal", "masked", "seq2seq", "classifier")
NARROW = 60
"""Columns below which help is laid out otherwise."""
_VERBOSITY = "autoprompt.verbosity"
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


class Duration(click.ParamType[float]):
    """``90``, ``90s``, ``5m`` or ``1h`` as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Raises a usage error for anything else, and for a duration of nothing."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(value).strip())
        seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
        if not 0 < seconds < float("inf"):
            self.fail(f"{value!r} is no duration above 0; write 90s, 5m or 1h.", param, ctx)
        return seconds


class JsonObject(click.ParamType[dict[str, str]]):
    """A JSON object of texts."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, str]:
        """Raises a usage error for anything else."""
        if isinstance(value, dict):
            return value
        try:
            parsed = json.loads(value)
        except ValueError as error:
            self.fail(f'{value!r} is not valid JSON ({error}); write \'{{"label": "word", ...}}\'.', param, ctx)
        if not isinstance(parsed, dict) or not all(isinstance(word, str) for word in parsed.values()):
            self.fail(f'{value!r} is no JSON object of texts; write \'{{"label": "word", ...}}\'.', param, ctx)
        return parsed


def _options(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    def apply(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


data_options = _options(
    click.option("--text-column", metavar="NAMES", help="Text field, or several with commas."),
    click.option("--label-column", metavar="NAME", help="Column of the label."),
    click.option("--target-column", metavar="NAME", help="Column of the text to generate, in place of a label."),
    click.option("--drop-empty", is_flag=True, help="Leave out rows without text, and say how many."),
    click.option("--drop-duplicates", is_flag=True, help="Leave out texts that stand in an earlier split too."),
    click.option("--max-length", type=click.IntRange(1), default=128, show_default=True, help="Tokens of a field."),
    click.option("--test-rows", type=click.IntRange(0), default=400, show_default=True,
                 help="Most test rows where the data brings no test file."),
    click.option("--shots", type=click.IntRange(1), default=16, show_default=True,
                 help="Rows a class for training and for validation where the data has no splits."),
)  # fmt: skip
model_options = _options(
    click.option("--model", default="smollm2-135m", show_default=True, envvar="AUTOPROMPT_MODEL", show_envvar=True,
                 shell_complete=complete.models, help="Embedded model, folder or Hub name."),
    click.option("--family", type=click.Choice(FAMILY_NAMES),
                 help="What kind of model it is used as.  [default: as it was saved]"),
    click.option("--tuning", type=click.Choice(TUNING_MODES),
                 help="What is trained.  [default: tail for causal models, else lora]"),
    click.option("--chat", is_flag=True, help="Wrap prompts in the tokenizer's chat format."),
    click.option("--device", default="auto", show_default=True, metavar="[auto|cpu|cuda|mps]",
                 envvar="AUTOPROMPT_DEVICE", show_envvar=True,
                 help="Where the model runs; auto takes a GPU where there is one."),
    click.option("--workers", type=click.IntRange(1), envvar="AUTOPROMPT_WORKERS", show_envvar=True,
                 help="Worker processes.  [default: one a core]"),
    click.option("--label-words", type=JsonObject(), metavar="JSON", help='Such as \'{"neg": "bad", "pos": "good"}\'.'),
    click.option("--seed", type=int, default=0, show_default=True, help="Of all that is drawn."),
)  # fmt: skip
leaderboard_option = click.option(
    "--leaderboard", "leaderboard_file", type=click.Path(path_type=Path, dir_okay=False),
    envvar="AUTOPROMPT_LEADERBOARD", show_envvar=True, default=Path("autoprompt.sqlite"), show_default=True,
    help="The file that runs are kept in.",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")


class Verbosity(IntEnum):
    """How much a command tells beside its result."""

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2


def verbosity() -> Verbosity:
    """What the running command was asked for."""
    context = click.get_current_context(silent=True)
    return Verbosity(context.meta.get(_VERBOSITY, Verbosity.NORMAL)) if context else Verbosity.NORMAL


def say(text: str) -> None:
    """A line for people, on standard error, unless they asked for none."""
    if verbosity() > Verbosity.QUIET:
        click.echo(text, err=True)


@contextmanager
def viewed(seconds: float | None = None, evaluations: int | None = None) -> Iterator[View]:
    """The view of work that goes on, as the command was asked for."""
    from autoprompt.progress import view

    told = verbosity()
    quiet, verbose = told == Verbosity.QUIET, told == Verbosity.VERBOSE
    with view(STARTED, seconds, evaluations, quiet=quiet, verbose=verbose) as shown:
        yield shown


class Formatter(click.HelpFormatter):
    """Help whose options leave room for what they mean, also in a narrow terminal."""

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Names that are too long stand on a line of their own."""
        super().write_dl(rows, min(col_max, self.width // 4) if self.width < NARROW else col_max, col_spacing)


class Context(click.Context):
    """What a command runs in."""

    formatter_class = Formatter


def talkative(command: click.Command) -> click.Command:
    """The command, and those of a group, with --quiet and --verbose."""
    command.context_class = Context
    if isinstance(command, click.Group):
        for each in command.commands.values():
            talkative(each)
    else:
        command.params += [
            click.Option(["-q", "--quiet"], is_flag=True, expose_value=False, callback=_told(Verbosity.QUIET),
                         help="No progress and no notes, only the result and errors."),
            click.Option(["-v", "--verbose"], is_flag=True, expose_value=False, callback=_told(Verbosity.VERBOSE),
                         help="A line for each evaluation, and where an error came from."),
        ]  # fmt: skip
    return command


def _told(level: Verbosity) -> Callable[[click.Context, click.Parameter, bool], None]:
    def keep(context: click.Context, _parameter: click.Parameter, given: bool) -> None:
        known = context.meta.get(_VERBOSITY, level)
        if given and known != level:
            raise click.UsageError("--quiet and --verbose exclude each other; give one of them.")
        if given:
            context.meta[_VERBOSITY] = level

    return keep


def unescaped(_context: click.Context, _parameter: click.Parameter, value: Any) -> Any:
    """``\\n`` typed in a shell is a line break, as the leaderboard prints it."""
    if isinstance(value, str):
        return value.replace("\\n", "\n")
    return tuple(text.replace("\\n", "\n") for text in value)


class DefaultGroup(click.Group):
    """A group whose ``list`` may go unnamed, with or without its options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Name the ``list`` that was meant."""
        option = bool(args) and args[0].startswith("-") and args[0] not in ctx.help_option_names
        nothing = not args and not ctx.resilient_parsing  # a shell that completes wants the commands' names
        return super().parse_args(ctx, ["list", *args] if option or nothing else args)


def data_of(values: dict[str, Any]) -> DataOptions:
    """The data options of a command."""
    from autoprompt.run import DataOptions

    names = ("text_column", "label_column", "target_column", "drop_empty", "drop_duplicates", "max_length",
             "test_rows", "shots")  # fmt: skip
    return DataOptions(**{name: values[name] for name in names})


def model_of(values: dict[str, Any]) -> ModelOptions:
    """The model options of a command."""
    from autoprompt.run import ModelOptions

    return ModelOptions(**{name: values[name] for name in ("model", "device", "workers", "tuning", "family", "chat")})


def print_json(value: Any) -> None:
    """What a script reads: one line on standard output."""
    click.echo(json.dumps(value, ensure_ascii=True, allow_nan=False))
