"""Typed results of searches, refinements, verifications and evaluations, and their verdicts in words."""

from autoprompt.results.types import (
    Change,
    Difference,
    EntryCheck,
    EvaluationResult,
    LossDifference,
    Refinement,
    RepeatedEvaluation,
    Result,
    RunResult,
    RunVerification,
    ScoredPrompt,
    Spread,
    Transferred,
    Verification,
    WarmStart,
    plain,
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
    "Result",
    "RunResult",
    "RunVerification",
    "ScoredPrompt",
    "Spread",
    "Transferred",
    "Verification",
    "WarmStart",
    "plain",
    "refinement_verdict",
    "verdict",
]
