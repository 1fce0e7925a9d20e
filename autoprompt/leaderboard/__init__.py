"""Persistent leaderboard of runs and evaluations in one SQLite file, which only this package writes."""

from autoprompt.leaderboard.checks import DamagedError
from autoprompt.leaderboard.comparing import EntryComparison, MeanMetric, compare_entries
from autoprompt.leaderboard.entry_listing import Entry
from autoprompt.leaderboard.groups import Group, Groups
from autoprompt.leaderboard.locks import holding, is_held
from autoprompt.leaderboard.merging import merge
from autoprompt.leaderboard.ranking import rank
from autoprompt.leaderboard.records import (
    EVALUATED_SPLITS,
    REFINE,
    EntryRow,
    EvaluationRecord,
    RunRecord,
    kept_tests,
    pinned,
)
from autoprompt.leaderboard.removing import remove
from autoprompt.leaderboard.run_config import (
    RefineInputs,
    RunConfig,
    StoredManifest,
    StoredRequest,
    StoredTransfer,
    StoredWarmStart,
)
from autoprompt.leaderboard.run_tables import DataRow, EntryEstimate, Origin, Step
from autoprompt.leaderboard.store import Leaderboard
from autoprompt.leaderboard.summary import Summary
from autoprompt.leaderboard.weights import keep_weights, kept_weights

__all__ = [
    "EVALUATED_SPLITS",
    "REFINE",
    "DamagedError",
    "DataRow",
    "Entry",
    "EntryComparison",
    "EntryEstimate",
    "EntryRow",
    "EvaluationRecord",
    "Group",
    "Groups",
    "Leaderboard",
    "MeanMetric",
    "Origin",
    "RefineInputs",
    "RunConfig",
    "RunRecord",
    "Step",
    "StoredManifest",
    "StoredRequest",
    "StoredTransfer",
    "StoredWarmStart",
    "Summary",
    "compare_entries",
    "holding",
    "is_held",
    "keep_weights",
    "kept_tests",
    "kept_weights",
    "merge",
    "pinned",
    "rank",
    "remove",
]
