"""Shell completion for names of corpora, models, runs and entries.

A completion is inserted into the command line unquoted. A name that a shell would have to quote (blanks, ``$``, quotes,
wildcards, a leading dash) is not offered; a run with such a name is offered by its id.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from autoprompt.terminal import DEFAULT_LEADERBOARD, visible

_SHOWN = 200
_SHELL_SAFE = re.compile(r"[\w.+@%/][\w.+@%/-]*").fullmatch
"""Matches names of characters that have no special meaning in any shell, anywhere in a word."""


def corpora(_context: click.Context, _parameter: click.Parameter, prefix: str) -> list[CompletionItem]:
    """Complete names of embedded corpora and of files."""
    from autoprompt import corpus

    return [
        *_matching(prefix, ((card.name, card.title) for card in corpus.list_cards())),
        CompletionItem(prefix, "file"),
    ]


def models(_context: click.Context, _parameter: click.Parameter, prefix: str) -> list[CompletionItem]:
    """Complete names of embedded models and of folders."""
    from autoprompt import artifacts

    known = ((artifact.name, artifact.description) for artifact, _ in artifacts.list_artifacts("model"))
    return [*_matching(prefix, known), CompletionItem(prefix, "dir")]


def runs(context: click.Context, _parameter: click.Parameter, prefix: str) -> list[CompletionItem]:
    """Complete names and ids of the leaderboard's runs."""
    return _of_leaderboard(context, prefix, lambda board: [
        (name, f"{run.corpus}, {run.status}") for run in board.runs() for name in (run.name, run.id) if name
    ])  # fmt: skip


def entries(context: click.Context, _parameter: click.Parameter, prefix: str) -> list[CompletionItem]:
    """Complete ids of the leaderboard's best entries."""
    return _of_leaderboard(context, prefix, lambda board: [
        (entry.entry[: max(12, len(prefix))], entry.template) for entry in board.entries()[:_SHOWN]
    ])  # fmt: skip


def _of_leaderboard(
    context: click.Context, prefix: str, listed: Callable[[Any], list[tuple[str, str]]]
) -> list[CompletionItem]:
    from autoprompt.errors import AutopromptError
    from autoprompt.leaderboard import Leaderboard

    place = context.params.get("leaderboard_file") or Path(DEFAULT_LEADERBOARD)
    try:
        with Leaderboard.open(place, read_only=True) as board:
            return _matching(prefix, listed(board))
    except AutopromptError:  # nothing to offer
        return []


def _matching(prefix: str, known: Any) -> list[CompletionItem]:
    # A line break would end the item, and begin another one.
    return [
        CompletionItem(name, help=visible(text))
        for name, text in known
        if name.startswith(prefix) and _SHELL_SAFE(name)
    ]
