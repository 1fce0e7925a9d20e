"""Which of a generation's proposals are worth a fine-tune."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from autoprompt.candidate import Candidate
from autoprompt.evaluator import Evaluation, Evaluator
from autoprompt.search.racing import ranked
from autoprompt.search.space import Space
from autoprompt.search.strategy import Proposal
from autoprompt.search.surrogate import Known, foretold

PER_OPERATOR = 2
"""Survivors that one operator may have in a generation: near-copies of one edit teach little."""


@dataclass
class Choice:
    """The frozen rung, and the order it gives: that of the surrogate once it knows enough, before that rung 0's own.

    ``guided``: whether the strategy learns from fine-tunes, and the surrogate with it.
    """

    evaluator: Evaluator
    space: Space
    guided: bool
    count: int = field(default=0, init=False)
    """Frozen scores so far."""
    readability: dict[str, float | None] = field(default_factory=dict, init=False)
    """By text id."""
    _frozen: dict[str, float] = field(default_factory=dict, init=False)
    _parents: dict[str, str] = field(default_factory=dict, init=False)

    def survivors(
        self, proposals: Sequence[Proposal], tuned: Sequence[Evaluation], *, exhaustive: bool
    ) -> tuple[list[Candidate], list[Evaluation]]:
        """Who is fine-tuned, best first, and the new frozen scores.

        All of the proposals where frozen scores are the fitness, tell nothing, or are not asked for (``exhaustive``).
        """
        sizes = self.space.config.search
        if exhaustive or self.space.manual.settings.tuning == "none" or not self.space.text_varies:
            return [p.candidate for p in proposals], []
        if not sizes.ladder:
            return [p.candidate for p in proposals[: sizes.survivors]], []
        self._parents |= {p.candidate.id: p.parents[0] for p in proposals if p.parents}
        scored = self._scored([p.candidate for p in proposals if p.candidate.text_id not in self._frozen])
        order = self._ordered([p for p in proposals if p.candidate.text_id in self._frozen], tuned)
        return _few_of_each(order, sizes.survivors, starting=not tuned), scored

    def _scored(self, candidates: Sequence[Candidate]) -> list[Evaluation]:
        scored = self.evaluator.frozen(candidates)
        self.count += len(scored)
        self.readability |= {e.candidate.text_id: e.readability for e in scored}
        self._frozen |= {e.candidate.text_id: e.loss for e in scored if e.complete}
        return scored

    def _ordered(self, proposals: Sequence[Proposal], tuned: Sequence[Evaluation]) -> list[Proposal]:
        """Best first."""
        if self.guided and self.space.config.search.surrogate:
            done = {e.candidate.id: e for e in ranked(tuned) if e.candidate.text_id in self._frozen}
            known = [(self._known(e.candidate, done), e.loss) for e in done.values()]
            expected = foretold(known, [self._known(p.candidate, done) for p in proposals])
            if expected is not None:
                places = sorted(range(len(proposals)), key=lambda i: (expected[i], proposals[i].candidate.id))
                return [proposals[i] for i in places]
        return self._by_rung_0(proposals, {e.candidate.text_id: e.loss for e in reversed(ranked(tuned))})

    def _by_rung_0(self, proposals: Sequence[Proposal], texts: dict[str, float]) -> list[Proposal]:
        """New texts by their frozen scores; one place is for new settings of a tuned text, the best of ``texts``."""
        new = [p for p in proposals if p.candidate.text_id not in texts]
        variants = [p for p in proposals if p.candidate.text_id in texts]
        new.sort(key=lambda p: (self._frozen[p.candidate.text_id], p.candidate.id))
        variants.sort(key=lambda p: (texts[p.candidate.text_id], p.candidate.id))
        place = self.space.config.search.survivors - 1
        return [*new[:place], *variants[:1], *new[place:]]

    def _known(self, candidate: Candidate, done: dict[str, Evaluation]) -> Known:
        parent = done.get(self._parents.get(candidate.id, ""))
        losses = (parent.loss, self._frozen[parent.candidate.text_id]) if parent is not None else None
        return Known(candidate, self._frozen[candidate.text_id], losses)


def _few_of_each(order: Sequence[Proposal], most: int, *, starting: bool) -> list[Candidate]:
    """The first of each text, few of one operator unless there is but one, or the search is ``starting``."""
    out: list[Candidate] = []
    texts: set[str] = set()
    counts: dict[str, int] = {}
    for proposal in order:
        text, name = proposal.candidate.text_id, proposal.operator
        if len(out) == most or text in texts:
            continue
        if counts.get(name, 0) >= PER_OPERATOR and len(counts) > 1 and not starting:
            continue
        counts[name] = counts.get(name, 0) + 1
        texts.add(text)
        out.append(proposal.candidate)
    return out
