"""Estimates of what fine-tunes, test rows and written texts cost, from the measured speed of what is done already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median, quantiles

from autoprompt.candidate import Candidate, Demo, Settings
from autoprompt.corpus import Corpus
from autoprompt.evaluator.measuring import Speed
from autoprompt.template import Template

TAIL_TOKENS = 6
"""Tokens after the text that a template has by and large: for guesses of cost alone."""
SCORED_TOKENS = 4
"""Tokens of these that a score takes: a label word itself is mostly not passed, but a target text is."""
STEP_PASSES = 1.8
"""What one optimiser step costs, in passes of a long batch over as many tokens: a guess, used until the first
fine-tune has been timed."""
RECENT = 8
"""Measurements that an estimate is the median of: the last ones, since a machine may get busy."""
CROWDED = 0.7
"""Share of wall time that a worker computes at least on a machine that does nothing else: it waits for nothing."""
CROWDED_SECONDS = 5.0
"""Of work that have to be known before a machine is called busy."""

Head = tuple[Template, tuple[Demo, ...]]


def head_of(candidate: Candidate) -> Head:
    """What kept prefixes depend on; whether there are any, the model alone knows."""
    return candidate.template.head(), candidate.demos


class CostModel:
    """Seconds of wall time. ``heads``: tokens of the kept prefixes of all rows, by what they depend on."""

    def __init__(self, corpus: Corpus, workers: int, heads: Mapping[Head, int]) -> None:
        self.corpus = corpus
        self.workers = workers
        self.heads = heads
        self.fit_seconds: list[float] = []
        self.written_tokens = 0
        """Tokens that a written text may have; 0 where none are written."""
        self.write_speed = 0.0
        """Seconds a written token of one row; 0 before it is timed."""
        self.prefix_speeds: list[float] = []
        """Seconds a token of each share of the kept prefixes."""
        self.row_seconds: list[float] = []
        """Seconds a row of the frozen model's scores."""
        self.busy, self.computed = 0.0, 0.0
        """Seconds of wall and of CPU time of all work for which both are known."""
        self.speed: Speed | None = None
        """What was measured before the search, where it was."""

    @property
    def prefix_tokens(self) -> int:
        """Tokens of the longest kept prefix over all rows: what one more opening costs."""
        return max(self.heads.values(), default=0)

    def worked(self, seconds: float, cpu: float) -> None:
        """A piece of work is done; ``cpu``: 0 where it is not known."""
        if cpu:
            self.busy += seconds
            self.computed += cpu

    @property
    def computing(self) -> float:
        """The share of the workers' time in which they computed; 1 where it is not known."""
        return self.computed / self.busy if self.busy else 1.0

    @property
    def crowded(self) -> bool:
        """Whether that share is low for so long that other programs must have had the rest."""
        return self.busy >= CROWDED_SECONDS and self.computing < CROWDED

    @property
    def measured(self) -> bool:
        """Whether anything was timed that test rows can be estimated from."""
        return bool(self.prefix_speeds or self.row_seconds)

    def fit_estimate(self, settings: Settings) -> float:
        """Seconds of one fine-tune: the median of the last ones; before any those of all its steps as measured, or a
        guess from the prefixes' speed."""
        train, validation = len(self.corpus.train), len(self.corpus.validation)
        if self.fit_seconds:
            return median(self.fit_seconds[-RECENT:])
        if self.speed is not None:  # rows are passed once before the first step, and judged early on and at the end
            return settings.epochs * train * self.speed.trained + (train + 2 * validation) * self.speed.scored
        return settings.steps(train) * settings.batch_size * TAIL_TOKENS * STEP_PASSES * self._token_seconds

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
        """What scoring test rows will take, from the measured speed of the kept prefixes, or of scores where none are
        kept."""
        if not self.prefix_speeds and self.row_seconds:
            return rows * len(candidates) * median(self.row_seconds[-RECENT:]) / self.workers
        known = len(self.corpus.train) + len(self.corpus.validation)
        shared = {head_of(candidate) for candidate in candidates if candidate.settings.mode.caches_prefixes}
        own = [head_of(candidate) for candidate in candidates if not candidate.settings.mode.caches_prefixes]
        prefixes = sum(self.heads.get(head, self.prefix_tokens) for head in (*shared, *own)) / known
        work = rows * (prefixes + (SCORED_TOKENS + self.written_tokens) * len(candidates))
        writing = len(candidates) * self.write_seconds(rows)
        return (work * self._token_seconds + writing) / self.workers

    def write_seconds(self, rows: int) -> float:
        """What writing a text for so many rows takes one worker: a block ends with its longest text."""
        return rows * self.written_tokens * self.write_speed

    @property
    def _token_seconds(self) -> float:
        """Seconds of one prefix token in one worker, of late."""
        return median(self._settled[-RECENT:]) if self._settled else 0.0

    @property
    def _settled(self) -> list[float]:
        """Speeds of prefixes. A worker's first passes are slower than all others: they count only where there are no
        more."""
        return self.prefix_speeds[2 * self.workers :] or self.prefix_speeds


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = quantiles(values, n=4, method="inclusive")
    return low, high
