"""Genetic search with DEAP."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TypeVar

from deap import base, tools

from autoprompt.candidate import Candidate
from autoprompt.evaluator import CandidateEvaluator, Evaluation
from autoprompt.models import TokenProposals
from autoprompt.optimizer.operators import Hints, Mating, all_operators, usable
from autoprompt.optimizer.space import Space
from autoprompt.optimizer.strategy import ATTEMPTS, PROPOSALS, TAUGHT, Proposal, Strategy
from autoprompt.registry import STRATEGIES
from autoprompt.template import LabelWords

T = TypeVar("T")

ELITE = 2
"""The best fine-tuned candidates, for which the model is asked what to change."""
IMMIGRANTS = 0.5
"""Share of each later generation's pool that is drawn anew, not bred (random immigrants, Grefenstette 1992)."""
HINTED_WORDS = 4
"""Label words that the model ranks for one of them."""
TAUGHT_SHARE = 0.5
"""Of the first pool, the most that earlier runs on other data may fill: what they found may be of no use here."""
OPENINGS = 1
"""Children of a generation that may say something new before the text, and as many immigrants: the frozen score of each
takes a pass over all rows, which costs as much as a fine-tune (on 64 film reviews; twice that on news)."""


MANY = 500
"""Individuals from which on survival is sorted by divide and conquer (Fortin et al. 2013), not pair by pair: pairs of
thousands take seconds, in which all workers wait."""


class Fitness(base.Fitness):  # type: ignore[misc]
    """Estimated error or loss, template length in characters, perplexity of the literal text: all to be small."""

    weights = (-1.0, -1.0, -1.0)


class Individual:
    """A fine-tuned candidate as DEAP sees it."""

    def __init__(self, evaluation: Evaluation) -> None:
        self.candidate = evaluation.candidate
        self.fitness = Fitness()
        readability = evaluation.readability if evaluation.readability is not None else 1e6
        self.fitness.values = (evaluation.fitness, float(self.candidate.template.length), readability)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Individual) and self.candidate.id == other.candidate.id

    def __hash__(self) -> int:
        return hash(self.candidate.id)


@dataclass
class Credit:
    """Operator choice by success, one outcome a generation: the mean of an operator's children that were fine-tuned,
    0 where none was. One that beats its parent counts 1, another that was not stopped early a half."""

    tries: dict[str, float] = field(default_factory=dict)
    wins: dict[str, float] = field(default_factory=dict)

    def weight(self, name: str) -> float:
        """Smoothed success rate."""
        return (self.wins.get(name, 0.0) + 1.0) / (self.tries.get(name, 0.0) + 2.0)

    def update(self, name: str, win: float) -> None:
        """One more outcome."""
        self.tries[name] = self.tries.get(name, 0.0) + 1.0
        self.wins[name] = self.wins.get(name, 0.0) + win


