"""Genetic search whose operators include token gradients: the default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autoprompt.candidate import Candidate
from autoprompt.optimizer.operators import Hints
from autoprompt.optimizer.strategies.genetic import GeneticStrategy
from autoprompt.optimizer.strategy import Proposal
from autoprompt.registry import STRATEGIES


@STRATEGIES.register("hybrid")
class HybridStrategy(GeneticStrategy):
    """Genetic search whose operators include token gradients, and whose pool always holds their best edits."""

    name = "hybrid"
    gradients = True
    directed = 1
    """Best untried replacements of each elite candidate."""

    def _directed(self, elite: Sequence[Candidate], hints: Hints) -> list[Proposal]:
        out: list[Proposal] = []
        for parent in elite:
            found = hints.tokens[parent.id].replacements if self._uses("gradient") else []
            edits = [Proposal(replace(parent, template=t), "gradient", (parent.id,)) for t, _ in found]
            out += self.fresh(edits, self.directed)
        return out
