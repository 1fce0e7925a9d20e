"""The persistent leaderboard: runs and evaluations in one SQLite file that nothing else writes."""

from autoprompt.leaderboard.records import EntryRow, EvaluationRecord, RunRecord
from autoprompt.leaderboard.store import Leaderboard

__all__ = ["EntryRow", "EvaluationRecord", "Leaderboard", "RunRecord"]
