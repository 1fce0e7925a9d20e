"""Variation: small classes that make one candidate from one or two others, or None where they do not apply."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from autoprompt.candidate import Candidate
from autoprompt.models import TokenProposals
from autoprompt.optimizer import phrases
from autoprompt.optimizer.space import SETTINGS, Space, draw_demos
from autoprompt.registry import OPERATORS
from autoprompt.template import LabelWords, Literal, Soft, Template, edits

KNOWN_HEAD = 0.7
"""How often a new opening is one that was tried before."""
_WORD = re.compile(r"\s*\S+")


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
    """Makes a child of ``mating.parent``, or None where it does not apply.

    ``genes``: all that it can change. An attribute ``gradients = True`` marks an operator that needs token gradients,
    which the strategy ``genetic`` leaves out.
    """

    name: str
    genes: tuple[str, ...]

    def __call__(self, mating: Mating) -> Candidate | None: ...


@OPERATORS.register("gradient")
class GradientReplacement:
    """A token that first-order change says lowers the loss."""

    name = "gradient"
    gradients = True
    genes: tuple[str, ...] = ("template",)

    def __call__(self, mating: Mating) -> Candidate | None:
        parent = mating.parent
        proposals = mating.hints.tokens.get(parent.id)
        return _pick(parent, [t for t, _ in proposals.replacements] if proposals else [], mating.rng)


@OPERATORS.register("phrase")
class Phrase:
    """Another phrase of the library after the text."""

    name = "phrase"
    genes: tuple[str, ...] = ("template",)

    def __call__(self, mating: Mating) -> Candidate | None:
        parent = mating.parent
        tail = mating.rng.choice(phrases.tails(mating.space.label_name, parent.label_words))
        return replace(parent, template=phrases.with_tail(parent.template, tail))


@OPERATORS.register("words")
class WordEdit:
    """Insert, delete, replace or swap whole words of the text between data and label."""

    name = "words"
    genes: tuple[str, ...] = ("template",)

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


@OPERATORS.register("infill")
class Infill:
    """A token that the model itself finds likely at its place."""

    name = "infill"
    genes: tuple[str, ...] = ("template",)

    def __call__(self, mating: Mating) -> Candidate | None:
        parent = mating.parent
        proposals = mating.hints.tokens.get(parent.id)
        return _pick(parent, [t for t, _ in proposals.infills] if proposals else [], mating.rng)


@OPERATORS.register("slots")
class SlotMove:
    """Put a phrase before the text, take it away, or swap two fields."""

    name = "slots"
    genes: tuple[str, ...] = ("template",)

    def __call__(self, mating: Mating) -> Candidate | None:
        parent = mating.parent
        template = parent.template
        if mating.space.config.template.positions and mating.rng.random() < 0.5:
            swapped = edits.swapped_fields(template, mating.rng)
            if swapped is not None:
                return replace(parent, template=swapped)
        bare = phrases.with_head(template, "")
        if bare != template and mating.rng.random() < 0.5:
            return replace(parent, template=bare)
        known = mating.hints.heads if mating.rng.random() < KNOWN_HEAD else ()
        opening = mating.rng.choice(known or phrases.heads(mating.space.label_name, parent.label_words))
        return replace(parent, template=phrases.with_head(template, opening))


@OPERATORS.register("crossover")
class Crossover:
    """One parent with the label words, settings or opening of the other, or half of each one's closing words."""

    name = "crossover"
    genes: tuple[str, ...] = ("template", "label_words", "demos", *SETTINGS)

    def __call__(self, mating: Mating) -> Candidate | None:
        parent, mate, free = mating.parent, mating.mate, mating.space.free
        kinds = {
            "text": free("template"),
            "head": free("template") or free("demos"),
            "words": free("label_words"),
            "settings": any(map(free, SETTINGS)),
        }
        possible = [kind for kind, varies in kinds.items() if varies]
        kind = mating.rng.choice(possible) if possible else "none"
        if kind == "none":
            return None
        if kind == "head":
            return _with_head_of(parent, mate, free("template"))
        if kind == "words":
            return replace(parent, label_words=mate.label_words)
        if kind == "settings":
            return replace(parent, settings=mate.settings)
        mine, other = _tail_words(parent.template), _tail_words(mate.template)
        if not mine or not other:
            return None
        joined = mine[: mating.rng.randint(1, len(mine))] + other[mating.rng.randrange(len(other)) :]
        return replace(parent, template=phrases.with_tail(parent.template, _spaced("".join(joined))))


@OPERATORS.register("label_words")
class LabelWordChange:
    """Label words that the template's cached logits favour."""

    name = "label_words"
    genes: tuple[str, ...] = ("label_words",)

    def __call__(self, mating: Mating) -> Candidate | None:
        parent = mating.parent
        options = [w for w in mating.hints.words.get(parent.id, ()) if w != parent.label_words]
        return replace(parent, label_words=mating.rng.choice(options)) if options else None


