"""The persistent leaderboard: runs and evaluations in one SQLite file that nothing else writes."""

from autoprompt.leaderboard.attached import Attached, DataRow, Origin, Step
from autoprompt.leaderboard.comparing import EntryComparison, compare_entries
from autoprompt.leaderboard.listing import Group, Line, groups_of, listed
from autoprompt.leaderboard.locks import holding, is_held
from autoprompt.leaderboard.merging import Merged, merge
from autoprompt.leaderboard.records import EntryRow, EvaluationRecord, RunRecord, Summary
from autoprompt.leaderboard.refined import refinement_verdict
from autoprompt.leaderboard.store import Leaderboard
from autoprompt.leaderboard.weights import keep_weights, kept_weights

__all__ = [
    "Attached",
    "DataRow",
    "EntryComparison",
    "EntryRow",
    "EvaluationRecord",
    "Group",
    "Leaderboard",
    "Line",
    "Merged",
    "Origin",
    "RunRecord",
    "Step",
    "Summary",
    "compare_entries",
    "groups_of",
    "holding",
    "is_held",
    "keep_weights",
    "kept_weights",
    "listed",
    "merge",
    "refinement_verdict",
]
