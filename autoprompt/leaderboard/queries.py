"""The SQL that reads and writes a leaderboard."""

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
RUNS = f"SELECT {', '.join(records.RUN_COLUMNS)}, checksum FROM runs ORDER BY number"  # noqa: S608
_EVALUATION_NAMES = ", ".join(f"e.{name}" for name in records.EVALUATION_COLUMNS)
SUMMARIES = f"SELECT e.number, e.checksum, {_EVALUATION_NAMES} FROM evaluations e"  # noqa: S608
_EXAMPLE_NAMES = ", ".join(f"x.{name}" for name in records.EXAMPLE_COLUMNS)


def _full_query(losses: str, join: str) -> str:
    return (
        f"SELECT e.number, e.checksum, x.checksum, {losses}, {_EXAMPLE_NAMES}, {_EVALUATION_NAMES} "  # noqa: S608
        f"FROM evaluations e LEFT JOIN examples x ON x.evaluation = e.number{join}"
    )


FULL = {
    True: _full_query("l.checksum, l.losses", " LEFT JOIN losses l ON l.evaluation = e.number"),
    False: _full_query("NULL, NULL", ""),
}
"""By whether the file's version keeps losses."""
ENTRIES = "SELECT DISTINCT entry FROM evaluations WHERE entry >= ? AND entry < ?"
TESTS = "SELECT run, count(*) FROM evaluations WHERE split = 'test' GROUP BY run"
IN_ORDER = " ORDER BY e.number"
OF_RUN = f" WHERE e.run = ?{IN_ORDER}"
OF_ENTRY = f" WHERE e.entry = ?{IN_ORDER}"
