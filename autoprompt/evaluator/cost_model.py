"""Cost model: estimated seconds of fine-tunes, test rows and generated texts, from the measured speed so far."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median, quantiles

from autoprompt.candidate import Candidate, Demo, Settings
from autoprompt.corpus import Corpus
from autoprompt.evaluator.measuring import Speed
from autoprompt.evaluator.refitting import MOST_TIMES
from autoprompt.template import Template

TAIL_TOKENS = 6
"""Typical number of a template's tokens after the text; used only to estimate costs."""
SCORED_TOKENS = 4
"""Number of these tokens that scoring a row passes through the model: a label word mostly needs no pass. A target text
does, and its tokens are added."""
STEP_PASSES = 1.8
"""Cost of one optimiser step, in passes of a long batch over as many tokens: a guess, used until the first fine-tune
has been timed."""
RECENT = 8
"""Number of last measurements whose median is an estimate: older ones are left out, since a machine may get busy."""
CROWDED = 0.7
"""Least share of wall time that a worker computes on an otherwise idle machine, since it never waits."""
CROWDED_SECONDS = 5.0
"""Seconds of work that must be known before a machine is called busy."""

PrefixKey = tuple[Template, tuple[Demo, ...]]


def prefix_key(candidate: Candidate) -> PrefixKey:
    """Return what a candidate's cached prefixes depend on. Whether there are any depends on the model."""
    return candidate.template.head(), candidate.demos


