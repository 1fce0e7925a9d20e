"""The command line: parse, call, print. Heavy imports stand inside the commands, so that --help is quick."""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from autoprompt.errors import AutopromptError, UsageError

_STARTED = time.monotonic()
F = TypeVar("F", bound=Callable[..., Any])

STRATEGY_NAMES = ("hybrid", "genetic", "gradient", "random", "grid")
TUNING_NAMES = ("none", "tail", "lora", "soft", "bias", "head", "full")
FAMILY_NAMES = ("causal", "masked", "seq2seq", "classifier")
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
    click.option("--model", default="smollm2-135m", show_default=True, help="Embedded model, folder or Hub name."),
    click.option("--family", type=click.Choice(FAMILY_NAMES), help="[default: as the model was saved]"),
    click.option("--tuning", type=click.Choice(TUNING_NAMES), help="[default: tail for causal models, else lora]"),
    click.option("--chat", is_flag=True, help="Wrap prompts in the tokenizer's chat format."),
    click.option("--device", default="auto", show_default=True, metavar="[auto|cpu|cuda|mps]"),
    click.option("--workers", type=click.IntRange(1), help="Worker processes.  [default: one a core]"),
    click.option("--label-words", type=JsonObject(), metavar="JSON", help='Such as \'{"neg": "bad", "pos": "good"}\'.'),
    click.option("--seed", type=int, default=0, show_default=True),
)
leaderboard_option = click.option(
    "--leaderboard", "leaderboard_file", type=click.Path(path_type=Path, dir_okay=False),
    envvar="AUTOPROMPT_LEADERBOARD", default=Path("autoprompt.sqlite"), show_default=True,
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="autoprompt-engine")
def cli() -> None:
    """Find the prompt template, label words and training settings that make a language model do your task best."""


def _unescaped(_context: click.Context, _parameter: click.Parameter, value: Any) -> Any:
    """``\\n`` typed in a shell is a line break, as the leaderboard prints it."""
    if isinstance(value, str):
        return value.replace("\\n", "\n")
    return tuple(text.replace("\\n", "\n") for text in value)


@cli.command()
@click.argument("corpus")
@click.option("--template", "templates", multiple=True, metavar="TEXT", callback=_unescaped,
              help="The first replaces the manual baseline, further ones join the search.")  # fmt: skip
@click.option("--strategy", type=click.Choice(STRATEGY_NAMES), default="hybrid", show_default=True)
@click.option("--budget", type=Duration(), metavar="TIME", help="Time from start to result.  [default: 5m]")
@click.option("--max-evaluations", type=click.IntRange(1), metavar="N", help="Fine-tunes instead of a time limit.")
@click.option("--metric", metavar="NAME", help="Metric to report beside loss and accuracy.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE",
              help="TOML: the ranges of the genes, and sizes of the search.")  # fmt: skip
@click.option("--fix", "fixes", multiple=True, metavar="NAME=VALUE",
              help="Hold one gene still: epochs=2, calibration=true, demos=4, template=TEXT ...")  # fmt: skip
@click.option("--folds", type=click.IntRange(2), metavar="K",
              help="K-fold cross-validation of finalists.  [default: swap train and validation]")  # fmt: skip
@click.option("--repeats", type=click.IntRange(1), default=1, show_default=True, help="Seeds for each finalist.")
@click.option("--name", metavar="TEXT", help="A name for the run.")
@data_options
@model_options
@leaderboard_option
@json_option
def search(
    corpus: str,
    templates: tuple[str, ...],
    strategy: str,
    budget: float | None,
    max_evaluations: int | None,
    metric: str | None,
    config: Path | None,
    fixes: tuple[str, ...],
    folds: int | None,
    repeats: int,
    name: str | None,
    leaderboard_file: Path,
    as_json: bool,
    **rest: Any,
) -> None:
    """Search for the best prompt on CORPUS: a name, a csv/tsv/jsonl/parquet file, a folder, or hub:NAME.

    \b
    autoprompt search rotten-tomatoes --budget 5m
    autoprompt search reviews.csv --label-column stars --template "{text}\\nStars: {label}"
    """
    if budget is not None and max_evaluations is not None:
        raise UsageError("--budget and --max-evaluations exclude each other; give one of them.")
    from autoprompt import progress as views
    from autoprompt import run
    from autoprompt.search import parse_fix

    options = run.SearchOptions(
        corpus=corpus,
        data=_data(rest),
        model=_model(rest),
        templates=templates,
        label_words=rest["label_words"],
        strategy=strategy,
        budget=budget,
        max_evaluations=max_evaluations,
        metric=metric,
        seed=rest["seed"],
        name=name,
        leaderboard=leaderboard_file,
        config=config,
        fix=parse_fix(fixes),
        folds=folds,
        repeats=repeats,
        started=_STARTED,
    )
    limit = budget or (None if max_evaluations else run.DEFAULT_BUDGET)
    with views.view(_STARTED, limit, max_evaluations) as view:
        result = run.search(options, view)
    if as_json:
        _print_json(result)
    else:
        views.show_result(result, leaderboard_file)


