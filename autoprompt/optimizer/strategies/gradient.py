"""Token gradients alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from autoprompt.candidate import Candidate
from autoprompt.evaluator import CandidateEvaluator, Evaluation
from autoprompt.optimizer import phrases
from autoprompt.optimizer.space import Space
from autoprompt.optimizer.strategy import PROPOSALS, Proposal, Strategy
from autoprompt.registry import STRATEGIES
from autoprompt.template import LABEL, Literal, Slot, Template


@STRATEGIES.register("gradient")
class GradientStrategy(Strategy):
    """AutoPrompt's loop (Shin et al. 2020): replace one token at a time by what the gradient favours.

    Frozen scores choose among the gradient's short list; the manual settings stay.
    """

    name = "gradient"
    gradient_rounds = 2
    triggers = " the the the "

    def __init__(self, space: Space, evaluator: CandidateEvaluator, rng: random.Random) -> None:
        super().__init__(space, evaluator, rng)
        self.current: list[Candidate] = []
        self.wanted = PROPOSALS
        """Edits asked of a parent: more once all of them were tried."""

    @classmethod
    def first_openings(cls, space: Space, prefix_tokens: float) -> int:
        return int(prefix_tokens > 0 and space.free("template"))

    @classmethod
    def first_pool(cls, space: Space) -> int:
        del space
        return cls.gradient_rounds * (2 * PROPOSALS + 2)

    def ask(self) -> list[Proposal]:
        if not self.space.free("template"):
            return []
        if not self.current:
            manual, *seeds = self.space.prompts
            bare = phrases.body(manual.template)
            triggered = Template((*bare.segments, Literal(self.triggers), Slot(LABEL)))
            self.current = [manual, self.space.bounded(replace(manual, template=triggered)), *seeds]
        out: list[Proposal] = []
        for _ in range(self.gradient_rounds):
            parents = list(self.current)
            pool: list[Proposal] = []
            tokens = self.evaluator.propose(parents, replacements=self.wanted, infills=0)
            for parent, hints in zip(parents, tokens, strict=True):
                pool += [Proposal(replace(parent, template=t), self.name, (parent.id,)) for t, _ in hints.replacements]
            pool = self.fresh(pool)
            self.wanted += 0 if pool else PROPOSALS
            out += pool
            scored = [e for e in self.evaluator.frozen([*parents, *(p.candidate for p in pool)]) if e.complete]
            scored.sort(key=lambda e: (e.loss, e.candidate.id))
            self.current = [e.candidate for e in scored[:2]] or parents
        return out

    def tell(self, evaluations: Sequence[Evaluation], proposals: Sequence[Proposal]) -> None:  # noqa: ARG002
        """Go on from the best of what was tuned and the best of what was scored frozen."""
        tuned = sorted((e for e in evaluations if e.complete), key=lambda e: (e.fitness, e.candidate.id))
        self.current = list(dict.fromkeys([e.candidate for e in tuned[:1]] + self.current[:1])) or self.current
