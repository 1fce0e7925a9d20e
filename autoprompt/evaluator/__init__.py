"""Evaluator: scores candidates on a ladder (frozen score, short fine-tune, repeated folds) and, once, on test rows."""

from autoprompt.evaluator.evaluation import Evaluation, Rung
from autoprompt.evaluator.evaluator import Evaluator
from autoprompt.evaluator.halving import bar
from autoprompt.evaluator.journal import Journal
from autoprompt.evaluator.measuring import Speed
from autoprompt.evaluator.scoring import calibrated, content_free
from autoprompt.evaluator.tasks import Readiness
from autoprompt.evaluator.worker import WorkerSpec, start_worker

__all__ = [
    "Evaluation",
    "Evaluator",
    "Journal",
    "Readiness",
    "Rung",
    "Speed",
    "WorkerSpec",
    "bar",
    "calibrated",
    "content_free",
    "start_worker",
]
