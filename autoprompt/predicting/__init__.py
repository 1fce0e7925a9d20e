"""One prompt with one model: fine-tune it, score rows, predict."""

from autoprompt.predicting.predictor import Answer, Predictor
from autoprompt.predicting.session import Loading, Session, StoredWeights
from autoprompt.predicting.training import labelled, tuned

__all__ = ["Answer", "Loading", "Predictor", "Session", "StoredWeights", "labelled", "tuned"]
