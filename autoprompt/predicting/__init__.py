"""One prompt with one model: fine-tune it, score rows, predict."""

from autoprompt.predicting.predictor import Answer, Ensemble, Predictor
from autoprompt.predicting.session import Loading, Session, StoredWeights
from autoprompt.predicting.training import labelled, tuned

__all__ = ["Answer", "Ensemble", "Loading", "Predictor", "Session", "StoredWeights", "labelled", "tuned"]
