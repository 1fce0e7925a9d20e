"""Evaluator: scores candidates on a ladder (frozen score, short fine-tune, repeated folds) and, once, on test rows."""

from autoprompt.evaluator.cost_model import CostModel
from autoprompt.evaluator.dispatch import TaskMap, dispatch
from autoprompt.evaluator.evaluation import Estimate, Evaluation, Rung
from autoprompt.evaluator.evaluator import TEST_BLOCK, Evaluator, Observer
from autoprompt.evaluator.halving import bar
from autoprompt.evaluator.journal import Journal
from autoprompt.evaluator.measuring import Speed
from autoprompt.evaluator.model_check import ModelCheck
from autoprompt.evaluator.protocol import CandidateEvaluator
from autoprompt.evaluator.refining import REFINING_VERSION, RefineResult, RefineTask
from autoprompt.evaluator.scoring import calibrated, content_free
from autoprompt.evaluator.tasks import Readiness
from autoprompt.evaluator.worker import WorkerSpec, start_worker

__all__ = [
    "REFINING_VERSION",
    "TEST_BLOCK",
    "CandidateEvaluator",
    "CostModel",
    "Estimate",
    "Evaluation",
    "Evaluator",
    "Journal",
    "ModelCheck",
    "Observer",
    "Readiness",
    "RefineResult",
    "RefineTask",
    "Rung",
    "Speed",
    "TaskMap",
    "WorkerSpec",
    "bar",
    "calibrated",
    "content_free",
    "dispatch",
    "start_worker",
]
