"""One prompt with one model: fine-tune it, score rows, predict."""

from autoprompt.predicting.predictor import BLOCK, Answer, Predictor, failures
from autoprompt.predicting.session import Loading, Session, StoredWeights
from autoprompt.predicting.training import labelled, tuned

__all__ = ["BLOCK", "Answer", "Loading", "Predictor", "Session", "StoredWeights", "failures", "labelled", "tuned"]
