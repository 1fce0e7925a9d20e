"""Grid search: every point of a grid once, spread over the whole grid from the first points on."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from autoprompt.candidate import Candidate
from autoprompt.evaluator import CandidateEvaluator, Evaluation
from autoprompt.optimizer import phrases
from autoprompt.optimizer.space import SETTINGS, Space
from autoprompt.optimizer.strategy import Proposal, Strategy
from autoprompt.registry import STRATEGIES
from autoprompt.template import LabelWords, edits

PHRASES = 8
"""Phrases of the library that a grid has beside the given templates."""
WORDS = 2
"""Label words that a grid has beside the manual ones: those that the first prompt's cached logits favour."""


@STRATEGIES.register("grid")
class GridStrategy(Strategy):
    """All combinations of templates, label words, settings, the order of fields, the place of the label, and numbers
    of solved examples and trainable vectors.

    Nothing is drawn: the order depends on the grid alone, and each point is fine-tuned, whatever its frozen score.
    """

    name = "grid"
    exhaustive = True
    learns = False

    def __init__(self, space: Space, evaluator: CandidateEvaluator, rng: random.Random) -> None:
        super().__init__(space, evaluator, rng)
        self.points: Iterator[Candidate] | None = None

    def ask(self) -> list[Proposal]:
        """As many points as a generation fine-tunes; none when the grid is exhausted."""
        if self.points is None:
            words = self.space.free("label_words")
            self.points = points(self.space, self.evaluator.rank_words([self.space.start], WORDS)[0] if words else ())
        out: list[Proposal] = []
        for candidate in self.points:
            out += self.fresh([Proposal(candidate, self.name)])
            if len(out) == self.space.config.search.survivors:
                break
        return out

    def tell(self, evaluations: Sequence[Evaluation], proposals: Sequence[Proposal]) -> None:
        """A grid learns nothing."""


def points(space: Space, words: Sequence[LabelWords] = ()) -> Iterator[Candidate]:
    """The grid's candidates in the order of ``spread``; the prompts to begin with stand in the middle of theirs.

    ``words``: label words beside those that the prompts have.
    """
    prompts = list(space.prompts)
    if space.free("template"):
        tails = phrases.tails(space.label_name, space.start.label_words)[:PHRASES]
        prompts += [replace(space.start, template=phrases.with_tail(space.start.template, tail)) for tail in tails]
    prompts = list({candidate.text_id: candidate for candidate in prompts}.values())
    middle = len(prompts) // 2
    axes: dict[str, Sequence[Any]] = {"prompt": prompts[-middle:] + prompts[:-middle] if middle else prompts}
    axes |= {name: sorted(set(space.ranges[name])) for name in SETTINGS if space.free(name)}
    fields = sum(map(edits.is_field, space.start.template.segments))
    moves = space.free("template") and space.config.template.positions and fields > 1
    others: dict[str, Sequence[Any]] = {
        "words": (*words[:1], None, *words[1:]),
        "reversed": (False, True) if moves else (),
        "place": range(fields + 1) if space.free("positions") else (),
        "demos": sorted(space.demo_counts),
        "soft": sorted(space.soft_counts),
    }
    axes |= {name: values for name, values in others.items() if len(values) > 1}
    for cell in spread([len(values) for values in axes.values()]):
        yield _point(space, {name: values[i] for (name, values), i in zip(axes.items(), cell, strict=True)})


def _point(space: Space, chosen: dict[str, Any]) -> Candidate:
    """One cell's candidate: what the cell does not name stays as the prompt has it."""
    candidate: Candidate = chosen.pop("prompt")
    words, place, demos = chosen.pop("words", None), chosen.pop("place", None), chosen.pop("demos", None)
    template = candidate.template
    if chosen.pop("reversed", False):
        template = edits.reversed_fields(template)
    if place in edits.label_places(template):
        template = edits.with_label_at(template, place)
    if (soft := chosen.pop("soft", None)) is not None:
        template = edits.with_soft(template, soft)
    candidate = replace(candidate, template=template, label_words=words or candidate.label_words)
    if demos is not None:
        candidate = space.with_demos(candidate, demos)
    return replace(candidate, settings=candidate.settings.change(**chosen))


def spread(sizes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Every cell of a grid of these sizes once: the middle first, then as evenly as a Kronecker sequence lies.

    Its steps are powers of the root of x^(n+1) = x + 1, the golden ratio for one axis (Roberts 2018): any first
    points cover all of the grid coarsely, and later ones fill what is left between them.
    """
    root = 2.0
    for _ in range(60):
        root = (1 + root) ** (1 / (len(sizes) + 1))
    steps = [root ** -(axis + 1) for axis in range(len(sizes))]
    total = math.prod(sizes)
    seen: set[tuple[int, ...]] = set()
    for number in itertools.count():
        if len(seen) == total:
            return
        places = zip(steps, sizes, strict=True)
        cell = tuple(min(int((0.5 + number * step) % 1.0 * size), size - 1) for step, size in places)
        if cell not in seen:
            seen.add(cell)
            yield cell
