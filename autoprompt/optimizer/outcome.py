"""What a search found, with the statistics of its generations."""

from __future__ import annotations

from dataclasses import dataclass

from autoprompt.evaluator import Evaluation


@dataclass(frozen=True)
class Generation:
    """Statistics of one generation."""

    generation: int
    tuned: int
    """Its fine-tunes."""
    evaluations: int
    """Fine-tunes of the search so far."""
    frozen: int
    """Frozen scores so far."""
    min: float | None
    """Lowest loss of its fine-tunes; None where none was complete."""
    mean: float | None

    def to_dict(self) -> dict[str, int | float]:
        """Plain JSON values, without those that are None."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass
class Outcome:
    """What a search found."""

    best: Evaluation
    trained: list[Evaluation]
    """What the test rows are for: the winner, ``manual`` and ``manual_tuned``, each as trained on the training rows."""
    answers: list[tuple[float, ...]]
    """What the winner is to learn of the unlabelled rows [rows][labels]: the best candidates' mean probabilities. Empty
    where it is not trained once more: where that was not asked for, too few candidates voted, or time was too short."""
    no_time_to_refit: bool
    """Whether time alone was the reason."""
    parts: list[Evaluation]
    """Of the winner: each fold and repeat, where there were finalists."""
    baselines: dict[str, Evaluation]
    """At the highest rung that each reached, so that ``manual_tuned`` compares with the winner."""
    judged: list[Evaluation]
    """All complete fine-tunes, at the highest rung that each reached, with the last estimates of their errors."""
    finalists: int
    """Candidates that were re-scored; 0 where time was too short."""
    rounds: int
    """Folds and repeats that each finalist was asked for; fewer where time was too short."""
    history: list[Generation]
    generations: int
    fitted: int
    frozen: int
