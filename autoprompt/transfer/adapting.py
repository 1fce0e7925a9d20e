"""From what other runs found to candidates for another corpus."""

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
"""Of a corpus whose prompts are tried at all: any two of one task and as many labels and fields have more."""
OPERATOR_TRIES = 4.0
"""What all earlier runs together count for an operator, in generations of this one."""

MOST_STEPS_FACTOR = 8
"""Times the steps of the manual prompt's fine-tune: what asks for more gets the manual's settings, so that no file can
use up a search's budget with one candidate."""


@dataclass(frozen=True)
class Taught:
    """One source, and what of it can be used: ``candidates`` in the order of their evidence."""

    source: Source
    similarity: Similarity
    candidates: tuple[tuple[Candidate, Lesson], ...]


def taught(sources: Sequence[Source], corpus: Corpus, manual: Candidate) -> list[Taught]:
    """What each source has for a corpus, the most alike first; ``manual``: its label words and settings are kept where
    the source's do not fit, or ask for many times as long a fine-tune."""
    own = profile_of(corpus)
    found = []
    for source in sources:
        alike = similarity(own, source.profile)
        rows = len(corpus.train)
        candidates = _adapted(source, own, manual, rows) if alike.value >= LEAST_SIMILARITY else ()
        found.append(Taught(source, alike, candidates))
    return sorted(found, key=lambda one: (-one.similarity.value, one.source.run))


def _adapted(source: Source, own: Profile, manual: Candidate, rows: int) -> tuple[tuple[Candidate, Lesson], ...]:
    """``rows``: this corpus's for training."""
    out: dict[str, tuple[Candidate, Lesson]] = {}
    for lesson in source.lessons[:MOST_LESSONS]:
        with suppress(InputError):  # what a stranger's bundle holds may be no candidate
            candidate = adapt(lesson.candidate, source.profile, own, manual)
            if candidate is not None:
                if candidate.settings.steps(rows) > MOST_STEPS_FACTOR * manual.settings.steps(rows):
                    candidate = replace(candidate, settings=manual.settings)
                out.setdefault(candidate.id, (candidate, lesson))
    return tuple(out.values())


def adapt(found: Candidate, theirs: Profile, own: Profile, manual: Candidate) -> Candidate | None:
    """Another corpus's prompt with this one's fields and labels; None where it has no place for them.

    ``theirs``, ``own``: of the two corpora. ``manual``: this one's, whose solved examples stay.

    Fields of the same name take each other's place, then the others in their order. Label words are taken where every
    label has one of the same meaning, and settings where the tuning mode is the same.
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
    """Only what stands for all labels: some words of the one and some of the other corpus may stand for the same."""
    matched = matched_labels(own.labels, words.labels)
    if not manual.pairs or len(matched) < len(own.labels):
        return manual
    mapping = words.mapping()
    return LabelWords(tuple((label, mapping[matched[label]]) for label in own.labels))


def prompts(found: Sequence[Taught]) -> list[Candidate]:
    """All candidates, each once: those with the best evidence first, which counts the more the more alike the corpora
    are, and adds up where several runs speak for the same prompt."""
    merits: dict[str, float] = {}
    first: dict[str, Candidate] = {}
    for one in found:
        for candidate, lesson in one.candidates:
            first.setdefault(candidate.id, candidate)
            merits[candidate.id] = merits.get(candidate.id, 0.0) + one.similarity.value * (lesson.better - 0.5)
    order = sorted(first, key=lambda id_: (-merits[id_], id_))
    return [first[id_] for id_ in order]


def operators(found: Sequence[Taught]) -> dict[str, tuple[float, float]]:
    """Tries and wins of each operator over all sources, at most ``OPERATOR_TRIES`` of them."""
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