class CostModel:
    """Estimates in seconds of wall time, for ``workers`` workers that share the work."""

    def __init__(self, corpus: Corpus, workers: int) -> None:
        self.corpus = corpus
        self.workers = workers
        self.prefix_sizes: dict[PrefixKey, int] = {}
        """Tokens of the cached prefixes over all labelled rows; 0 where the model caches none."""
        self.fit_seconds: list[float] = []
        self.written_tokens = 0
        """Most tokens of a generated text; 0 where none are generated."""
        self.write_speed = 0.0
        """Seconds to generate one token for one row; 0 before it is timed."""
        self.prefix_speeds: list[float] = []
        """Seconds a token of each task that computed a share of the prefix cache."""
        self.prefix_seconds = 0.0
        """Seconds of all these tasks, over all workers."""
        self.row_seconds: list[float] = []
        """Seconds a row of each frozen score."""
        self.busy, self.computed = 0.0, 0.0
        """Seconds of wall and of CPU time of all work for which both are known."""
        self.speed: Speed | None = None
        """Speed measured before the search; None where it was not measured."""

    @property
    def voted(self) -> int:
        """The unlabelled rows that a fine-tune predicts."""
        return len(self.corpus.unlabeled) if self.corpus.labels else 0

    @property
    def prefix_tokens(self) -> int:
        """Tokens of the largest prefix cache over all rows: the cost of one more template head."""
        return max(self.prefix_sizes.values(), default=0)

    def record_work(self, seconds: float, cpu: float) -> None:
        """Record a finished piece of work: its wall and CPU seconds; ``cpu``: 0 where it is not known."""
        if cpu:
            self.busy += seconds
            self.computed += cpu

    def record_prefix(self, key: PrefixKey, tokens: int, seconds: float) -> None:
        """Record that a share of a prefix cache was computed: its tokens, and the worker's seconds."""
        self.prefix_sizes[key] = self.prefix_sizes.get(key, 0) + tokens
        self.record_prefix_speed(tokens, seconds)

    def record_prefix_speed(self, tokens: int, seconds: float) -> None:
        """Record how long a worker took for the prefix passes of some tokens."""
        self.prefix_seconds += seconds
        if tokens:
            self.prefix_speeds.append(seconds / tokens)

    @property
    def computing(self) -> float:
        """The share of the workers' time in which they computed; 1 where it is not known."""
        return self.computed / self.busy if self.busy else 1.0

    @property
    def crowded(self) -> bool:
        """Whether that share has been so low for so long that other programs must be using the cores."""
        return self.busy >= CROWDED_SECONDS and self.computing < CROWDED

    @property
    def measured(self) -> bool:
        """Whether anything was timed that test rows can be estimated from."""
        return bool(self.prefix_speeds or self.row_seconds)

    def fit_estimate(self, settings: Settings) -> float:
        """Return the seconds of one fine-tune: the median of the last ones; before the first, the sum of its steps at
        the measured speed, or a guess from the prefix speed."""
        train, validation = len(self.corpus.train), len(self.corpus.validation)
        if self.fit_seconds:
            return median(self.fit_seconds[-RECENT:])
        # Training rows get one pass before the first step; validation rows are scored at the milestone and at the end,
        # unlabelled rows at the end.
        if self.speed is not None:
            scored = train + 2 * validation + self.voted
            return settings.epochs * train * self.speed.trained + scored * self.speed.scored
        return settings.steps(train) * settings.batch_size * TAIL_TOKENS * STEP_PASSES * self._token_seconds

    def refit_seconds(self, settings: Settings) -> float:
        """Return the seconds of training the winner once more, which takes all its steps: answers that are
        probabilities are never learnt."""
        if self.speed is None:
            return MOST_TIMES * self.fit_estimate(settings)
        train, rows = len(self.corpus.train), len(self.corpus.train) + len(self.corpus.validation) + self.voted
        return MOST_TIMES * settings.epochs * train * self.speed.trained + rows * self.speed.scored

    @property
    def frozen_rows(self) -> int:
        """Rows of a frozen score: those of training, and at most as many of validation."""
        train = len(self.corpus.train)
        return train + min(train, len(self.corpus.validation))

    @property
    def fit_spread(self) -> tuple[float, float] | None:
        """Lower and upper quartile of the last fine-tunes' seconds; None before one was timed."""
        return _quartiles(self.fit_seconds[-RECENT:]) if self.fit_seconds else None

    @property
    def spread(self) -> tuple[float, float]:
        """Lower and upper quartile of the last passes' speeds, as shares of their median."""
        recent = (self._settled or self.row_seconds)[-RECENT:]
        middle = median(recent) if recent else 0.0
        low, high = _quartiles(recent) if middle else (1.0, 1.0)
        return (low / middle, high / middle) if middle else (1.0, 1.0)

    def test_seconds(self, candidates: Sequence[Candidate], rows: int) -> float:
        """Return the seconds that scoring test rows will take, from the measured speed of prefixes, or of frozen scores
        where no prefixes are cached."""
        if not self.prefix_speeds and self.row_seconds:
            return rows * len(candidates) * median(self.row_seconds[-RECENT:]) / self.workers
        known = len(self.corpus.train) + len(self.corpus.validation)
        shared = {prefix_key(candidate) for candidate in candidates if candidate.settings.mode.caches_prefixes}
        own = [prefix_key(candidate) for candidate in candidates if not candidate.settings.mode.caches_prefixes]
        prefixes = sum(self.prefix_sizes.get(key, self.prefix_tokens) for key in (*shared, *own)) / known
        work = rows * (prefixes + (SCORED_TOKENS + self.written_tokens) * len(candidates))
        writing = len(candidates) * self.write_seconds(rows)
        return (work * self._token_seconds + writing) / self.workers

    def write_seconds(self, rows: int) -> float:
        """Return the seconds that one worker needs to generate a text for each row. All count as of full length, since
        a block ends with its longest text."""
        return rows * self.written_tokens * self.write_speed

    @property
    def _token_seconds(self) -> float:
        """Median seconds of one prefix token in one worker, over the last measurements."""
        return median(self._settled[-RECENT:]) if self._settled else 0.0

    @property
    def _settled(self) -> list[float]:
        """Prefix speeds without the first ones: a worker's first passes are slower than all later ones, and count only
        while there are no others."""
        return self.prefix_speeds[2 * self.workers :] or self.prefix_speeds


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = quantiles(values, n=4, method="inclusive")
    return low, high
