"""The commands that a report names, against the options of a search."""

from dataclasses import asdict, fields

from autoprompt.cli import cli
from autoprompt.report import commands
from autoprompt.run import DataOptions, ModelOptions


def test_every_option_of_the_data_is_repeated() -> None:
    """With the default that the command has itself, so that a default is left out."""
    values = asdict(DataOptions())
    assert {field.name: values[field.name] for field in fields(DataOptions) if field.name != "rows"} == commands._DATA
    assert asdict(ModelOptions()).items() >= commands._MODEL.items()
    options = cli.commands["search"].make_context("search", ["corpus"]).params
    assert options.items() >= (commands._DATA | commands._MODEL | commands._SEARCH).items()
