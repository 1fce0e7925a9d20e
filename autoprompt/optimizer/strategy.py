"""The base class of the ask/tell strategies."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from autoprompt.candidate import Candidate
from autoprompt.evaluator import CandidateEvaluator, Evaluation
from autoprompt.optimizer import phrases
from autoprompt.optimizer.draws import random_candidate
from autoprompt.optimizer.space import Space, flaw
from autoprompt.template import LabelWords

PROPOSALS = 12
"""Token edits of each kind asked of the model for one parent."""
HEAD_COUNTS = ((3000, 4), (6000, 2), (20000, 1))
"""Openings in the first pool, by the tokens of all rows."""
TAUGHT = "taught"
"""Where a candidate came from that earlier runs on other data found."""
ATTEMPTS = 20
"""Draws for one place in the pool before it stays empty."""
RANKED_WORDS = 4
"""Label words that random draws choose from, beside the manual ones."""


def openings(prefix_tokens: float) -> int:
    """Openings in the first pool; ``prefix_tokens``: of the cached prefixes of all rows."""
    return next((count for limit, count in HEAD_COUNTS if prefix_tokens <= limit), 0)


@dataclass(frozen=True)
class Proposal:
    """A candidate with where it came from."""

    candidate: Candidate
    operator: str
    parents: tuple[str, ...] = ()


class Strategy(ABC):
    """Proposes candidates and learns from their evaluations."""

    name: str
    exhaustive = False
    """Whether all that is asked for is fine-tuned, whatever its frozen score."""
    learns = True
    """Whether fine-tunes have a say in what is tried next."""
    breeds = False
    """Whether it can begin with candidates of earlier runs (``--warm-start``)."""
    later_openings: int | None = None
    """Most openings of a generation after the first, each of which takes a pass over all rows; None: as many as the
    first may have."""
    gradient_rounds = 0
    """Rounds of a generation that take the token gradients of two candidates over all rows."""

    def __init__(self, space: Space, evaluator: CandidateEvaluator, rng: random.Random) -> None:
        self.space = space
        self.evaluator = evaluator
        self.rng = rng
        self.seen: set[Candidate] = set()
        self.refused: list[tuple[Candidate, str]] = []
        """What was bred and must not be scored, with the reason; whoever records it empties the list."""
        self.heads: list[str] = []
        self._words: list[LabelWords] | None = None

    @classmethod
    def first_openings(cls, space: Space, prefix_tokens: float) -> int:
        """Openings of the first generation besides the manual one; each takes a pass over all rows.

        ``prefix_tokens``: of the cached prefixes of all rows; 0 where none are cached.
        """
        return openings(prefix_tokens) if prefix_tokens and space.free("template") and not cls.exhaustive else 0

    @classmethod
    def first_pool(cls, space: Space) -> int:
        """Candidates of the first generation that get a frozen score."""
        return space.config.search.pool + len(space.seeds)

    @abstractmethod
    def ask(self) -> list[Proposal]:
        """New candidates for one generation, none proposed before."""

    @abstractmethod
    def tell(self, evaluations: Sequence[Evaluation], proposals: Sequence[Proposal]) -> None:
        """Short fine-tunes of this generation, with those of ``manual_tuned``, and all that was proposed for it."""

    def rejudge(self, tuned: Sequence[Evaluation]) -> None:
        """All fine-tunes so far, as they are judged now; called before each ``tell``."""
        del tuned

    def fresh(self, proposals: Sequence[Proposal], most: int | None = None) -> list[Proposal]:
        """Valid proposals whose candidate is new, the first ``most`` of them; those after them stay unseen."""
        out: list[Proposal] = []
        for proposal in proposals:
            if len(out) == most:
                break
            # By value, not by id: most of what is drawn is known, and its name is dear.
            if proposal.candidate in self.seen:
                continue
            self.seen.add(proposal.candidate)
            reason = flaw(proposal.candidate, self.space)
            if reason is None:
                out.append(proposal)
            else:
                self.refused.append((proposal.candidate, reason))
        return out

    def start(self) -> list[Proposal]:
        """The given templates, then phrases of the library: openings with the manual ending, both together, and
        endings alone, in turn; all with the manual words and settings."""
        given = [Proposal(candidate, "seed") for candidate in self.space.prompts]
        if not self.space.free("template"):
            return given
        manual = self.space.start
        endings = self._shuffled(phrases.tails(self.space.label_name, manual.label_words))
        self.heads = self._shuffled(phrases.heads(self.space.label_name, manual.label_words))[: self._head_count()]
        bare = phrases.with_head(manual.template, "")
        turns = [
            [phrases.with_head(manual.template, head) for head in self.heads],
            [phrases.with_tail(bare, tail) for tail in endings[len(self.heads) :]],
            [
                phrases.with_head(phrases.with_tail(bare, tail), head)
                for tail, head in zip(endings, self.heads, strict=False)
            ],
        ]
        library = [template for turn in zip_longest(*turns) for template in turn if template is not None]
        return given + [Proposal(replace(manual, template=template), "library") for template in library]

    def drawn(self, count: int, openings: int | None = None) -> list[Proposal]:
        """New random draws, so many unless they are not found; ``openings``: how many of them may open (None: all)."""
        out: list[Proposal] = []
        words = self._drawable_words() if count > 0 else []
        for _ in range(count * ATTEMPTS):
            if len(out) == count:
                break
            candidate = random_candidate(self.space, self.rng, words)
            opens = openings is not None and self.opens(candidate, self.space.start)
            if opens and not openings:
                continue
            fresh = self.fresh([Proposal(candidate, "random")])
            if fresh and opens and openings:
                openings -= 1
            out += fresh
        return out

    def opens(self, candidate: Candidate, parent: Candidate) -> bool:
        """Whether a pass over all rows comes before its frozen score, but for other solved examples: these are only
        tried where they were asked for."""
        return candidate.demos == parent.demos and not self.evaluator.has_prefix(candidate)

    def _drawable_words(self) -> list[LabelWords]:
        """Label words for random draws: those that the first prompt's cached logits favour."""
        if self._words is None:
            free = self.space.free("label_words")
            self._words = self.evaluator.rank_words([self.space.start], RANKED_WORDS)[0] if free else []
        return self._words

    def _head_count(self) -> int:
        """Openings to begin with: each costs a pass over all rows."""
        return openings(self.evaluator.prefix_tokens)

    def _shuffled(self, texts: list[str]) -> list[str]:
        self.rng.shuffle(texts)
        return texts
