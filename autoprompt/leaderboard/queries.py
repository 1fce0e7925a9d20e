"""SQL queries that read and write a leaderboard."""

from __future__ import annotations

from collections.abc import Sequence

from autoprompt.leaderboard import records


def _insert(table: str, columns: Sequence[str]) -> str:
    names = (*columns, "checksum")
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608


ADD_RUN = _insert("runs", records.RUN_COLUMNS)
ADD_EVALUATION = _insert("evaluations", records.EVALUATION_COLUMNS)
ADD_EXAMPLES = _insert("examples", ["evaluation", *records.EXAMPLE_COLUMNS])
ADD_LOSSES = _insert("losses", ["evaluation", "losses"])
CHANGE_RUN = "UPDATE runs SET status = ?, finished = ?, result = ?, evaluations = ?, checksum = ? WHERE id = ?"
RUNS = f"SELECT number, checksum, {', '.join(records.RUN_COLUMNS)} FROM runs"  # noqa: S608
OLDEST_FIRST = " ORDER BY number"
NEWEST_FIRST = " ORDER BY number DESC LIMIT ?"
OF_ID = " WHERE id = ?"
OF_NUMBER = " WHERE number = ?"
NAMES = "SELECT name, id FROM runs ORDER BY number DESC LIMIT ?"
USED = "SELECT id, name FROM runs WHERE id = ? OR name = ?"
NUMBER_OF_ID = "SELECT number FROM runs WHERE id = ?"
NUMBER_OF_NAME = "SELECT number FROM runs WHERE name = ?"
NUMBERS_OF_PREFIX = "SELECT number FROM runs WHERE id >= ? AND id < ? LIMIT 2"
UNINDEXED_RUN = "SELECT 1 FROM runs NOT INDEXED WHERE id = ? OR name = ?"
NUMBER_OF_NUMBER = "SELECT number FROM runs WHERE number = ?"
ID_OF_NUMBER = "SELECT id FROM runs WHERE number = ?"
ID_OF_NAME = "SELECT id FROM runs WHERE name = ?"
REMOVE_RUN = "DELETE FROM runs WHERE number = ?"
REMOVE_EVALUATIONS = (
    "DELETE FROM examples WHERE evaluation IN (SELECT number FROM evaluations WHERE run = ?)",
    "DELETE FROM losses WHERE evaluation IN (SELECT number FROM evaluations WHERE run = ?)",
    "DELETE FROM evaluations WHERE run = ?",
)
JSON_OF_RUNS = "SELECT config, result FROM runs"
RAW_RUN = "SELECT id, config, result FROM runs WHERE number = ?"
NAMING = "SELECT 1 FROM runs WHERE instr(config, ?) OR instr(result, ?) LIMIT 1"
COUNT_RUNS = "SELECT count(*) FROM runs"
_EVALUATION_NAMES = ", ".join(f"e.{name}" for name in records.EVALUATION_COLUMNS)
SUMMARIES = f"SELECT e.number, e.checksum, {_EVALUATION_NAMES} FROM evaluations e"  # noqa: S608
_EXAMPLE_NAMES = ", ".join(f"x.{name}" for name in records.EXAMPLE_COLUMNS)
FULL = (
    f"SELECT e.number, e.checksum, x.checksum, l.checksum, l.losses, {_EXAMPLE_NAMES}, {_EVALUATION_NAMES} "  # noqa: S608
    "FROM evaluations e LEFT JOIN examples x ON x.evaluation = e.number LEFT JOIN losses l ON l.evaluation = e.number"
)
ENTRIES = "SELECT DISTINCT entry FROM evaluations WHERE entry >= ? AND entry < ?"
UNINDEXED_ENTRY = "SELECT count(*) FROM evaluations NOT INDEXED WHERE entry = ?"
COUNT_UP_TO = "SELECT count(*) FROM (SELECT 1 FROM evaluations LIMIT ?)"
TESTED = "SELECT count(*) FROM evaluations WHERE split = 'test' AND run IN (SELECT id FROM runs WHERE fingerprint = ?)"
UNINDEXED_TESTED = (
    "SELECT count(*) FROM evaluations NOT INDEXED WHERE split = 'test' "
    "AND run IN (SELECT id FROM runs NOT INDEXED WHERE fingerprint = ?)"
)
OF_KEY = " WHERE e.key = ? AND e.status = 'complete' ORDER BY e.number LIMIT 1"
IN_ORDER = " ORDER BY e.number"
OF_RUN = f" WHERE e.run = ?{IN_ORDER}"
OF_ENTRY = f" WHERE e.entry = ?{IN_ORDER}"
_PLAUSIBLE = (
    "typeof(entry) = 'text' AND typeof(run) = 'text' AND typeof(rung) = 'integer' AND typeof(length) = 'integer' "
    "AND typeof(fold) = 'integer' AND typeof(metric) IN ('text', 'null') "
    "AND status IN ('complete', 'pruned', 'failed') AND typeof(n) IN ('integer', 'null') "
    "AND (loss IS NULL OR loss BETWEEN -1e150 AND 1e150) "
    "AND (readability IS NULL OR readability BETWEEN -1e150 AND 1e150)"
)
RANKED = (
    "SELECT number, entry, run, split, rung, fold, status, loss, metric, n, length, readability, "  # noqa: S608
    f"({_PLAUSIBLE}) FROM evaluations"
)
"""Columns that ``ranking.place`` needs, and whether they can be sorted; one index covers all of them."""
RANKED_OF_RUN = f"{RANKED} WHERE run = ? AND split != 'test' ORDER BY entry, run"
RANKED_OF_ALL = f"{RANKED} WHERE split != 'test' ORDER BY entry, run"
ERRORS = (
    "SELECT run, entry, error FROM estimates WHERE typeof(run) = 'text' AND typeof(entry) = 'text' "
    "AND error BETWEEN -1e150 AND 1e150"
)
"""Estimated errors, where they can be sorted."""
ERRORS_OF_RUN = f"{ERRORS} AND run = ?"
DATA_OF_RUNS = "SELECT number, id, fingerprint, strategy FROM runs"
"""Columns that ``ranking.data_of`` needs; one index covers all of them."""
COUNT_OF_RUN = "SELECT count(*) FROM evaluations WHERE run = ?"


def summaries_of(numbers: Sequence[int]) -> str:
    """Query for the evaluations with these row numbers, in their order."""
    return f"{SUMMARIES} WHERE e.number IN ({', '.join('?' * len(numbers))}){IN_ORDER}"
