"""Results as plain dicts, with texts that look like markup, for tests of what is printed."""

from types import SimpleNamespace

from autoprompt.candidate import Candidate, Settings
from autoprompt.evaluator import Evaluation
from autoprompt.template import LabelWords, Template

NASTY = "[red]{text}[/] [/nothing] :smile: {label}"
SETTINGS = Settings("tail", 5e-4, 8, 8, 8)


def candidate(template: str = NASTY) -> Candidate:
    return Candidate(Template.parse(template), LabelWords((("neg", "[b]"), ("pos", "[/]"))), SETTINGS)


def evaluation(loss: float, rung: int = 1, template: str = NASTY) -> Evaluation:
    return Evaluation(candidate(template), rung, losses=(loss, loss), gold=(0, 1), log_probs=((0.0, -9.0),) * 2)


def evaluator(fitted: int) -> SimpleNamespace:
    return SimpleNamespace(fitted=fitted, tokens=100 * fitted)


SCORE = {"loss": 0.5, "accuracy": 0.75, "metric": "accuracy", "value": 0.75, "n": 32}
ROW = {
    "entry": "e" * 64, "run": "[blue]", "rung": 2, "status": "complete", "reason": None, "role": "search",
    "template": NASTY, "label_words": {"neg": "[b]", "pos": "[/]"}, "settings": SETTINGS.to_dict(),
    "validation": SCORE, "test": SCORE, "group": "g" * 12,
}  # fmt: skip
GROUP = {"group": "g" * 12, "corpora": ["[/]", "reviews"], "fingerprint": "f" * 64, "status": "complete", "rung": 2,
         "n": 32, "entries": 3, "refined": False, "test_evaluations": 5}  # fmt: skip
RUN = {
    "id": "a" * 12, "name": "[red]name[/]", "corpus": "[/]", "model": "[m]", "strategy": "hybrid", "seed": 0,
    "status": "finished", "started": "2026-01-01T00:00:00+00:00", "result": {"best": ROW},
}  # fmt: skip
RESULT = {
    "run": "a" * 12, "corpus": "[red]corpus[/]", "model": "[/]", "evaluations": 3, "frozen": 9, "generations": 2,
    "seconds": 65.0, "best": ROW, "baselines": {"manual": ROW | {"test": None}, "null": None}, "difference": None,
}  # fmt: skip
COMPARISON = {
    "entries": ["e" * 64, "f" * 64], "split": "validation", "rung": 2, "n": 32, "loss": [0.5, 0.75],
    "difference": {"mean": -0.25, "low": -0.5, "high": 0.0}, "p_first_better": 0.975, "metric": "rougeL",
    "values": [{"mean": 0.5, "deviation": 0.125, "folds": 4}, {"mean": 0.25, "deviation": 0.0, "folds": 1}],
}  # fmt: skip
EVALUATION = {"run": "[r]", "split": "validation", "rung": 1, "fold": 0, "repeat": 0, "status": "complete",
              "score": SCORE, "seconds": 1.0}  # fmt: skip