@STRATEGIES.register("genetic")
class GeneticStrategy(Strategy):
    """Population search with DEAP: NSGA-II survival, tournaments on the loss, adaptive operators."""

    name = "genetic"
    breeds = True
    later_openings = 2 * OPENINGS
    gradients = False
    """Whether operators that need token gradients are used."""

    def __init__(self, space: Space, evaluator: CandidateEvaluator, rng: random.Random) -> None:
        super().__init__(space, evaluator, rng)
        self.operators = usable(all_operators(gradients=self.gradients), space)
        self.population: list[Individual] = []
        self.best: list[Individual] = []
        self.credit = Credit(
            {name: tries for name, (tries, _) in space.credit.items()},
            {name: wins for name, (_, wins) in space.credit.items()},
        )
        self.fitnesses: dict[str, float] = {}
        self._tokens: dict[str, TokenProposals] = {}
        self._ranked: dict[str, Sequence[LabelWords]] = {}

    def ask(self) -> list[Proposal]:
        if not self.population:
            return self._first()
        elite = [individual.candidate for individual in self.best]
        hints = self._hints(elite)
        rules = self.space.config.search
        immigrants = int(rules.pool * IMMIGRANTS) if rules.immigrants else 0
        bred = rules.pool - immigrants
        with _seeded_globals(self.rng):
            chosen = [i.candidate for i in tools.selTournament(self.population, bred, tournsize=2)]
        # Half of the children come from the elite, for which the model's own proposals are at hand.
        parents = [elite[n // 2 % len(elite)] if n % 2 == 0 else chosen[n] for n in range(bred)]
        out = self._directed(elite, hints)
        openings = OPENINGS
        for parent in parents:
            children = self._breed(parent, self.rng.choice(chosen), hints, opening=openings > 0)
            openings -= sum(self.opens(proposal.candidate, parent) for proposal in children)
            out += children
        return out + self.drawn(immigrants, OPENINGS)

    def _directed(self, elite: Sequence[Candidate], hints: Hints) -> list[Proposal]:
        """What is new and goes into the pool without a draw: nothing here."""
        del elite, hints
        return []

    def _first(self) -> list[Proposal]:
        manual = self.space.start
        words: list[Proposal] = []
        if self._uses("label_words"):
            ranked = self._drawable_words()[:1]
            words = [Proposal(replace(manual, label_words=w), "label_words", (manual.id,)) for w in ranked]
        pool = self.space.config.search.pool
        taught = self._taught(int(pool * TAUGHT_SHARE))
        most = pool + len(self.space.seeds) - len(taught)
        out = taught + self.fresh(words) + self.fresh(self._with_settings(self.start()), most)
        if self.space.config.search.immigrants or not self.space.free("template"):
            out += self.drawn(pool - len(out))  # where the library is too small, or there is none
        return out

    def _taught(self, most: int) -> list[Proposal]:
        """What earlier runs on other data found, with no more openings than a search begins with: each costs a pass
        over all rows."""
        openings = self._head_count()
        out: list[Proposal] = []
        for candidate in map(self.space.bounded, self.space.taught):
            opens = self.opens(candidate, self.space.start)
            if len(out) < most and (openings or not opens):
                out += self.fresh([Proposal(candidate, TAUGHT)])
                openings -= opens
        return out

    def _with_settings(self, proposals: Sequence[Proposal]) -> list[Proposal]:
        """Every second phrase of the library with settings drawn at random: what they are worth, a search of few
        generations learns in its first or not at all."""
        drawn = {n for n, p in enumerate(proposals) if n % 2 and p.operator == "library" and self._uses("settings")}
        return [
            replace(p, candidate=replace(p.candidate, settings=self.space.draw_settings(self.rng))) if n in drawn else p
            for n, p in enumerate(proposals)
        ]

    def _uses(self, *names: str) -> bool:
        return any(operator.name in names for operator in self.operators)

    def _hints(self, elite: Sequence[Candidate]) -> Hints:
        """What the model proposes for the genes that are free: of each text it is asked but once, and for both kinds
        together, since few workers have anything to do meanwhile."""
        replacements, infills = (PROPOSALS * self._uses(name) for name in ("gradient", "infill"))
        edited = _new(elite, self._tokens) if replacements or infills else []
        worded = _new(elite, self._ranked) if self._uses("label_words") else []
        if edited or worded:
            tokens, words = self.evaluator.propose_and_rank(
                edited, worded, replacements=replacements, infills=infills, words=HINTED_WORDS
            )
            self._tokens |= {c.text_id: found for c, found in zip(edited, tokens, strict=True)}
            self._ranked |= {c.text_id: found for c, found in zip(worded, words, strict=True)}
        return Hints(_known(self._tokens, elite), _known(self._ranked, elite), self.heads)

    def _breed(self, parent: Candidate, mate: Candidate, hints: Hints, *, opening: bool) -> list[Proposal]:
        """``opening``: whether the child may have a new one."""
        if not self.operators:
            return []
        weights = [self.credit.weight(operator.name) for operator in self.operators]
        for _ in range(ATTEMPTS):
            (operator,) = self.rng.choices(self.operators, weights)
            child = operator(Mating(parent, mate, self.space, hints, self.rng))
            if child is not None and (opening or not self.opens(child, parent)):
                fresh = self.fresh([Proposal(child, operator.name, (parent.id,))])
                if fresh:
                    return fresh
        return []

    def rejudge(self, tuned: Sequence[Evaluation]) -> None:
        self.fitnesses = {e.candidate.id: e.fitness for e in tuned if e.complete}
        for individual in {*self.population, *self.best}:
            if individual.candidate.id in self.fitnesses:
                _, length, readability = individual.fitness.values
                individual.fitness.values = (self.fitnesses[individual.candidate.id], length, readability)

    def tell(self, evaluations: Sequence[Evaluation], proposals: Sequence[Proposal]) -> None:
        self.fitnesses |= {e.candidate.id: e.fitness for e in evaluations if e.complete}
        outcomes: dict[str, list[float]] = {proposal.operator: [] for proposal in proposals}
        tuned = {e.candidate.id: e for e in evaluations}
        for proposal in proposals:
            if proposal.candidate.id in tuned:
                outcomes[proposal.operator].append(self._outcome(tuned[proposal.candidate.id], proposal))
        for operator, values in outcomes.items():
            self.credit.update(operator, fmean(values) if values else 0.0)
        # Beside a fixed template the manual one is a baseline, but no parent.
        children = [Individual(e) for e in evaluations if e.complete and self.space.has_text(e.candidate.template)]
        self.best = self._elite([*self.best, *children])
        everyone = list(dict.fromkeys([*self.population, *children]))
        with _seeded_globals(self.rng):
            sort = "log" if len(everyone) > MANY else "standard"
            most = min(self.space.config.search.population, len(everyone))
            self.population = tools.selNSGA2(everyone, most, nd=sort)

    def _outcome(self, evaluation: Evaluation, proposal: Proposal) -> float:
        """What a fine-tuned child counts for its operator."""
        if not evaluation.complete:
            return 0.0
        parents = [self.fitnesses[id_] for id_ in proposal.parents[:1] if id_ in self.fitnesses]
        return 1.0 if any(evaluation.fitness < parent for parent in parents) else 0.5

    def _elite(self, individuals: Sequence[Individual]) -> list[Individual]:
        """The best, each of another text where texts vary."""
        kind = "text_id" if self.space.text_varies else "id"
        found: dict[str, Individual] = {}
        for individual in sorted(individuals, key=lambda i: (i.fitness.values[0], i.candidate.id)):
            found.setdefault(getattr(individual.candidate, kind), individual)
        return list(found.values())[:ELITE]


def _new(elite: Sequence[Candidate], known: Mapping[str, object]) -> list[Candidate]:
    """One candidate of each text that is not known yet."""
    return list({c.text_id: c for c in elite if c.text_id not in known}.values())


def _known(found: Mapping[str, T], elite: Sequence[Candidate]) -> dict[str, T]:
    """By candidate id what is known by text id."""
    return {c.id: found[c.text_id] for c in elite if c.text_id in found}


@contextmanager
def _seeded_globals(rng: random.Random) -> Iterator[None]:
    """DEAP draws from the global generator: lend it our seed, then put back what was there."""
    state = random.getstate()
    random.seed(rng.getrandbits(64))
    try:
        yield
    finally:
        random.setstate(state)
