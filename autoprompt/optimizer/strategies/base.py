"""Ask/tell strategies: what they share, and the two simple ones, random draws and token gradients."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from autoprompt.candidate import Candidate
from autoprompt.evaluator import Evaluation, Evaluator
from autoprompt.optimizer import phrases
from autoprompt.optimizer.space import Space, draw_demos, flaw
from autoprompt.template import LABEL, LabelWords, Literal, Slot, Template, edits

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
OTHER_WORDS = 0.25
"""Share of the random draws that have such words: on two samples of rotten-tomatoes they cost a fine-tune some five
points of accuracy on the mean."""


def openings(prefix_tokens: float) -> int:
    """Openings in the first pool; ``prefix_tokens``: of the kept prefixes of all rows."""
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

    def __init__(self, space: Space, evaluator: Evaluator, rng: random.Random) -> None:
        self.space = space
        self.evaluator = evaluator
        self.rng = rng
        self.seen: set[Candidate] = set()
        self.refused: list[tuple[Candidate, str]] = []
        """What was bred and must not be scored, with the reason; whoever records it empties the list."""
        self.heads: list[str] = []
        self._words: list[LabelWords] | None = None

    @abstractmethod
    def ask(self) -> list[Proposal]:
        """New candidates for one generation, none proposed before."""

    @abstractmethod
    def tell(self, evaluations: Sequence[Evaluation], proposals: Sequence[Proposal]) -> None:
        """Short fine-tunes of this generation, with those of ``manual_tuned``, and all that was proposed for it."""

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


class RandomStrategy(Strategy):
    """Independent draws of every gene that is free: see ``random_candidate``."""

    name = "random"
    learns = False

    def ask(self) -> list[Proposal]:
        return self.drawn(self.space.config.search.pool)

    def tell(self, evaluations: Sequence[Evaluation], proposals: Sequence[Proposal]) -> None:
        """Random search learns nothing."""


class GradientStrategy(Strategy):
    """AutoPrompt's loop (Shin et al. 2020): replace one token at a time by what the gradient favours.

    Frozen scores choose among the gradient's short list; the manual settings stay.
    """

    name = "gradient"
    rounds = 2
    triggers = " the the the "

    def __init__(self, space: Space, evaluator: Evaluator, rng: random.Random) -> None:
        super().__init__(space, evaluator, rng)
        self.current: list[Candidate] = []
        self.wanted = PROPOSALS
        """Edits asked of a parent: more once all of them were tried."""

    def ask(self) -> list[Proposal]:
        if not self.space.free("template"):
            return []
        if not self.current:
            manual, *seeds = self.space.prompts
            bare = phrases.body(manual.template)
            triggered = Template((*bare.segments, Literal(self.triggers), Slot(LABEL)))
            self.current = [manual, self.space.bounded(replace(manual, template=triggered)), *seeds]
        out: list[Proposal] = []
        for _ in range(self.rounds):
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
        tuned = sorted((e for e in evaluations if e.complete), key=lambda e: (e.loss, e.candidate.id))
        self.current = list(dict.fromkeys([e.candidate for e in tuned[:1]] + self.current[:1])) or self.current


def random_candidate(space: Space, rng: random.Random, words: Sequence[LabelWords] = ()) -> Candidate:
    """An independent draw of every gene that is free; ``words``: what label words are drawn from, beside the first
    prompt's own, which most of the draws keep."""
    start = space.start
    template = _random_template(space, rng) if space.free("template") else start.template
    candidate = space.bounded(replace(start, template=template, settings=space.draw_settings(rng)))
    if words and rng.random() < OTHER_WORDS:
        candidate = replace(candidate, label_words=rng.choice(words))
    if space.free("demos"):
        count = rng.choice(space.demo_counts or (candidate.template.demos,))
        demos = draw_demos(space.demos_pool, count, rng)
        candidate = replace(candidate, template=edits.with_demos(candidate.template, count), demos=demos)
    if space.free("soft"):
        template = edits.with_soft(candidate.template, rng.choice(space.soft_counts or (candidate.template.soft,)))
        moved = edits.moved_soft(template, rng, space.label_anywhere)
        candidate = replace(candidate, template=moved or template)
    return candidate


def _random_template(space: Space, rng: random.Random) -> Template:
    """A phrase of the library or random words after the text, and now and then a phrase before it."""
    manual = space.start
    if rng.random() < 0.5 or not space.vocabulary:
        tail = rng.choice(phrases.tails(space.label_name, manual.label_words))
    else:
        tail = random_tail(space, rng)
    template = Template((*phrases.body(manual.template).segments, Literal(tail), Slot(LABEL)))
    if rng.random() < 0.25:
        template = phrases.with_head(template, rng.choice(phrases.heads(space.label_name, manual.label_words)))
    if space.config.template.positions and rng.random() < 0.5:
        template = edits.swapped_fields(template, rng) or template
    if space.free("positions") and rng.random() < 0.5:
        template = edits.with_label_at(template, rng.choice(edits.label_places(template)))
    return template


def random_tail(space: Space, rng: random.Random) -> str:
    """One to four random words; a blank where the model's vocabulary has no whole words."""
    if not space.vocabulary:
        return " "
    return " " + " ".join(rng.choice(space.vocabulary) for _ in range(rng.randint(1, 4))) + " "
