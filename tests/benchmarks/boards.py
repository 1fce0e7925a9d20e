"""Searches of benchmarks, and what they wrote on their leaderboards about the test rows."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import outcomes
from tasks import MODEL, Task

from autoprompt.corpus import Corpus
from autoprompt.progress import Silent
from autoprompt.run import ModelOptions, SearchOptions
from autoprompt.run import search as run_search


def searched(
    task: Task, corpus: Corpus, view: Silent, shown: Sequence[str], rules: str = "", **options: Any
) -> tuple[Mapping[str, Any], dict[str, tuple[str, list[float]]]]:
    """One search with the default model: its result, and for ``best`` or a baseline what ``tested`` gives.

    ``rules``: its [search] section.
    """
    with tempfile.TemporaryDirectory() as name:
        board = Path(name) / "board.sqlite"
        result = searched_into(board, task, corpus, view, rules, **options)
        return result, {who: tested(board, _entry_of(result, who), corpus, first=False) for who in shown}


def searched_into(
    board: Path, task: Task, corpus: Corpus, view: Silent | None = None, rules: str = "", **options: Any
) -> Mapping[str, Any]:
    """The same, in a leaderboard of the caller's."""
    with tempfile.TemporaryDirectory() as name:
        config = Path(name) / "search.toml"
        config.write_text(f"[search]\n{rules}\n", encoding="utf-8")
        source, data = task.options(corpus, Path(name) / "data")
        given = SearchOptions(
            corpus=source,
            data=data,
            model=ModelOptions(MODEL),
            seed=task.seed,
            config=config,
            leaderboard=board,
            **options,
        )
        return run_search(given, view or Silent()).to_dict()


def tested(board: Path, entry: str, corpus: Corpus, *, first: bool) -> tuple[str, list[float]]:
    """An entry's outcome and log-loss on each test row, in the corpus's order; of one that was trained once more as it
    is then, or as it was before (``first``)."""
    with sqlite3.connect(board) as connection:
        found = connection.execute(
            "SELECT predictions, log_probs, row_ids FROM examples JOIN evaluations ON number = evaluation "
            "WHERE split = 'test' AND entry = ? ORDER BY rung",
            (entry,),
        ).fetchall()
    predictions, log_probs, row_ids = found[0 if first else -1]
    predicted = dict(zip(json.loads(row_ids), json.loads(predictions), strict=True))
    found = dict(zip(json.loads(row_ids), json.loads(log_probs), strict=True))
    gold = [row.label for row in corpus.test]
    losses = [-found[row.row_id][corpus.labels.index(row.label)] for row in corpus.test]
    return outcomes([predicted[row.row_id] for row in corpus.test], gold), losses


def _entry_of(result: Mapping[str, Any], who: str) -> str:
    """The entry of ``best`` or of a baseline in what a search returned."""
    return str((result["best"] if who == "best" else result["baselines"][who])["entry"])
