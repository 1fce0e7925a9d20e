"""The commands that train: ``search``, ``resume``, ``verify`` and ``evaluate``."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import click

from autoprompt.cli import complete
from autoprompt.cli.options import (
    STARTED,
    Duration,
    data_of,
    data_options,
    json_option,
    leaderboard_option,
    model_of,
    model_options,
    place_of,
    print_json,
    resume_place_options,
    unescaped,
    verify_place_options,
)
from autoprompt.cli.verbosity import progress_view
from autoprompt.errors import UsageError
from autoprompt.registry import STRATEGIES, TRACKERS

track_option = click.option(
    "--track",
    metavar=f"[{'|'.join(TRACKERS)}:]PLACE",
    help="Write the run's curves to PLACE; tensorboard (extra: tracking) takes a folder.",
)


class SearchCommand(click.Command):
    """A command whose help names the data file formats in place of FORMATS; their readers are imported only then."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help text."""
        from autoprompt.corpus import format_names

        shown = copy.copy(self)
        shown.help = (self.help or "").replace("FORMATS", format_names(extras=True))
        super(SearchCommand, shown).format_help_text(ctx, formatter)


@click.command(cls=SearchCommand, short_help="Search for the best prompt on a corpus.")
@click.argument("corpus", shell_complete=complete.corpora)
@click.option("--template", "templates", multiple=True, metavar="TEXT", callback=unescaped,
              help="The first one replaces the manual baseline; others are added to the search.")  # fmt: skip
@click.option("--strategy", type=click.Choice(tuple(STRATEGIES)), default="hybrid", show_default=True,
              help="Source of prompts: operators and gradients, one of them, random draws, or a grid.")  # fmt: skip
@click.option(
    "--budget", type=Duration(), metavar="TIME", help="Time from start to result, such as 90s or 1h30m.  [default: 5m]"
)
@click.option(
    "--max-evaluations", type=click.IntRange(1), metavar="N", help="Number of fine-tunes, instead of a time limit."
)
@click.option("--metric", metavar="NAME", help="Metric to report in addition to loss and accuracy.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE",
              help="TOML file: ranges of the settings, and sizes of the search.")  # fmt: skip
@click.option("--fix", "fixes", multiple=True, metavar="NAME=VALUE",
              help="Fix one setting: epochs=2, calibration=true, demos=4, template=TEXT ...")  # fmt: skip
@click.option("--folds", type=click.IntRange(2), metavar="K",
              help="K-fold cross-validation of finalists.  [default: swap train and validation]")  # fmt: skip
@click.option("--repeats", type=click.IntRange(1), default=1, show_default=True, help="Seeds for each finalist.")
@click.option("--refit/--no-refit", default=True, show_default=True,
              help="Train the winner once more, where there are rows without labels and time.")  # fmt: skip
@click.option("--warm-start", multiple=True, metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
              help="Leaderboard or bundle of other data; the search starts with its prompts.")  # fmt: skip
@click.option("--name", metavar="TEXT", help="A name for the run.")
@track_option
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
    refit: bool,
    warm_start: tuple[Path, ...],
    name: str | None,
    track: str | None,
    leaderboard_file: Path,
    as_json: bool,
    **rest: Any,
) -> None:
    """Search for the best prompt on CORPUS: a name, a data file, a folder of data files, or hub:NAME.

    Data files are FORMATS; text files may also be compressed (.gz, .bz2, .xz or .zst).

    Results are stored in the leaderboard as they are found. After Ctrl-C, `autoprompt resume` continues the run.

    \b
    autoprompt search rotten-tomatoes --budget 5m
    autoprompt search reviews.csv --label-column stars --template "{text}\\nStars: {label}"
    """
    if budget is not None and max_evaluations is not None:
        raise UsageError("--budget and --max-evaluations exclude each other; give one of them.")
    from autoprompt import run
    from autoprompt.cli.tables import show_result
    from autoprompt.optimizer import parse_fix
    from autoprompt.tracking import tracked

    options = run.SearchOptions(
        corpus=corpus,
        data=data_of(rest),
        model=model_of(rest),
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
        refit=refit,
        warm_start=warm_start,
        started=STARTED,
    )
    limit = budget or (None if max_evaluations else run.DEFAULT_BUDGET)
    with progress_view(limit, max_evaluations) as shown, tracked(shown, track) as watched:
        result = run.search(options, watched)
    if as_json:
        print_json(result.to_dict())
    else:
        show_result(result, leaderboard_file)


@click.command(short_help="Continue a run that was stopped or killed.")
@click.argument("reference", metavar="RUN", shell_complete=complete.runs)
@track_option
@resume_place_options
@leaderboard_option
@json_option
def resume(
    reference: str,
    track: str | None,
    leaderboard_file: Path,
    as_json: bool,
    **place: Any,
) -> None:
    """Continue RUN (id or name), which was stopped or killed; for a finished run, print the result again.

    \b
    autoprompt resume 3f2a9c0d11e2
    autoprompt resume "first try" --leaderboard reviews.sqlite
    """
    from autoprompt import run
    from autoprompt.cli.tables import show_result
    from autoprompt.leaderboard import Leaderboard
    from autoprompt.tracking import tracked

    with Leaderboard.open(leaderboard_file, read_only=True) as board:
        config = board.run(reference).config
    with progress_view(config.budget, config.max_evaluations) as shown, tracked(shown, track) as watched:
        result = run.resume(reference, leaderboard_file, watched, started=STARTED, place=place_of(place))
    if as_json:
        print_json(result.to_dict())
    else:
        show_result(result, leaderboard_file)


