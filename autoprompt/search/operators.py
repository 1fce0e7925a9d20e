"""Variation: small classes that make one candidate from one or two others, or None where they do not apply."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from autoprompt.candidate import Candidate, Settings
from autoprompt.errors import InputError
from autoprompt.models import TokenProposals
from autoprompt.search import phrases
from autoprompt.template import LABEL, LabelWords, Literal, Slot, Template

LEARNING_RATES = (2e-4, 3e-4, 5e-4, 8e-4, 1.2e-3)
FULL_LEARNING_RATES = (1e-5, 2e-5, 5e-5, 1e-4)
BATCH_SIZES = (4, 8, 16)
RANKS = (4, 8, 16)
EPOCH_FACTORS = (0.5, 1.0, 1.5)
KNOWN_HEAD = 0.7
"""How often a new opening is one that was tried before."""
MAX_LITERAL = 120
"""Characters of literal text that a bred template may have."""

_WORD = re.compile(r"\s*\S+")


@dataclass(frozen=True)
class Space:
    """What every operator may draw from: the data's names and the default settings."""

    manual: Candidate
    label_name: str
    vocabulary: Sequence[str]
    """Words of the model's vocabulary."""


@dataclass
class Hints:
    """What the model proposes for some parents, by candidate id; filled before a generation is bred."""

    tokens: Mapping[str, TokenProposals] = field(default_factory=dict)
    words: Mapping[str, Sequence[LabelWords]] = field(default_factory=dict)
    heads: Sequence[str] = ()
    """Openings that were tried before: their prefixes are kept, so that they cost little."""


@dataclass(frozen=True)
class Mating:
    """All that an operator may look at: the parent, another good candidate, and the run's surroundings."""

    parent: Candidate
    mate: Candidate
    space: Space
    hints: Hints
    rng: random.Random


class Operator(Protocol):
    """Breeds a child of ``mating.parent``, or nothing."""

    name: str

    def __call__(self, mating: Mating) -> Candidate | None: ...


class GradientReplacement:
    """A token that first-order change says lowers the loss."""

    name = "gradient"

    def __call__(self, mating: Mating) -> Candidate | None:
        parent = mating.parent
        proposals = mating.hints.tokens.get(parent.id)
        return _pick(parent, [t for t, _ in proposals.replacements] if proposals else [], mating.rng)


class Infill:
    """A token that the model itself finds likely at its place."""

    name = "infill"

    def __call__(self, mating: Mating) -> Candidate | None:
        parent = mating.parent
        proposals = mating.hints.tokens.get(parent.id)
        return _pick(parent, [t for t, _ in proposals.infills] if proposals else [], mating.rng)


class Phrase:
    """Another phrase of the library after the text."""

    name = "phrase"

    def __call__(self, mating: Mating) -> Candidate | None:
        parent = mating.parent
        tail = mating.rng.choice(phrases.tails(mating.space.label_name, parent.label_words))
        return replace(parent, template=phrases.with_tail(parent.template, tail))


class WordEdit:
    """Insert, delete, replace or swap whole words of the text between data and label."""

    name = "words"

    def __call__(self, mating: Mating) -> Candidate | None:
        parent = mating.parent
        words = _tail_words(parent.template)
        invented = ("insert", "replace") if mating.space.vocabulary else ()
        action = mating.rng.choice((*invented, "delete", "swap"))
        if action == "insert":
            words.insert(mating.rng.randint(0, len(words)), " " + mating.rng.choice(mating.space.vocabulary))
        elif not words:
            return None
        elif action == "delete":
            del words[mating.rng.randrange(len(words))]
        elif action == "replace":
            place = mating.rng.randrange(len(words))
            blank = re.match(r"\s*", words[place])
            words[place] = (blank.group() if blank else "") + mating.rng.choice(mating.space.vocabulary)
        elif len(words) > 1:
            place = mating.rng.randrange(len(words) - 1)
            words[place : place + 2] = words[place + 1], words[place]
        return replace(parent, template=phrases.with_tail(parent.template, _spaced("".join(words))))


