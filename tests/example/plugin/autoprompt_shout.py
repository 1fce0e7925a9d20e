"""An operator that puts closing words into capitals, and a strategy that tries the library backwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autoprompt.candidate import Candidate
from autoprompt.evaluator import Evaluation
from autoprompt.optimizer import Proposal, phrases
from autoprompt.optimizer.operators import Mating
from autoprompt.optimizer.strategy import Strategy
from autoprompt.template import Literal, edits


class Shout:
    """The words between the text and the label in capitals."""

    name = "shout"
    genes = ("template",)

    def __call__(self, mating: Mating) -> Candidate | None:
        parent = mating.parent
        tail = "".join(part.text for part in edits.question(parent.template) if isinstance(part, Literal))
        return replace(parent, template=phrases.with_tail(parent.template, tail.upper()))


class Backwards(Strategy):
    """The phrases of the library, the last first."""

    name = "backwards"
    learns = False

    def ask(self) -> list[Proposal]:
        return self.fresh(self.start()[::-1], self.space.config.search.pool)

    def tell(self, evaluations: Sequence[Evaluation], proposals: Sequence[Proposal]) -> None:
        """Nothing is learned: the order stands from the start."""
