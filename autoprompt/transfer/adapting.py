"""Adaptation of earlier runs' prompts to another corpus, and their ranking."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from autoprompt.candidate import Candidate
from autoprompt.corpus import Corpus
from autoprompt.errors import InputError
from autoprompt.template import LABEL, LabelWords, Slot, Template
from autoprompt.transfer.lessons import MOST_LESSONS, Lesson, Source
from autoprompt.transfer.profile import Profile, Similarity, matched_labels, profile_of, similarity

LEAST_SIMILARITY = 0.25
"""Least similarity of a corpus whose prompts are tried. Two corpora with the same task and equal numbers of
labels and fields always exceed it."""
OPERATOR_TRIES = 4.0
"""Most tries of an operator that all earlier runs together count as; the search counts one per generation."""

MOST_STEPS_FACTOR = 8
"""Most optimiser steps of an adapted prompt's fine-tune, as a multiple of the manual prompt's. A prompt that asks for
more gets the manual prompt's settings, so that no file can use up a search's budget with one candidate."""


@dataclass(frozen=True)
class AdaptedSource:
    """A source, its similarity to the corpus, and its adapted prompts with their lessons, best evidence first."""

    source: Source
    similarity: Similarity
    candidates: tuple[tuple[Candidate, Lesson], ...]


def adapted_sources(sources: Sequence[Source], corpus: Corpus, manual: Candidate) -> list[AdaptedSource]:
    """The usable prompts of each source for a corpus, the most similar source first.

    ``manual``: the manual prompt. Its label words and settings are used where the source's do not fit, and its settings
    also where the source's ask for more than ``MOST_STEPS_FACTOR`` times as many optimiser steps.
    """
    own = profile_of(corpus)
    found = []
    for source in sources:
        alike = similarity(own, source.profile)
        rows = len(corpus.train)
        candidates = _adapted(source, own, manual, rows) if alike.value >= LEAST_SIMILARITY else ()
        found.append(AdaptedSource(source, alike, candidates))
    return sorted(found, key=lambda one: (-one.similarity.value, one.source.run))


def _adapted(source: Source, own: Profile, manual: Candidate, rows: int) -> tuple[tuple[Candidate, Lesson], ...]:
    """The adapted lessons of a source, each once. ``rows``: number of the corpus's training rows."""
    out: dict[str, tuple[Candidate, Lesson]] = {}
    for lesson in source.lessons[:MOST_LESSONS]:
        with suppress(InputError):  # a stranger's bundle may hold an invalid candidate
            candidate = adapt(lesson.candidate, source.profile, own, manual)
            if candidate is not None:
                if candidate.settings.steps(rows) > MOST_STEPS_FACTOR * manual.settings.steps(rows):
                    candidate = replace(candidate, settings=manual.settings)
                out.setdefault(candidate.id, (candidate, lesson))
    return tuple(out.values())


def adapt(found: Candidate, theirs: Profile, own: Profile, manual: Candidate) -> Candidate | None:
    """Another corpus's prompt with the fields and labels of this corpus; None where the fields do not fit.

    ``theirs``, ``own``: profiles of the other corpus and of this one. ``manual``: this corpus's manual prompt, whose
    solved examples are kept.

    Each field is replaced by the field of the same name; the others are replaced by the remaining fields in order.
    Label words are taken over where every label has a match, and settings where the tuning mode is the same.
    """
    template = _with_fields(found.template, theirs.fields, own.fields)
    if template is None:
        return None
    words = _words(found.label_words, own, manual.label_words)
    same = found.settings.tuning == manual.settings.tuning
    return replace(manual, template=template, label_words=words, settings=found.settings if same else manual.settings)


def _with_fields(template: Template, theirs: Sequence[str], own: Sequence[str]) -> Template | None:
    shown = template.fields
    if len(shown) > len(own):
        return None
    names = {name: name for name in shown if name in own}
    others = [name for name in theirs if name in shown and name not in names]
    free = [name for name in own if name not in names]
    names |= dict(zip(others, free, strict=False))
    if set(names) != set(shown):
        return None
    return Template(
        tuple(Slot(names[s.name]) if isinstance(s, Slot) and s.name != LABEL else s for s in template.segments)
    )


def _words(words: LabelWords, own: Profile, manual: LabelWords) -> LabelWords:
    """The found words if they cover all labels, else the manual ones; in a mix, two words may mean the same."""
    matched = matched_labels(own.labels, words.labels)
    if not manual.pairs or len(matched) < len(own.labels):
        return manual
    mapping = words.mapping()
    return LabelWords(tuple((label, mapping[matched[label]]) for label in own.labels))


def prompts(found: Sequence[AdaptedSource]) -> list[Candidate]:
    """All candidates, each once, best evidence first.

    Evidence is weighted by the similarity of the corpora, and added up where several runs found the same prompt.
    """
    merits: dict[str, float] = {}
    first: dict[str, Candidate] = {}
    for one in found:
        for candidate, lesson in one.candidates:
            first.setdefault(candidate.id, candidate)
            merits[candidate.id] = merits.get(candidate.id, 0.0) + one.similarity.value * (lesson.better - 0.5)
    order = sorted(first, key=lambda id_: (-merits[id_], id_))
    return [first[id_] for id_ in order]


def operators(found: Sequence[AdaptedSource]) -> dict[str, tuple[float, float]]:
    """Tries and wins of each operator over all sources, weighted by similarity; at most ``OPERATOR_TRIES`` tries."""
    sums: dict[str, list[float]] = {}
    for one in found:
        for name, counts in one.source.operators.items():
            if one.candidates:
                both = sums.setdefault(name, [0.0, 0.0])
                for place in (0, 1):
                    both[place] += one.similarity.value * counts[place]
    return {
        name: (min(tries, OPERATOR_TRIES), min(wins / tries, 1.0) * min(tries, OPERATOR_TRIES))
        for name, (tries, wins) in sorted(sums.items())
        if tries
    }
