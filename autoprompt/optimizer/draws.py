"""Independent random draws of candidates."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from autoprompt.candidate import Candidate
from autoprompt.optimizer import phrases
from autoprompt.optimizer.space import Space, draw_demos
from autoprompt.template import LABEL, LabelWords, Literal, Slot, Template, edits

OPENED = 0.25
"""Share of random draws that put a phrase before the text."""
OTHER_WORDS = 0.25
"""Share of the random draws that have such words: on two samples of rotten-tomatoes they cost a fine-tune some five
points of accuracy on the mean."""


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
    if rng.random() < OPENED:
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
