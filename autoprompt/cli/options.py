"""Parameter types, option groups and JSON output that the commands share."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from autoprompt.cli import complete
from autoprompt.duration import parse_duration
from autoprompt.models import DEFAULT_TUNING, FAMILIES
from autoprompt.registry import EXECUTORS
from autoprompt.terminal import DEFAULT_LEADERBOARD, echo
from autoprompt.tuning_modes import TUNING_MODES

if TYPE_CHECKING:
    from autoprompt.errors import Parameter
    from autoprompt.run import DataOptions, ModelOptions, PlaceOptions

_BATCH = 200
"""Items of a JSON list that are written at a time."""
STARTED = time.monotonic()
"""Monotonic seconds at the command's start, from which a budget counts."""
_OTHER_OPTIONS = {"folder": "--out", "templates": "--template"}
"""Parameters whose options are called otherwise."""
F = TypeVar("F", bound=Callable[..., Any])


class Duration(click.ParamType[float]):
    """A duration (``90s``, ``5m``, ``1h`` or ``1h30m``) as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ARG002
        """Return seconds. Raises UsageError for anything else, also for a number without a unit and for 0 seconds."""
        return value if isinstance(value, float) else parse_duration(str(value), param.opts[0] if param else "A value")


class JsonObject(click.ParamType[dict[str, str]]):
    """A JSON object whose values are texts."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, str]:
        """Return the object as a dict. Raises a usage error for anything else."""
        if isinstance(value, dict):
            return value
        try:
            parsed = json.loads(value)
        except ValueError as error:
            self.fail(f'{value!r} is not valid JSON ({error}); write \'{{"label": "word", ...}}\'.', param, ctx)
        if not isinstance(parsed, dict) or not all(isinstance(word, str) for word in parsed.values()):
            self.fail(f'{value!r} is not a JSON object of texts; write \'{{"label": "word", ...}}\'.', param, ctx)
        return parsed