@click.command(short_help="Repeat an entry's or run's evaluations and compare.")
@click.argument("entry", required=False, shell_complete=complete.entries)
@click.option(
    "--run",
    "run_name",
    metavar="RUN",
    shell_complete=complete.runs,
    help="All entries of this run (id or name), instead of ENTRY.",
)
@verify_place_options
@leaderboard_option
@json_option
@click.pass_context
def verify(
    context: click.Context,
    /,
    entry: str | None,
    run_name: str | None,
    leaderboard_file: Path,
    as_json: bool,
    **place: Any,
) -> None:
    """Repeat all evaluations of ENTRY (8 characters or more of its id) and compare every prediction and loss.

    Exact: the same to the last bit. Within: close, on another machine or with other versions. Different: neither, and
    the exit code is 6.

    \b
    autoprompt verify 3f2a9c0d
    autoprompt verify --run reviews
    """
    from autoprompt import run
    from autoprompt.cli.tables import show_run_verification, show_verification
    from autoprompt.errors import VerificationError
    from autoprompt.results import RunVerification, Verification

    if (entry is None) == (run_name is None):
        raise UsageError("Verify takes an ENTRY or --run RUN; give one of the two.")
    result: Verification | RunVerification
    with progress_view() as shown:
        if entry is not None:
            result = run.verify(entry, leaderboard_file, shown, started=STARTED, place=place_of(place))
        else:
            result = run.verify_run(str(run_name), leaderboard_file, shown, started=STARTED, place=place_of(place))
    if as_json:
        print_json(result.to_dict())
    elif isinstance(result, Verification):
        show_verification(result)
    else:
        show_run_verification(result)
    if result.verdict == "different":
        context.exit(VerificationError.exit_code)


@click.command(short_help="Train one template and score it on another split.")
@click.argument("corpus", shell_complete=complete.corpora)
@click.option("--template", metavar="TEXT", callback=unescaped, help=r"Template to train; \n is a line break.")
@click.option("--entry", metavar="ENTRY", shell_complete=complete.entries,
              help="Another run's prompt, compared with the manual one; stored in the leaderboard.")  # fmt: skip
@click.option("--learning-rate", type=float, help="[default: the tuning mode's]")
@click.option("--batch-size", type=click.IntRange(1), help="Rows per step.  [default: the tuning mode's]")
@click.option("--epochs", type=click.IntRange(1),
              help="Maximum passes over the training rows; training stops once they are learnt.")  # fmt: skip
@click.option("--rank", type=click.IntRange(1), help="Rank of the adapters.  [default: the tuning mode's]")
@click.option("--split", type=click.Choice(("validation", "test")), default="validation", show_default=True,
              help="The rows to score.")  # fmt: skip
@data_options
@model_options
@leaderboard_option
@json_option
def evaluate(
    corpus: str,
    template: str | None,
    entry: str | None,
    split: str,
    leaderboard_file: Path,
    as_json: bool,
    **rest: Any,
) -> None:
    """Train one template on CORPUS's training rows and score it on another split.

    With --entry, evaluate the prompt of another run, found on other data or with another model. It gets this data's
    fields and label words, and is compared with the tuned manual template. The result is stored as a run; `autoprompt
    report` of several runs shows how well prompts transfer.

    \b
    autoprompt evaluate rotten-tomatoes --template "{text} It was {label}"
    autoprompt evaluate reviews.csv --template "{text}\\nStars: {label}" --split test --epochs 4
    autoprompt evaluate reviews.csv --entry 3f2a9c0d
    """
    from autoprompt import run
    from autoprompt.cli.tables import show_evaluation, show_transfer

    names = ("learning_rate", "batch_size", "epochs", "rank")
    changes = {name: rest[name] for name in names if rest[name] is not None}
    if (template is None) == (entry is None):
        raise UsageError("Evaluate takes --template TEXT or --entry ENTRY; give one of the two.")
    if entry is not None:
        if changes or rest["label_words"]:
            raise UsageError("--entry brings its own settings and label words; leave the options for them out.")
        own = click.get_current_context().get_parameter_source("model") == click.core.ParameterSource.DEFAULT
        with progress_view() as shown:
            moved = run.transfer(
                entry, corpus, data_of(rest), model_of(rest), leaderboard_file, shown,
                split=split, seed=rest["seed"], own_model=own,
            )  # fmt: skip
        if as_json:
            print_json(moved.to_dict())
        else:
            show_transfer(moved)
        return
    assert template is not None  # noqa: S101
    with progress_view() as shown:
        result = run.evaluate(
            corpus, data_of(rest), model_of(rest), template, rest["label_words"], changes, split, rest["seed"], shown
        )
    if as_json:
        print_json(result.to_dict())
    else:
        show_evaluation(result)
