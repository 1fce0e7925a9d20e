"""Random search: independent draws."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autoprompt.evaluator import Evaluation
from autoprompt.optimizer.draws import OPENED
from autoprompt.optimizer.space import Space
from autoprompt.optimizer.strategy import Proposal, Strategy
from autoprompt.registry import STRATEGIES


@STRATEGIES.register("random")
class RandomStrategy(Strategy):
    """Independent draws of every gene that is free: see ``random_candidate``."""

    name = "random"
    learns = False

    @classmethod
    def first_openings(cls, space: Space, prefix_tokens: float) -> int:
        opens = prefix_tokens > 0 and space.free("template")
        return math.ceil(OPENED * cls.first_pool(space)) if opens else 0

    def ask(self) -> list[Proposal]:
        return self.drawn(self.space.config.search.pool)

    def tell(self, evaluations: Sequence[Evaluation], proposals: Sequence[Proposal]) -> None:
        """Random search learns nothing."""
