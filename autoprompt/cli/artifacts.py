"""The commands ``models`` and ``corpora``: list, show and pull the embedded ones."""

from __future__ import annotations

from typing import Any

import click

from autoprompt.cli import complete
from autoprompt.cli.options import DefaultGroup, json_option, print_json
from autoprompt.cli.verbosity import say
from autoprompt.errors import UsageError


@click.group(cls=DefaultGroup)
def models() -> None:
    """The embedded models: list (the default), pull."""


@models.command("list")
@json_option
def models_list(as_json: bool) -> None:
    """Embedded models. Any other name is a folder or a model of the Hugging Face Hub.

    \b
    autoprompt models
    """
    _list_artifacts("model", as_json)


@models.command("pull")
@click.argument("name", shell_complete=complete.models)
def models_pull(name: str) -> None:
    """Fetch an embedded model into the cache (AUTOPROMPT_CACHE, or the user's own); a search does so on first use.

    \b
    autoprompt models pull smollm2-135m
    """
    _pull(name, "model")


@click.group(cls=DefaultGroup)
def corpora() -> None:
    """The embedded corpora: list (the default), show, pull."""


@corpora.command("list")
@json_option
def corpora_list(as_json: bool) -> None:
    """Embedded corpora. Any other name is a file, a folder, or hub:NAME.

    \b
    autoprompt corpora
    """
    _list_artifacts("corpus", as_json)


@corpora.command("show")
@click.argument("name", shell_complete=complete.corpora)
@json_option
def corpora_show(name: str, as_json: bool) -> None:
    """The card of one corpus: source, licence, fields, labels, metric, manual template.

    \b
    autoprompt corpora show rotten-tomatoes
    """
    from dataclasses import asdict

    from autoprompt import corpus
    from autoprompt.cli.tables import show_card

    card = corpus.card(name)
    if as_json:
        print_json(asdict(card))
    else:
        show_card(card)


@corpora.command("pull")
@click.argument("name", shell_complete=complete.corpora)
def corpora_pull(name: str) -> None:
    """Fetch an embedded corpus into the cache; a search does so on first use.

    \b
    autoprompt corpora pull bbc-news
    """
    from autoprompt import corpus

    if any(card.name == name and card.files for card in corpus.list_cards()):
        say(f"{name} travels with the package; there is nothing to pull.")
        return
    _pull(name, "corpus")


def _list_artifacts(kind: Any, as_json: bool) -> None:
    from autoprompt import artifacts
    from autoprompt.cli.tables import ListedArtifact, show_artifacts

    rows = [
        ListedArtifact(item.name, item.description, item.licence, pulled)
        for item, pulled in artifacts.list_artifacts(kind)
    ]
    if kind == "corpus":
        from autoprompt import corpus

        rows += [
            ListedArtifact(card.name, card.title, card.licence, pulled=True)
            for card in corpus.list_cards()
            if card.files  # shipped with the package
        ]
    if as_json:
        print_json({"models" if kind == "model" else "corpora": [row._asdict() for row in rows]})
    else:
        show_artifacts(rows)


def _pull(name: str, kind: str) -> None:
    from autoprompt import artifacts
    from autoprompt.progress import pull_bar

    if artifacts.artifact(name).kind != kind:
        raise UsageError(f"{name!r} is no {kind}; see the list.")
    with pull_bar(name) as report:
        path = artifacts.pull(name, progress=report)
    say(f"{name} is in {path}")
