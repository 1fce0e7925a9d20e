"""Typed results of searches, refinements, verifications and evaluations, and their verdicts in words."""

from autoprompt.results.events import CandidateEvaluated, Event, NoteGiven, PlannedStage, SearchPlanned, StageStarted
from autoprompt.results.types import (
    Change,
    Difference,
    ErrorEstimate,
    EvaluationResult,
    LossDifference,
    Refinement,
    RunResult,
    ScoredPrompt,
    Spread,
    Transferred,
    WarmStart,
    WinnerVersion,
)
from autoprompt.results.verdict import refinement_verdict, verdict
from autoprompt.results.verification import EntryCheck, RepeatedEvaluation, RunVerification, Verification

__all__ = [
    "CandidateEvaluated",
    "Change",
    "Difference",
    "EntryCheck",
    "ErrorEstimate",
    "EvaluationResult",
    "Event",
    "LossDifference",
    "NoteGiven",
    "PlannedStage",
    "Refinement",
    "RepeatedEvaluation",
    "RunResult",
    "RunVerification",
    "ScoredPrompt",
    "SearchPlanned",
    "Spread",
    "StageStarted",
    "Transferred",
    "Verification",
    "WarmStart",
    "WinnerVersion",
    "refinement_verdict",
    "verdict",
]