@OPERATORS.register("settings")
class SettingsChange:
    """One hyperparameter, or two."""

    name = "settings"
    genes: tuple[str, ...] = SETTINGS

    def __call__(self, mating: Mating) -> Candidate | None:
        parent = mating.parent
        names = sorted(filter(mating.space.free, SETTINGS))
        if not names:
            return None
        drawn = mating.space.draw_settings(mating.rng)
        count = mating.rng.choice((1, 1, 2))
        chosen = mating.rng.sample(names, min(count, len(names)))
        return replace(parent, settings=parent.settings.change(**{name: getattr(drawn, name) for name in chosen}))


@OPERATORS.register("demos")
class DemosChange:
    """Solved examples: more, fewer, another one, or two that change places."""

    name = "demos"
    genes: tuple[str, ...] = ("demos",)

    def __call__(self, mating: Mating) -> Candidate | None:
        parent, pool, rng = mating.parent, mating.space.demos_pool, mating.rng
        demos = list(parent.demos)
        counts = [n for n in mating.space.demo_counts if n <= len(pool)]
        more, fewer = [n for n in counts if n > len(demos)], [n for n in counts if n < len(demos)]
        actions = {"add": more, "drop": fewer, "replace": demos and len(pool) > len(demos), "swap": len(demos) > 1}
        possible = [action for action, places in actions.items() if places]
        action = rng.choice(possible) if possible else ""
        if action == "add":
            for demo in draw_demos(pool, min(more) - len(demos), rng, demos):
                demos.insert(rng.randint(0, len(demos)), demo)
        elif action == "drop":
            demos = [demos[i] for i in sorted(rng.sample(range(len(demos)), max(fewer)))]
        elif action == "replace":
            (demo,) = draw_demos(pool, 1, rng, demos)
            demos[rng.randrange(len(demos))] = demo
        elif action == "swap":
            a, b = rng.sample(range(len(demos)), 2)
            demos[a], demos[b] = demos[b], demos[a]
        else:
            return None
        return replace(parent, template=edits.with_demos(parent.template, len(demos)), demos=tuple(demos))


@OPERATORS.register("soft")
class SoftChange:
    """Trainable vectors: another number of them (none included), or another place."""

    name = "soft"
    genes: tuple[str, ...] = ("soft",)

    def __call__(self, mating: Mating) -> Candidate | None:
        parent, space, rng = mating.parent, mating.space, mating.rng
        template, now = parent.template, parent.template.soft
        counts = [n for n in space.soft_counts if n != now]
        if not now and counts:
            template = rng.choice(edits.soft_places(template, Soft(rng.choice(counts)), space.label_anywhere))
        elif counts and rng.random() < 0.5:
            template = edits.with_soft(template, rng.choice(counts))
        else:
            template = edits.moved_soft(template, rng, space.label_anywhere) or template
        return replace(parent, template=template) if template != parent.template else None


@OPERATORS.register("label")
class LabelMove:
    """The words that ask for the label, with it, before the text, between two fields, or after them."""

    name = "label"
    genes: tuple[str, ...] = ("positions",)

    def __call__(self, mating: Mating) -> Candidate | None:
        parent = mating.parent
        if not mating.space.free("positions"):
            return None
        place = mating.rng.choice(edits.label_places(parent.template))
        return replace(parent, template=edits.with_label_at(parent.template, place))


def all_operators(*, gradients: bool) -> tuple[Operator, ...]:
    """Return one of each operator, those of other packages last; ``gradients``: also those that need token gradients.

    The order is part of what a seed reproduces: operators are drawn by their place.
    """
    found: list[Operator] = [kind() for kind in OPERATORS.values()]
    return tuple(operator for operator in found if gradients or not getattr(operator, "gradients", False))


def usable(operators: Sequence[Operator], space: Space) -> tuple[Operator, ...]:
    """Return the operators that the configuration lists and that can change a gene which is not fixed."""
    listed = space.config.search.operators
    return tuple(
        operator
        for operator in operators
        if (listed is None or operator.name in listed) and any(map(space.free, operator.genes))
    )


def _pick(parent: Candidate, templates: Sequence[Template], rng: random.Random) -> Candidate | None:
    """One of the best-first ``templates``, the earlier the likelier."""
    if not templates:
        return None
    place = min(int(rng.expovariate(1.0) * len(templates) / 3), len(templates) - 1)
    return replace(parent, template=templates[place])


def _with_head_of(parent: Candidate, mate: Candidate, text: bool) -> Candidate | None:
    """The other's solved examples, and (``text``) all that it puts before the text with them.

    A head that is no more than the beginning of the label's sentence is no head to take.
    """
    if not text:
        return replace(parent, template=edits.with_demos(parent.template, mate.template.demos), demos=mate.demos)
    if edits.fields_after(parent.template) or edits.fields_after(mate.template):
        return None
    tail = parent.template.segments[len(parent.template.head().segments) :]
    template = Template((*mate.template.head().segments, *tail))
    if template.soft not in (parent.template.soft, mate.template.soft):
        template = edits.with_soft(template, parent.template.soft)
    return replace(parent, template=template, demos=mate.demos)


def _tail_words(template: Template) -> list[str]:
    """The words that ask for the label, each with the space before it."""
    return _WORD.findall("".join(s.text for s in edits.question(template) if isinstance(s, Literal)))


def _spaced(tail: str) -> str:
    """A blank before the label, unless something else than a letter parts it from the words."""
    if not tail:
        return " "
    return tail if tail[-1].isspace() else tail + " "