@cli.command()
@click.argument("corpus")
@click.option("--template", required=True, metavar="TEXT", callback=_unescaped, help=r"\n is a line break.")
@click.option("--learning-rate", type=float)
@click.option("--batch-size", type=click.IntRange(1))
@click.option("--epochs", type=click.IntRange(1))
@click.option("--rank", type=click.IntRange(1))
@click.option("--split", type=click.Choice(("validation", "test")), default="validation", show_default=True)
@data_options
@model_options
@json_option
def evaluate(corpus: str, template: str, split: str, as_json: bool, **rest: Any) -> None:
    """Train one template on CORPUS's training rows and score it on another split."""
    from autoprompt import progress as views
    from autoprompt import run

    names = ("learning_rate", "batch_size", "epochs", "rank")
    changes = {name: rest[name] for name in names if rest[name] is not None}
    with views.view(_STARTED, None, None) as view:
        result = run.evaluate(
            corpus, _data(rest), _model(rest), template, rest["label_words"], changes, split, rest["seed"], view
        )
    if as_json:
        _print_json(result)
    else:
        views.show_evaluation(result)


@cli.group(invoke_without_command=True)
@click.pass_context
def leaderboard(context: click.Context) -> None:
    """What searches found: list (the default), runs, show, compare."""
    if context.invoked_subcommand is None:
        _default(context, leaderboard_list)


@leaderboard.command("list")
@click.option("--run", "run_name", metavar="RUN", help="Only this run (id or name).")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Rows to show (not with --json).")
@leaderboard_option
@json_option
def leaderboard_list(run_name: str | None, limit: int, leaderboard_file: Path, as_json: bool) -> None:
    """The entries, best first: one row a candidate and run at its highest rung."""
    from autoprompt import progress as views
    from autoprompt.leaderboard import Leaderboard

    with Leaderboard.open(leaderboard_file, read_only=True) as board:
        entries = board.entries(board.run(run_name).id if run_name else None)
    if as_json:
        _print_json({"entries": [entry.to_dict() for entry in entries]})
    else:
        views.show_entries([entry.to_dict() for entry in entries], limit)


@leaderboard.command("runs")
@leaderboard_option
@json_option
def leaderboard_runs(leaderboard_file: Path, as_json: bool) -> None:
    """The runs, newest first."""
    from dataclasses import asdict

    from autoprompt import progress as views
    from autoprompt.leaderboard import Leaderboard

    with Leaderboard.open(leaderboard_file, read_only=True) as board:
        runs = [asdict(run) for run in board.runs()]
    if as_json:
        _print_json({"runs": runs})
    else:
        views.show_runs(runs)


@leaderboard.command("show")
@click.argument("entry")
@leaderboard_option
@json_option
def leaderboard_show(entry: str, leaderboard_file: Path, as_json: bool) -> None:
    """All evaluations of one ENTRY (8 characters or more of its id)."""
    from autoprompt import progress as views
    from autoprompt.leaderboard import Leaderboard

    with Leaderboard.open(leaderboard_file, read_only=True) as board:
        evaluations = board.entry(entry)
    shown = {
        "entry": evaluations[0].entry,
        **evaluations[0].candidate.to_dict(),
        "evaluations": [views.evaluation_dict(e) for e in evaluations],
    }
    if as_json:
        _print_json(shown)
    else:
        views.show_entry(shown)


@leaderboard.command("compare")
@click.argument("first", metavar="ENTRY")
@click.argument("second", metavar="ENTRY")
@click.option("--split", type=click.Choice(("validation", "test")), default="validation", show_default=True)
@leaderboard_option
@json_option
def leaderboard_compare(first: str, second: str, split: str, leaderboard_file: Path, as_json: bool) -> None:
    """Two entries over the rows that both were judged on, with a paired bootstrap (8 characters or more of each id)."""
    from autoprompt import progress as views
    from autoprompt.leaderboard import Leaderboard, compare_entries

    with Leaderboard.open(leaderboard_file, read_only=True) as board:
        comparison = compare_entries(board, first, second, split).to_dict()
    if as_json:
        _print_json(comparison)
    else:
        views.show_comparison(comparison)


