"""The space that is searched: which genes vary, from which values, and which candidates may be scored at all."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from autoprompt.candidate import Candidate, Demo, Settings, derived_seed
from autoprompt.corpus import Corpus
from autoprompt.errors import InputError, UsageError, parameter
from autoprompt.optimizer.config import SearchConfig
from autoprompt.template import LABEL, Demos, LabelWords, Slot, Template, edits

SETTINGS = ("learning_rate", "batch_size", "epochs", "rank", "calibration")
BATCH_SIZES = (4, 8, 16)
RANKS = (4, 8, 16)
EPOCH_FACTORS = (0.4, 0.7, 1.0)
"""Of the default's, which are more than most candidates need among labels."""
TEXT_EPOCH_FACTORS = (0.5, 1.0, 1.5)
"""The same without label words, above all for target texts, whose fine-tunes make all of their passes."""
SOFT_VECTORS = 8
"""Given to templates without any where trainable vectors are all that is tuned."""


@dataclass(frozen=True)
class Space:
    """What every strategy and operator may draw from."""

    manual: Candidate
    """The manual prompt as it was given, with the default settings."""
    label_name: str
    vocabulary: Sequence[str]
    """Words of the model's vocabulary."""
    config: SearchConfig = field(default_factory=SearchConfig)
    demos_pool: Sequence[Demo] = ()
    """The training rows, which solved examples are taken from."""
    label_anywhere: bool = False
    """Whether fields may stand after the label: true of models that read what follows the predicted place."""
    seeds: Sequence[Candidate] = ()
    """Further prompts to begin with."""
    template: Template | None = None
    """The fixed template, where there is one."""
    label_words: LabelWords | None = None
    """The fixed label words, where there are any."""
    seed: int = 0
    taught: Sequence[Candidate] = ()
    """Prompts that earlier runs on other data found, the most promising first."""
    credit: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Tries and wins that operators begin with, by name."""

    @cached_property
    def ranges(self) -> dict[str, tuple[Any, ...]]:
        """The values of each hyperparameter: the configured ones, else the tuning mode's."""
        default, chosen = self.manual.settings, self.config.settings
        calibration = chosen.calibration or ((False, True) if default.tuning == "none" else (False,))
        if not self._used("calibration"):
            calibration = (default.calibration,)
        if default.tuning == "none":
            return {"calibration": calibration}
        factors = EPOCH_FACTORS if self.manual.label_words.pairs else TEXT_EPOCH_FACTORS
        return {
            "learning_rate": chosen.learning_rate or default.mode.rates,
            "batch_size": chosen.batch_size or BATCH_SIZES,
            "epochs": chosen.epochs or tuple(max(1, round(default.epochs * factor)) for factor in factors),
            "rank": chosen.rank or RANKS,
            "calibration": calibration,
        }

    @property
    def demo_counts(self) -> tuple[int, ...]:
        """How many solved examples a template may show; empty: as many as it has."""
        return self.config.template.demos or ()

    @property
    def soft_counts(self) -> tuple[int, ...]:
        """How many trainable vectors a template may hold; empty: as many as it has."""
        return self.config.template.soft or () if self._used("soft") else ()

    def free(self, gene: str) -> bool:
        """Whether ``gene`` may vary: a name of ``--fix``, or ``positions`` (of the label)."""
        shown = (self.manual_tuned.template, *(c.template for c in self.prompts))
        match gene:
            case "template":
                return self.template is None
            case "positions":
                return self.template is None and self.label_anywhere and self.config.template.positions
            case "label_words":
                return self.label_words is None and bool(self.manual.label_words.pairs) and self._words_vary
            case "demos":
                return bool(self.demos_pool) and any((*self.demo_counts, *(t.demos for t in shown)))
            case "soft":
                moves = self.free("template") and self._used("soft") and any(t.soft for t in shown)
                return moves or len(self.soft_counts) > 1
        return self._used(gene) and len(set(self.ranges[gene])) > 1

    @property
    def _words_vary(self) -> bool:
        if self.config.template.label_words is not None:
            return self.config.template.label_words
        named = self.config.search.operators or ()
        return self.manual.settings.tuning == "none" or "label_words" in named

    @property
    def text_varies(self) -> bool:
        """Whether candidates differ in more than settings."""
        return any(map(self.free, ("template", "positions", "label_words", "demos", "soft")))

    @cached_property
    def manual_tuned(self) -> Candidate:
        """The baseline that a search must beat: the manual prompt with every gene that is fixed but the template,
        and within every configured range."""
        return self.bounded(self.manual)

    @cached_property
    def prompts(self) -> tuple[Candidate, ...]:
        """Where a search begins: the manual prompt, or the fixed template in its place, and the seeds."""
        first = replace(self.manual, template=self.template) if self.template else self.manual
        return tuple(self.bounded(candidate) for candidate in (first, *self.seeds))

    @property
    def start(self) -> Candidate:
        """The first prompt: what is not varied is as it is here."""
        return self.prompts[0]

    def bounded(self, candidate: Candidate) -> Candidate:
        """The candidate with the fixed label words and the nearest value of every configured range, and as many
        solved examples as its template shows."""
        settings, chosen, template = candidate.settings, self.config.settings, candidate.template
        ranges = {name: values for name in SETTINGS if (values := getattr(chosen, name)) and self._used(name)}
        nearest = {name: _nearest(values, getattr(settings, name)) for name, values in ranges.items()}
        vectors = _nearest(self.soft_counts or (template.soft,), template.soft)
        if settings.tuning == "soft" and not vectors:
            vectors = SOFT_VECTORS
        if vectors != template.soft:
            template = edits.with_soft(template, vectors)
        words = self.label_words or candidate.label_words
        changed = replace(candidate, template=template, label_words=words, settings=settings.change(**nearest))
        return self.with_demos(changed, _nearest(self.demo_counts or (template.demos,), template.demos))

    def with_demos(self, candidate: Candidate, count: int) -> Candidate:
        """So many solved examples: the first of those at hand, and then the ones that this run's seed draws."""
        demos = candidate.demos[:count]
        if len(demos) < count:
            rng = random.Random(derived_seed(self.seed, "demos"))  # noqa: S311
            demos += draw_demos(self.demos_pool, count - len(demos), rng, demos)
        return replace(candidate, template=edits.with_demos(candidate.template, count), demos=demos)

    def has_text(self, template: Template) -> bool:
        """Whether a template is the fixed one, where one is; its parts that are no text count for themselves."""
        return self.template is None or edits.text(template) == edits.text(self.template)

    def draw_settings(self, rng: random.Random) -> Settings:
        """Every hyperparameter from its range."""
        drawn = {name: rng.choice(values) if len(values) > 1 else values[0] for name, values in self.ranges.items()}
        return self.manual.settings.change(**drawn)

    def _used(self, gene: str) -> bool:
        return _used(gene, self.manual)


