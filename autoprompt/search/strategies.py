"""Ask/tell strategies: what to try next. All share one evaluator, one budget and one leaderboard."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from deap import base, tools

from autoprompt.candidate import Candidate
from autoprompt.evaluator import Evaluation, Evaluator
from autoprompt.search import phrases
from autoprompt.search.operators import GENETIC, HYBRID, Hints, Mating, Operator, Space, random_settings, valid
from autoprompt.template import Literal, Slot, Template

POOL = 12
"""Candidates that one generation scores frozen; the best of them are fine-tuned."""
PROPOSALS = 12
"""Token edits asked of the model for one parent."""
HEAD_COUNTS = ((3000, 4), (6000, 2), (20000, 1))
"""Openings in the first pool, by the tokens of all rows."""
ATTEMPTS = 20
"""Draws for one place in the pool before it stays empty."""


@dataclass(frozen=True)
class Proposal:
    """A candidate with where it came from."""

    candidate: Candidate
    operator: str
    parents: tuple[str, ...] = ()


class Strategy(ABC):
    """Proposes candidates and learns from their evaluations."""

    name: str

    def __init__(self, space: Space, evaluator: Evaluator, rng: random.Random, seeds: Sequence[Template] = ()) -> None:
        self.space = space
        self.evaluator = evaluator
        self.rng = rng
        self.seeds = list(seeds)
        self.seen: set[str] = set()
        self.heads: list[str] = []

    @abstractmethod
    def ask(self) -> list[Proposal]:
        """New candidates for one generation, none proposed before."""

    @abstractmethod
    def tell(self, evaluations: Sequence[Evaluation], proposals: Sequence[Proposal]) -> None:
        """Short fine-tunes of this generation, and all that was proposed for it."""

    def fresh(self, proposals: Sequence[Proposal]) -> list[Proposal]:
        """Valid proposals whose candidate is new."""
        out = []
        for proposal in proposals:
            if proposal.candidate.id not in self.seen and valid(proposal.candidate):
                self.seen.add(proposal.candidate.id)
                out.append(proposal)
        return out

    def start(self) -> list[Proposal]:
        """The user's templates, then phrases of the library: openings with the manual ending, both together, and
        endings alone, in turn; all with the manual words and settings."""
        manual = self.space.manual
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
        seeds = [Proposal(replace(manual, template=t), "seed") for t in self.seeds]
        return seeds + [Proposal(replace(manual, template=t), "library") for t in library]

    def _head_count(self) -> int:
        """Openings to begin with: each costs a pass over all rows."""
        tokens = self.evaluator.prefix_tokens
        return next((count for limit, count in HEAD_COUNTS if tokens <= limit), 0)

    def _shuffled(self, texts: list[str]) -> list[str]:
        self.rng.shuffle(texts)
        return texts


class RandomStrategy(Strategy):
    """Uniform draws: a phrase of the library or random words, and random settings."""

    name = "random"

    def ask(self) -> list[Proposal]:
        out: list[Proposal] = []
        for _ in range(POOL * ATTEMPTS):
            if len(out) == POOL:
                break
            out += self.fresh([Proposal(random_candidate(self.space, self.rng), "random")])
        return out

    def tell(self, evaluations: Sequence[Evaluation], proposals: Sequence[Proposal]) -> None:
        """Random search learns nothing."""


class GradientStrategy(Strategy):
    """AutoPrompt's loop (Shin et al. 2020): replace one token at a time by what the gradient favours.

    Frozen scores choose among the gradient's short list; the manual settings stay.
    """

    name = "gradient"
    rounds = 2
    triggers = " the the the "

    def __init__(self, space: Space, evaluator: Evaluator, rng: random.Random, seeds: Sequence[Template] = ()) -> None:
        super().__init__(space, evaluator, rng, seeds)
        self.current: list[Candidate] = []

    def ask(self) -> list[Proposal]:
        manual = self.space.manual
        if not self.current:
            bare = phrases.body(manual.template)
            triggered = Template((*bare.segments, Literal(self.triggers), Slot("label")))
            templates = [manual.template, triggered, *self.seeds]
            self.current = [replace(manual, template=t) for t in templates]
        out: list[Proposal] = []
        for _ in range(self.rounds):
            parents = list(self.current)
            pool: list[Proposal] = []
            for parent, hints in zip(parents, self.evaluator.propose(parents, PROPOSALS), strict=True):
                pool += [Proposal(replace(parent, template=t), self.name, (parent.id,)) for t, _ in hints.replacements]
            pool = self.fresh(pool)
            out += pool
            scored = [e for e in self.evaluator.frozen([*parents, *(p.candidate for p in pool)]) if e.complete]
            scored.sort(key=lambda e: (e.loss, e.candidate.id))
            self.current = [e.candidate for e in scored[:2]] or parents
        return out

    def tell(self, evaluations: Sequence[Evaluation], proposals: Sequence[Proposal]) -> None:  # noqa: ARG002
        """Go on from the best of what was tuned and the best of what was scored frozen."""
        tuned = sorted((e for e in evaluations if e.complete), key=lambda e: (e.loss, e.candidate.id))
        self.current = list(dict.fromkeys([e.candidate for e in tuned[:1]] + self.current[:1])) or self.current


class Fitness(base.Fitness):  # type: ignore[misc]
    """Validation loss, template length in characters, perplexity of the literal text: all to be small."""

    weights = (-1.0, -1.0, -1.0)


class Individual:
    """A fine-tuned candidate as DEAP sees it."""

    def __init__(self, evaluation: Evaluation) -> None:
        self.candidate = evaluation.candidate
        self.fitness = Fitness()
        readability = evaluation.readability if evaluation.readability is not None else 1e6
        self.fitness.values = (evaluation.loss, float(self.candidate.template.length), readability)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Individual) and self.candidate.id == other.candidate.id

    def __hash__(self) -> int:
        return hash(self.candidate.id)


@dataclass
class Credit:
    """Operator choice by success: a child that reaches a fine-tune counts half, one that beats its parent all."""

    tries: dict[str, float] = field(default_factory=dict)
    wins: dict[str, float] = field(default_factory=dict)

    def weight(self, name: str) -> float:
        """Smoothed success rate."""
        return (self.wins.get(name, 0.0) + 1.0) / (self.tries.get(name, 0.0) + 2.0)

    def update(self, name: str, win: float) -> None:
        """One more outcome."""
        self.tries[name] = self.tries.get(name, 0.0) + 1.0
        self.wins[name] = self.wins.get(name, 0.0) + win


class GeneticStrategy(Strategy):
    """Population search with DEAP: NSGA-II survival, tournaments on the loss, adaptive operators."""

    name = "genetic"
    operators: tuple[Operator, ...] = GENETIC
    population_size = 8

    def __init__(self, space: Space, evaluator: Evaluator, rng: random.Random, seeds: Sequence[Template] = ()) -> None:
        super().__init__(space, evaluator, rng, seeds)
        self.population: list[Individual] = []
        self.best = tools.HallOfFame(2)
        self.statistics = tools.Statistics(lambda individual: individual.fitness.values[0])
        self.statistics.register("min", min)
        self.logbook = tools.Logbook()
        self.credit = Credit()
        self.losses: dict[str, float] = {}

    def ask(self) -> list[Proposal]:
        if not self.population:
            return self._first()
        elite = [individual.candidate for individual in self.best]
        hints = self._hints(elite)
        with _seeded_globals(self.rng):
            chosen = [i.candidate for i in tools.selTournament(self.population, POOL, tournsize=2)]
        # Half of the children come from the elite, for which the model's own proposals are at hand.
        parents = [elite[n % len(elite)] if n % 2 == 0 else chosen[n] for n in range(POOL)]
        out = self.fresh(self._directed(elite, hints))
        for parent in parents:
            out += self._breed(parent, self.rng.choice(chosen), hints)
        return out

    def _directed(self, elite: Sequence[Candidate], hints: Hints) -> list[Proposal]:
        """What goes into the pool without a draw: nothing here."""
        del elite, hints
        return []

    def _first(self) -> list[Proposal]:
        manual = self.space.manual
        ranked = self.evaluator.rank_words([manual], 2)[0]
        words = [Proposal(replace(manual, label_words=w), "label_words", (manual.id,)) for w in ranked]
        start = self.fresh(self.start())[: POOL + len(self.seeds)]
        return self.fresh(words) + start

    def _hints(self, elite: Sequence[Candidate]) -> Hints:
        tokens = self.evaluator.propose(elite, PROPOSALS)
        words = self.evaluator.rank_words(elite, 4)
        ids = [c.id for c in elite]
        return Hints(dict(zip(ids, tokens, strict=True)), dict(zip(ids, words, strict=True)), self.heads)

    def _breed(self, parent: Candidate, mate: Candidate, hints: Hints) -> list[Proposal]:
        weights = [self.credit.weight(operator.name) for operator in self.operators]
        for _ in range(ATTEMPTS):
            (operator,) = self.rng.choices(self.operators, weights)
            child = operator(Mating(parent, mate, self.space, hints, self.rng))
            if child is not None:
                fresh = self.fresh([Proposal(child, operator.name, (parent.id,))])
                if fresh:
                    return fresh
        return []

    def tell(self, evaluations: Sequence[Evaluation], proposals: Sequence[Proposal]) -> None:
        tuned = {e.candidate.id: e for e in evaluations if e.complete}
        for proposal in proposals:
            evaluation = tuned.get(proposal.candidate.id)
            parent = self.losses.get(proposal.parents[0]) if proposal.parents else None
            won = evaluation is not None and parent is not None and evaluation.loss < parent
            self.credit.update(proposal.operator, 1.0 if won else 0.5 if evaluation else 0.0)
        self.losses |= {id_: e.loss for id_, e in tuned.items()}
        children = [Individual(e) for e in tuned.values()]
        self.best.update(children)
        everyone = list(dict.fromkeys([*self.population, *children]))
        with _seeded_globals(self.rng):
            self.population = tools.selNSGA2(everyone, min(self.population_size, len(everyone)))
        if children:
            self.logbook.record(generation=len(self.logbook), **self.statistics.compile(children))


class HybridStrategy(GeneticStrategy):
    """Genetic search whose operators include token gradients, and whose pool always holds their best edits."""

    name = "hybrid"
    operators = HYBRID
    directed = 3
    """Best replacements of each elite candidate: scoring them frozen costs little."""

    def _directed(self, elite: Sequence[Candidate], hints: Hints) -> list[Proposal]:
        return [
            Proposal(replace(parent, template=template), "gradient", (parent.id,))
            for parent in elite
            for template, _ in hints.tokens[parent.id].replacements[: self.directed]
        ]


STRATEGIES: dict[str, type[Strategy]] = {
    cls.name: cls for cls in (HybridStrategy, GeneticStrategy, GradientStrategy, RandomStrategy)
}


def random_candidate(space: Space, rng: random.Random) -> Candidate:
    """A uniform draw from the space of template tails and settings."""
    manual = space.manual
    if rng.random() < 0.5 or not space.vocabulary:
        tail = rng.choice(phrases.tails(space.label_name, manual.label_words))
    else:
        tail = random_tail(space, rng)
    segments = [*phrases.body(manual.template).segments, Literal(tail), Slot("label")]
    if rng.random() < 0.25:
        segments.insert(0, Literal(rng.choice(phrases.heads(space.label_name, manual.label_words))))
    settings = random_settings(manual.settings, rng) if manual.settings.tuning != "none" else manual.settings
    return replace(manual, template=Template(tuple(segments)), settings=settings)


def random_tail(space: Space, rng: random.Random) -> str:
    """One to four random words; a blank where the model's vocabulary has no whole words."""
    if not space.vocabulary:
        return " "
    return " " + " ".join(rng.choice(space.vocabulary) for _ in range(rng.randint(1, 4))) + " "


@contextmanager
def _seeded_globals(rng: random.Random) -> Iterator[None]:
    """DEAP draws from the global generator: lend it our seed, then put back what was there."""
    state = random.getstate()
    random.seed(rng.getrandbits(64))
    try:
        yield
    finally:
        random.setstate(state)
