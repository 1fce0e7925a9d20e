"""Typed results of searches, refinements, verifications and evaluations, and their verdicts in words."""

from autoprompt.results.types import (
    Change,
    Difference,
    EntryCheck,
    EvaluationResult,
    LossDifference,
    Refinement,
    RepeatedEvaluation,
    RunResult,
    RunVerification,
    ScoredPrompt,
    Spread,
    Transferred,
    Verification,
    WarmStart,
)
from autoprompt.results.verdict import refinement_verdict, verdict

__all__ = [
    "Change",
    "Difference",
    "EntryCheck",
    "EvaluationResult",
    "LossDifference",
    "Refinement",
    "RepeatedEvaluation",
    "RunResult",
    "RunVerification",
    "ScoredPrompt",
    "Spread",
    "Transferred",
    "Verification",
    "WarmStart",
    "refinement_verdict",
    "verdict",
]
