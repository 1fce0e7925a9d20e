"""What a search wrote on its leaderboard about the test rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import outcomes

from autoprompt.corpus import Corpus


def tested(board: Path, entry: str, corpus: Corpus) -> tuple[str, list[float]]:
    """An entry's outcome and log-loss on each test row, in the corpus's order."""
    with sqlite3.connect(board) as connection:
        ((predictions, log_probs, row_ids),) = connection.execute(
            "SELECT predictions, log_probs, row_ids FROM examples JOIN evaluations ON number = evaluation "
            "WHERE split = 'test' AND entry = ?",
            (entry,),
        ).fetchall()
    predicted = dict(zip(json.loads(row_ids), json.loads(predictions), strict=True))
    found = dict(zip(json.loads(row_ids), json.loads(log_probs), strict=True))
    gold = [row.label for row in corpus.test]
    losses = [-found[row.row_id][corpus.labels.index(row.label)] for row in corpus.test]
    return outcomes([predicted[row.row_id] for row in corpus.test], gold), losses


def entry_of(result: Mapping[str, Any], who: str) -> str:
    """The entry of ``best`` or of a baseline in what a search returned."""
    return str((result["best"] if who == "best" else result["baselines"][who])["entry"])