def _used(gene: str, candidate: Candidate) -> bool:
    """Whether a hyperparameter or trainable vectors change anything: some tuning modes have no use for them, and
    calibration is one of label words."""
    if gene == "calibration":
        return bool(candidate.label_words.pairs)
    if gene == "soft":
        return candidate.settings.tuning != "none"
    return gene in candidate.settings.to_dict()


def _nearest(values: Sequence[Any], value: Any) -> Any:
    """By ratio where both are above 0: learning rates span orders of magnitude."""

    def distance(other: Any) -> float:
        return abs(math.log(other / value)) if value > 0 and other > 0 else abs(other - value)

    return value if value in values else min(values, key=lambda other: (distance(other), other))


def draw_demos(pool: Sequence[Demo], count: int, rng: random.Random, have: Sequence[Demo] = ()) -> tuple[Demo, ...]:
    """So many solved examples beside those at hand: the classes in turn, those shown least first.

    Raises InputError where the pool holds too few.
    """
    taken = {demo.row_id for demo in have}
    left = [demo for demo in pool if demo.row_id not in taken]
    if count > len(left):
        raise InputError(
            f"The template asks for {count + len(have)} solved examples, but only {len(left) + len(have)} training "
            "rows can be shown; ask for fewer."
        )
    rng.shuffle(left)
    shown = Counter(demo.label for demo in have)
    out: list[Demo] = []
    for _ in range(count):
        demo = min(left, key=lambda d: shown[d.label])
        left.remove(demo)
        shown[demo.label] += 1
        out.append(demo)
    return tuple(out)