@cli.command()
@click.argument("entry")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="best.json or best.py")
@leaderboard_option
def export(entry: str, out: Path, leaderboard_file: Path) -> None:
    """Write ENTRY as a file that other programs import: best.json, or best.py without any dependency."""
    from autoprompt.export import save
    from autoprompt.leaderboard import Leaderboard
    from autoprompt.run import prompt_of

    with Leaderboard.open(leaderboard_file, read_only=True) as board:
        prompt = prompt_of(board, entry)
    save(prompt, out)
    click.echo(f"Wrote {out}.", err=True)


@cli.group(invoke_without_command=True)
@click.pass_context
def models(context: click.Context) -> None:
    """The embedded models: list (the default), pull."""
    if context.invoked_subcommand is None:
        _default(context, models_list)


@models.command("list")
@json_option
def models_list(as_json: bool) -> None:
    """Embedded models. Any other name is a folder or a model of the Hugging Face Hub."""
    _list_artifacts("model", as_json)


@models.command("pull")
@click.argument("name")
def models_pull(name: str) -> None:
    """Fetch an embedded model into the cache."""
    _pull(name, "model")


@cli.group(invoke_without_command=True)
@click.pass_context
def corpora(context: click.Context) -> None:
    """The embedded corpora: list (the default), show, pull."""
    if context.invoked_subcommand is None:
        _default(context, corpora_list)


@corpora.command("list")
@json_option
def corpora_list(as_json: bool) -> None:
    """Embedded corpora. Any other name is a file, a folder, or hub:NAME."""
    _list_artifacts("corpus", as_json)


@corpora.command("show")
@click.argument("name")
@json_option
def corpora_show(name: str, as_json: bool) -> None:
    """The card of one corpus: source, licence, fields, labels, metric, manual template."""
    from dataclasses import asdict

    from autoprompt import corpus, progress

    card = asdict(corpus.card(name))
    if as_json:
        _print_json(card)
    else:
        progress.show_card(card)


@corpora.command("pull")
@click.argument("name")
def corpora_pull(name: str) -> None:
    """Fetch an embedded corpus into the cache."""
    from autoprompt import corpus

    if any(card.name == name and card.files for card in corpus.list_cards()):
        click.echo(f"{name} travels with the package; there is nothing to pull.", err=True)
        return
    _pull(name, "corpus")


def _default(context: click.Context, command: click.Command) -> None:
    """A group's command without arguments, its environment variables read as if it had been named."""
    with command.make_context(str(command.name), [], parent=context) as inner:
        command.invoke(inner)


def _list_artifacts(kind: Any, as_json: bool) -> None:
    from autoprompt import artifacts, progress

    rows = [
        {"name": item.name, "description": item.description, "licence": item.licence, "pulled": pulled}
        for item, pulled in artifacts.list_artifacts(kind)
    ]
    if kind == "corpus":
        from autoprompt import corpus

        rows += [
            {"name": card.name, "description": card.title, "licence": card.licence, "pulled": True}
            for card in corpus.list_cards()
            if card.files  # they travel with the package
        ]
    if as_json:
        _print_json({"models" if kind == "model" else "corpora": rows})
    else:
        progress.show_artifacts(rows)


def _pull(name: str, kind: str) -> None:
    from autoprompt import artifacts, progress

    if artifacts.artifact(name).kind != kind:
        raise UsageError(f"{name!r} is no {kind}; see the list.")
    with progress.pull_bar(name) as report:
        path = artifacts.pull(name, progress=report)
    click.echo(f"{name} is in {path}", err=True)


def _data(values: dict[str, Any]) -> Any:
    from autoprompt.run import DataOptions

    names = ("text_column", "label_column", "target_column", "drop_empty", "drop_duplicates", "max_length",
             "test_rows", "shots")  # fmt: skip
    return DataOptions(**{name: values[name] for name in names})


def _model(values: dict[str, Any]) -> Any:
    from autoprompt.run import ModelOptions

    return ModelOptions(**{name: values[name] for name in ("model", "device", "workers", "tuning", "family", "chat")})


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=True, allow_nan=False))


def _terminated(_number: int, _frame: Any) -> NoReturn:
    raise SystemExit(143)


def main() -> NoReturn:
    """Entry point: every error is one sentence on stderr with its exit code."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        code = cli.main(standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except AutopromptError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        click.echo("Stopped; what was finished is in the leaderboard.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output has gone: nothing is left to say, not even at the interpreter's exit.
        sys.stderr.close()
        sys.exit(0)
