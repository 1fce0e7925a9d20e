"""Persistent leaderboard of runs and evaluations in one SQLite file, which only this package writes."""

from autoprompt.leaderboard.checks import DamagedError
from autoprompt.leaderboard.comparing import EntryComparison, MeanMetric, compare_entries
from autoprompt.leaderboard.entry_listing import Entry
from autoprompt.leaderboard.groups import Group, Groups
from autoprompt.leaderboard.inspecting import Inspection
from autoprompt.leaderboard.listings import Listing
from autoprompt.leaderboard.locks import holding, is_held
from autoprompt.leaderboard.merging import Merged, merge
from autoprompt.leaderboard.records import EntryRow, EvaluationRecord, RunRecord, Summary
from autoprompt.leaderboard.removing import remove
from autoprompt.leaderboard.run_tables import Attached, DataRow, Origin, Step
from autoprompt.leaderboard.store import Leaderboard
from autoprompt.leaderboard.weights import keep_weights, kept_weights

__all__ = [
    "Attached",
    "DamagedError",
    "DataRow",
    "Entry",
    "EntryComparison",
    "EntryRow",
    "EvaluationRecord",
    "Group",
    "Groups",
    "Inspection",
    "Leaderboard",
    "Listing",
    "MeanMetric",
    "Merged",
    "Origin",
    "RunRecord",
    "Step",
    "Summary",
    "compare_entries",
    "holding",
    "is_held",
    "keep_weights",
    "kept_weights",
    "merge",
    "remove",
]