def make_space(
    manual: Candidate,
    seeds: Sequence[Candidate],
    label_name: str,
    corpus: Corpus,
    config: SearchConfig,
    fix: Mapping[str, Any],
    seed: int,
) -> Space:
    """The space of one run, checked except for what depends on the loaded model.

    Raises UsageError for a gene that cannot be fixed here, InputError for ranges that the data cannot fill.
    """
    tuning = manual.settings.tuning
    for name in fix:
        if name in (*SETTINGS, "soft") and not _used(name, manual):
            given = "without label words" if name == "calibration" else f"with {parameter('tuning', tuning)}"
            raise UsageError(f"{parameter('fix')} {name} changes nothing {given}; leave it out.")
    if "template" in fix and seeds:
        raise UsageError(
            f"{parameter('fix')} template leaves no place for others in {parameter('templates')}; leave one out."
        )
    template = words = None
    if "template" in fix:
        template = Template.parse(fix["template"]).bind(corpus.fields, corpus.label_column)
    if "label_words" in fix:
        words = LabelWords.of(fix["label_words"], corpus.labels)
    config = config.fixed(fix)
    if tuning == "soft" and 0 in (config.template.soft or ()):
        raise InputError(
            f"Without trainable vectors {parameter('tuning', 'soft')} has nothing to tune; take 0 out of soft."
        )
    most = max(config.template.demos or (0,))
    if most > len(corpus.train):
        raise InputError(
            f"The search may show up to {most} solved examples, but there are only {len(corpus.train)} training rows; "
            "lower demos."
        )
    pool = demos_of(corpus)
    return Space(manual, label_name, (), config, pool, seeds=seeds, template=template, label_words=words, seed=seed)


def demos_of(corpus: Corpus) -> tuple[Demo, ...]:
    """The training rows as solved examples."""
    return tuple(Demo.of(row.row_id, row.fields, row.label) for row in corpus.train)


def flaw(candidate: Candidate, space: Space) -> str | None:
    """Why a candidate must not be scored: its parts contradict each other or the space. None: it may be."""
    template = candidate.template
    slots = template.slots
    longest = space.config.template.max_length
    if slots.count(LABEL) != 1 or len(slots) == 1:
        return "the template needs one {label} and a field"
    if slots[-1] != LABEL and not space.label_anywhere:
        return "this model does not read text after {label}"
    if not space.has_text(template):
        return "the template is not the fixed one"
    if template.length > longest and not space.template:
        return f"the template has more than {longest} characters"
    if space.soft_counts and template.soft not in space.soft_counts:
        return f"{template.soft} trainable vectors are not in the range"
    if candidate.settings.tuning == "soft" and not template.soft:
        return "without trainable vectors there is nothing to tune"
    if not _shows_its_demos(candidate, space):
        return "the solved examples do not match the template"
    try:
        LabelWords(candidate.label_words.pairs)
        written = Template.parse(template.format())
    except InputError as error:
        return str(error)
    return None if written == template else "the template is another one after it was written and parsed again"


def _shows_its_demos(candidate: Candidate, space: Space) -> bool:
    """As many solved examples as the template has room for, none twice, and before everything they are made of."""
    count = candidate.template.demos
    rows = [demo.row_id for demo in candidate.demos]
    if len(rows) != count or len(set(rows)) != count or (space.demo_counts and count not in space.demo_counts):
        return False
    places = [i for i, s in enumerate(candidate.template.segments) if isinstance(s, Demos)]
    slots = [i for i, s in enumerate(candidate.template.segments) if isinstance(s, Slot)]
    return len(places) < 2 and all(place < min(slots) for place in places)
