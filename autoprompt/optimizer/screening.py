"""Selection of the proposals that are fine-tuned, by their frozen scores and the surrogate's predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from statistics import median

from autoprompt.candidate import Candidate
from autoprompt.evaluator import CandidateEvaluator, Evaluation
from autoprompt.optimizer.racing import ranked
from autoprompt.optimizer.space import Space
from autoprompt.optimizer.strategy import TAUGHT, Proposal
from autoprompt.optimizer.surrogate import Known, predict_losses

PER_OPERATOR = 2
"""Survivors of one operator in a generation, before the next best of other operators: near-copies of one edit teach
little. New draws have no such limit."""
PER_VARIANT = 1
"""The same for operators that do not change the template: their gains on few validation rows did not show on the test
rows, or were losses there (``ablation.md`` and ``defaults.md`` in ``results/benchmarks``)."""
VARIANTS = ("label_words", "settings")
TAUGHT_PLACES = 0.34
"""Share of the first generation's fine-tunes that is reserved for the best prompts of earlier runs: on similar data,
fine-tunes there tell more about them than frozen scores here."""


@dataclass
class Screening:
    """Orders proposals for the fine-tunes: by the surrogate once it knows enough fine-tunes, before by frozen scores.

    ``guided``: whether the strategy learns from fine-tunes, and the surrogate with it.
    """

    evaluator: CandidateEvaluator
    space: Space
    guided: bool
    count: int = field(default=0, init=False)
    """Frozen scores so far."""
    readability: dict[str, float | None] = field(default_factory=dict, init=False)
    """By text id."""
    _frozen: dict[str, float] = field(default_factory=dict, init=False)
    _parents: dict[str, str] = field(default_factory=dict, init=False)
    """Candidate ids of parents, by those of their children."""
    _texts: dict[str, str] = field(default_factory=dict, init=False)
    """Text ids of what was scored frozen or proposed, by candidate id."""

    def survivors(
        self,
        proposals: Sequence[Proposal],
        tuned: Sequence[Evaluation],
        *,
        exhaustive: bool,
        beside: Sequence[Candidate] = (),
    ) -> tuple[list[Candidate], list[Evaluation]]:
        """Return the candidates to fine-tune, best first, and the new frozen scores.

        All of the proposals where frozen scores are the fitness, tell nothing, or are not asked for (``exhaustive``).
        ``beside``: those that are fine-tuned whatever their frozen scores, which their children's are compared with.
        """
        sizes = self.space.config.search
        if exhaustive or self.space.manual.settings.tuning == "none" or not self.space.text_varies:
            return [p.candidate for p in proposals], []
        if not sizes.ladder:
            return _few_of_each(proposals, sizes.survivors, starting=not tuned), []
        self._parents |= {p.candidate.id: p.parents[0] for p in proposals if p.parents}
        self._texts |= {c.id: c.text_id for c in (*beside, *(p.candidate for p in proposals))}
        candidates = [*beside, *(p.candidate for p in proposals)]
        scored = self._scored([c for c in candidates if c.text_id not in self._frozen])
        known = [p for p in proposals if p.candidate.text_id in self._frozen]
        order = _taught_first(self._ordered(known, tuned), known, int(sizes.survivors * TAUGHT_PLACES))
        return _few_of_each(order, sizes.survivors, starting=not tuned), scored

    def _scored(self, candidates: Sequence[Candidate]) -> list[Evaluation]:
        scored = self.evaluator.frozen(candidates)
        self.count += len(scored)
        self.readability |= {e.candidate.text_id: e.readability for e in scored}
        self._frozen |= {e.candidate.text_id: e.loss for e in scored if e.complete}
        return scored

    def _ordered(self, proposals: Sequence[Proposal], tuned: Sequence[Evaluation]) -> list[Proposal]:
        """Best first."""
        ends = _ends(tuned)
        if self.guided and self.space.config.search.surrogate:
            losses = {c.id: loss for c, loss in ends if c.text_id in self._frozen}
            known = [(self._known(c, losses), loss) for c, loss in ends if c.id in losses]
            expected = predict_losses(known, [self._known(p.candidate, losses) for p in proposals])
            if expected is not None:
                places = sorted(range(len(proposals)), key=lambda i: (expected[i], proposals[i].candidate.id))
                return [proposals[i] for i in places]
        return self._by_rung_0(proposals, {c.text_id: loss for c, loss in reversed(ends)})

    def _by_rung_0(self, proposals: Sequence[Proposal], texts: Mapping[str, float]) -> list[Proposal]:
        """New texts by their frozen scores; one place is for new settings of a tuned text, the best of ``texts``."""
        new = [p for p in proposals if p.candidate.text_id not in texts]
        variants = [p for p in proposals if p.candidate.text_id in texts]
        new.sort(key=lambda p: (self._frozen[p.candidate.text_id], p.candidate.id))
        variants.sort(key=lambda p: (texts[p.candidate.text_id], p.candidate.id))
        place = self.space.config.search.survivors - 1
        return [*new[:place], *variants[:1], *new[place:], *variants[1:]]

    def _known(self, candidate: Candidate, losses: Mapping[str, float]) -> Known:
        """``losses``: of what was fine-tuned, by candidate id."""
        parent = self._parents.get(candidate.id, "")
        own = (losses[parent], self._frozen[self._texts[parent]]) if parent in losses else None
        return Known(candidate, self._frozen[candidate.text_id], own)


def _ends(tuned: Sequence[Evaluation]) -> list[tuple[Candidate, float]]:
    """What was fine-tuned with its fitness, the best first. For one that was stopped early the loss there stands, times
    the others' ratio of the fitness at their ends to the loss there."""
    complete = [(e, e.fitness) for e in ranked(tuned)]
    watched = [fitness / e.milestone for e, fitness in complete if e.milestone]
    factor = median(watched) if watched else 1.0
    stopped = [(e, e.milestone * factor) for e in tuned if e.status == "pruned" and e.milestone is not None]
    return [(e.candidate, loss) for e, loss in sorted([*complete, *stopped], key=lambda end: end[1])]


def _taught_first(order: Sequence[Proposal], proposals: Sequence[Proposal], most: int) -> list[Proposal]:
    """The first few that earlier runs found, as those have them, and then the order."""
    first = {p.candidate.id: p for p in [p for p in proposals if p.operator == TAUGHT][:most]}
    return [*first.values(), *(p for p in order if p.candidate.id not in first)]


def _in_turn(order: Sequence[Proposal]) -> list[Proposal]:
    """What was bred and what was drawn anew, each best first: a parent's loss speaks for the one kind alone."""
    kinds = [[p for p in order if bool(p.parents) == bred] for bred in (True, False)]
    return [p for pair in zip_longest(*kinds) for p in pair if p is not None]


def _few_of_each(order: Sequence[Proposal], most: int, *, starting: bool) -> list[Candidate]:
    """The first of each text. Unless the search is ``starting``, what was bred and what was drawn anew take turns, and
    few of each operator come before any has more."""
    first: dict[str, Proposal] = {}
    for proposal in order if starting else _in_turn(order):
        first.setdefault(proposal.candidate.text_id, proposal)
    few: list[Candidate] = []
    more: list[Candidate] = []
    counts: Counter[str] = Counter()
    for proposal in first.values():
        counts[proposal.operator] += 1
        most_of_it = PER_VARIANT if proposal.operator in VARIANTS else PER_OPERATOR
        fits = starting or not proposal.parents or counts[proposal.operator] <= most_of_it
        (few if fits else more).append(proposal.candidate)
    return [*few, *more][:most]