class SlotMove:
    """Put a phrase before the text, take it away, or swap two fields."""

    name = "slots"

    def __call__(self, mating: Mating) -> Candidate | None:
        parent = mating.parent
        template = parent.template
        head = template.head().segments
        tail = template.segments[len(head) :]
        fields = [i for i, s in enumerate(head) if isinstance(s, Slot)]
        if len(fields) > 1 and mating.rng.random() < 0.5:
            a, b = mating.rng.sample(fields, 2)
            swapped = list(head)
            swapped[a], swapped[b] = head[b], head[a]
            return replace(parent, template=Template((*swapped, *tail)))
        if len(phrases.body(template).segments) < len(head) and mating.rng.random() < 0.5:
            return replace(parent, template=phrases.with_head(template, ""))
        known = mating.hints.heads if mating.rng.random() < KNOWN_HEAD else ()
        opening = mating.rng.choice(known or phrases.heads(mating.space.label_name, parent.label_words))
        return replace(parent, template=phrases.with_head(template, opening))


class Crossover:
    """One parent with the label words, settings or opening of the other, or half of each one's closing words."""

    name = "crossover"

    def __call__(self, mating: Mating) -> Candidate | None:
        parent = mating.parent
        kind = mating.rng.choice(("text", "head", "words", "settings"))
        if kind == "head":
            tail = parent.template.segments[len(parent.template.head().segments) :]
            return replace(parent, template=Template((*mating.mate.template.head().segments, *tail)))
        if kind == "words":
            return replace(parent, label_words=mating.mate.label_words)
        if kind == "settings":
            return replace(parent, settings=mating.mate.settings)
        mine, other = _tail_words(parent.template), _tail_words(mating.mate.template)
        if not mine or not other:
            return None
        joined = mine[: mating.rng.randint(1, len(mine))] + other[mating.rng.randrange(len(other)) :]
        return replace(parent, template=phrases.with_tail(parent.template, _spaced("".join(joined))))


class LabelWordChange:
    """Label words that the template's cached logits favour."""

    name = "label_words"

    def __call__(self, mating: Mating) -> Candidate | None:
        parent = mating.parent
        options = [w for w in mating.hints.words.get(parent.id, ()) if w != parent.label_words]
        return replace(parent, label_words=mating.rng.choice(options)) if options else None


class SettingsChange:
    """One hyperparameter, or two."""

    name = "settings"

    def __call__(self, mating: Mating) -> Candidate | None:
        parent = mating.parent
        if parent.settings.tuning == "none":
            return None
        drawn = random_settings(mating.space.manual.settings, mating.rng).to_dict()
        names = mating.rng.sample(sorted(set(drawn) - {"tuning"}), mating.rng.choice((1, 1, 2)))
        changed = parent.settings.change(**{name: drawn[name] for name in names})
        return replace(parent, settings=changed)


GENETIC: tuple[Operator, ...] = (
    Phrase(), WordEdit(), Infill(), SlotMove(), Crossover(), LabelWordChange(), SettingsChange(),
)  # fmt: skip
HYBRID: tuple[Operator, ...] = (GradientReplacement(), *GENETIC)


def random_settings(default: Settings, rng: random.Random) -> Settings:
    """Every hyperparameter drawn from its range; epochs relative to the default."""
    rates = LEARNING_RATES if default.tuning == "tail" else FULL_LEARNING_RATES
    values = {
        "learning_rate": rng.choice(rates),
        "batch_size": rng.choice(BATCH_SIZES),
        "epochs": max(1, round(default.epochs * rng.choice(EPOCH_FACTORS))),
        "rank": rng.choice(RANKS),
    }
    return default.change(**{name: value for name, value in values.items() if name in default.to_dict()})


def valid(candidate: Candidate) -> bool:
    """Whether a bred candidate may be scored at all."""
    template = candidate.template
    slots = template.slots
    if slots.count(LABEL) != 1 or slots[-1] != LABEL or len(slots) == 1 or template.length > MAX_LITERAL:
        return False
    try:
        LabelWords(candidate.label_words.pairs)
    except InputError:
        return False
    return Template.parse(template.format()) == template


def _pick(parent: Candidate, templates: Sequence[Template], rng: random.Random) -> Candidate | None:
    """One of the best-first ``templates``, the earlier the likelier."""
    if not templates:
        return None
    place = min(int(rng.expovariate(1.0) * len(templates) / 3), len(templates) - 1)
    return replace(parent, template=templates[place])


def _tail_words(template: Template) -> list[str]:
    """The words, each with the space before it, between the last field and the label."""
    head = len(template.head().segments)
    literal = template.segments[head]
    return _WORD.findall(literal.text) if isinstance(literal, Literal) else []


def _spaced(tail: str) -> str:
    """A blank before the label, unless something else than a letter parts it from the words."""
    if not tail:
        return " "
    return tail if tail[-1].isspace() else tail + " "