def _options(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    def apply(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


def _default_tuning() -> str:
    """The default tuning mode of each family that has another than most, in words."""
    own = {name: family.tuning for name, family in FAMILIES.items() if family.tuning != DEFAULT_TUNING}
    return ", ".join([*(f"{mode} for {name} models" for name, mode in own.items()), f"else {DEFAULT_TUNING}"])


_COLUMNS = (
    click.option("--text-column", metavar="NAMES", help="Column of the text; separate several with commas."),
    click.option("--label-column", metavar="NAME", help="Column of the label."),
    click.option("--target-column", metavar="NAME", help="Column of the text to generate, in place of a label."),
    click.option("--drop-empty", is_flag=True, help="Leave out rows without text; a note counts them."),
)
_FILES = (
    click.option("--encoding", metavar="NAME", help="Encoding of a file that is not UTF-8, such as cp1252."),
    click.option("--delimiter", metavar="C", help="Separator of cells; tab for a tab.  [default: detected]"),
    click.option("--no-header", is_flag=True, help="The first row is data; columns are named column1, column2 ..."),
    click.option("--column-names", metavar="NAMES", help="Column names of a file without a header, with commas."),
)
FILE_OPTIONS = ("encoding", "delimiter", "no_header", "column_names")
file_options = _options(*_FILES)
column_options = _options(*_COLUMNS, *_FILES)
data_options = _options(
    *_COLUMNS,
    *_FILES,
    click.option("--drop-duplicates", is_flag=True, help="Leave out texts that an earlier split has too."),
    click.option("--max-length", type=click.IntRange(1), default=128, show_default=True,
                 help="Maximum tokens of a field."),
    click.option("--test-rows", type=click.IntRange(0), default=400, show_default=True,
                 help="Maximum test rows where the data has no test file."),
    click.option("--shots", type=click.IntRange(1), default=16, show_default=True,
                 help="Training rows, and validation rows, per class where the data has no splits."),
    click.option("--validation-rows", type=click.IntRange(0), default=0, show_default=True,
                 help="Validation takes more of what the test rows leave over, up to so many rows in all."),
    click.option("--unlabeled", metavar="FILE", help="Data file of rows without labels, or a txt file of texts."),
    click.option("--unlabeled-rows", type=click.IntRange(0), default=128, show_default=True,
                 help="Maximum rows without labels; without a file, labelled rows that are left over count."),
)  # fmt: skip
place_options = (
    click.option("--executor", type=click.Choice(tuple(EXECUTORS)), default="local", show_default=True,
                 envvar="AUTOPROMPT_EXECUTOR", show_envvar=True,
                 help=f"Where workers run: {', or '.join(kind.where for kind in EXECUTORS.own.values())}."),
    click.option("--ray-address", metavar="HOST:PORT",
                 help="Address of the cluster.  [default: RAY_ADDRESS, the one running here, or a new one here]"),
)  # fmt: skip
_worker_options = (
    click.option("--workers", type=click.IntRange(1), envvar="AUTOPROMPT_WORKERS", show_envvar=True,
                 help="Worker processes.  [default: one per core, or one per GPU]"),
    click.option("--workers-per-gpu", type=click.IntRange(1), metavar="N",
                 help="Workers that share a GPU.  [default: 1]"),
)  # fmt: skip
device_option = click.option(
    "--device", default="auto", show_default=True, metavar="[auto|cpu|cuda|mps]",
    envvar="AUTOPROMPT_DEVICE", show_envvar=True,
    help="Where the model runs; auto uses a GPU if there is one.",
)  # fmt: skip
model_options = _options(
    click.option("--model", default="smollm2-135m", show_default=True, envvar="AUTOPROMPT_MODEL", show_envvar=True,
                 shell_complete=complete.models, help="Embedded model, folder or Hub name."),
    click.option("--family", type=click.Choice(tuple(FAMILIES)),
                 help="Family to load the model as.  [default: as it was saved]"),
    click.option("--tuning", type=click.Choice(tuple(TUNING_MODES)),
                 help=f"Parameters that a fine-tune trains.  [default: {_default_tuning()}]"),
    click.option("--chat", is_flag=True, help="Wrap prompts in the tokenizer's chat format."),
    device_option,
    *_worker_options,
    *place_options,
    click.option("--label-words", type=JsonObject(), metavar="JSON",
                 help='Label words, such as \'{"neg": "bad", "pos": "good"}\'.'),
    click.option("--seed", type=int, default=0, show_default=True, help="Random seed of the run."),
)  # fmt: skip
leaderboard_option = click.option(
    "--leaderboard", "leaderboard_file", type=click.Path(path_type=Path, dir_okay=False),
    envvar="AUTOPROMPT_LEADERBOARD", show_envvar=True, default=Path(DEFAULT_LEADERBOARD), show_default=True,
    help="File in which runs are stored.",
)  # fmt: skip
verify_place_options = _options(
    *place_options,
    *_worker_options,
    click.option("--device", metavar="[auto|cpu|cuda|mps]", help="Where the model runs.  [default: as in the run]"),
)
resume_place_options = _options(
    click.option("--executor", type=click.Choice(tuple(EXECUTORS)),
                 help="Where workers run from now on.  [default: as before]"),
    click.option("--ray-address", metavar="HOST:PORT", help="Address of the cluster, if it has changed."),
    click.option("--workers", type=click.IntRange(1), help="Worker processes.  [default: as before]"),
    click.option("--workers-per-gpu", type=click.IntRange(1), metavar="N", help="Workers that share a GPU."),
    click.option("--device", metavar="[auto|cpu|cuda|mps]", help="Where the model runs.  [default: as in the run]"),
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")


def unescaped(_context: click.Context, _parameter: click.Parameter, value: Any) -> Any:
    """Option callback: turn ``\\n``, as the leaderboard prints a line break, into a line break."""
    if value is None:
        return None
    if isinstance(value, str):
        return value.replace("\\n", "\n")
    return tuple(text.replace("\\n", "\n") for text in value)


def as_option(named: Parameter) -> str:
    """Return a parameter in an error's message as the command line has it: ``--workers 0``, a flag without a value."""
    option = _OTHER_OPTIONS.get(named.name) or f"--{named.name.replace('_', '-')}"
    return f"{option} {named.shell}" if named.shell else option


class DefaultGroup(click.Group):
    """A command group that runs ``list`` if no command is named, with or without options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert ``list`` if no command is named."""
        option = bool(args) and args[0].startswith("-") and args[0] not in ctx.help_option_names
        nothing = not args and not ctx.resilient_parsing  # shell completion needs the commands' names
        return super().parse_args(ctx, ["list", *args] if option or nothing else args)


def data_of(values: dict[str, Any]) -> DataOptions:
    """Return the data options among a command's values."""
    from autoprompt.run import DataOptions

    names = ("text_column", "label_column", "target_column", "drop_empty", "drop_duplicates", "max_length",
             "test_rows", "shots", "validation_rows", "unlabeled", "unlabeled_rows", *FILE_OPTIONS)  # fmt: skip
    return DataOptions(**{name: values[name] for name in names})


def model_of(values: dict[str, Any]) -> ModelOptions:
    """Return the model options among a command's values."""
    from autoprompt.run import ModelOptions

    names = ("model", "device", "workers", "tuning", "family", "chat", "executor", "ray_address", "workers_per_gpu")
    return ModelOptions(**{name: values[name] for name in names})


def place_of(values: dict[str, Any]) -> PlaceOptions:
    """Return the options for where a stored run is computed now."""
    from autoprompt.run import PlaceOptions

    names = ("executor", "ray_address", "workers", "workers_per_gpu", "device")
    return PlaceOptions(**{name: values[name] for name in names})


def print_json(value: Any) -> None:
    """Print a value as one line of JSON on standard output."""
    echo(_json(value))


def print_json_list(
    name: str,
    items: Iterable[Any],
    problems: Sequence[object],
    more: Callable[[], Mapping[str, Any]] = dict,
) -> int:
    """Print an object with the list ``name``, item by item, and then the keys that ``more`` returns at the end.

    Prints nothing if there are problems and no items. Returns the number of items.
    """
    count = 0
    rest = iter(items)
    while batch := list(islice(rest, _BATCH)):
        _write_json(f", {_texts(batch)}" if count else f'{{"{name}": [{_texts(batch)}')
        count += len(batch)
    if not count and not problems:
        _write_json(f'{{"{name}": [')
    if count or not problems:
        _write_json("".join(["]", *(f", {_texts([key])}: {_texts([value])}" for key, value in more().items()), "}\n"]))
    return count


def _texts(values: Iterable[Any]) -> str:
    return ", ".join(map(_json, values))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False).replace("\x7f", "\\u007f")


def _write_json(text: str) -> None:
    sys.stdout.write(text)
