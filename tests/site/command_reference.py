"""The reference of all commands, in Markdown, from their help texts: ``make docs`` writes it to docs/commands.md."""

import click

from autoprompt.cli import cli

WIDTH = 100
HEAD = """# Commands

What `autoprompt COMMAND --help` prints. This page is written by `make docs`, and a test holds it to the help texts.

Every command that shows a result takes `--json`, and then prints one JSON object on standard output and nothing else.
Progress, notes and errors go to standard error. Exit codes: 0 done, 2 usage, 3 bad input, 4 storage, 5 no candidate
succeeded, 6 verification mismatch, 130 and 143 stopped by a signal (what was done is kept). `NO_COLOR` is honoured, and
options with an environment variable name it.
"""


def reference() -> str:
    """The page."""
    parts = [HEAD]
    with click.Context(
        cli, info_name="autoprompt", terminal_width=WIDTH, max_content_width=WIDTH, help_option_names=["-h", "--help"]
    ) as context:
        _add(cli, context, parts)
    return "\n".join(parts)


def _add(command: click.Command, context: click.Context, parts: list[str]) -> None:
    parts.append(f"## {context.command_path}\n\n```\n{command.get_help(context).rstrip()}\n```\n")
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            with click.Context(
                inner, info_name=name, parent=context, terminal_width=WIDTH, max_content_width=WIDTH
            ) as below:
                _add(inner, below, parts)


if __name__ == "__main__":
    print(reference(), end="")
