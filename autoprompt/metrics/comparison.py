"""The paired test that comparisons rest on, and means over repeats."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from autoprompt.errors import InputError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CHUNK = 2_000_000  # resampled values held in memory at once
_KEPT = 200_000  # most rows drawn that are kept: a race asks thousands of times for the same
_ROUNDING = 2.0**-50  # more than a sum's relative error for each of its terms
FEW = 10
"""Rows from which on a bootstrap interval is given: its 95 % cover less than half of the true values at two rows."""


@dataclass(frozen=True)
class Interval:
    """Interval of a mean paired difference, None where the rows give none; ``p_better`` is the share of bootstrap
    resamples below 0."""

    mean: float
    low: float | None
    high: float | None
    p_better: float

    @property
    def ends(self) -> tuple[float, float] | None:
        """Both ends, or None."""
        return None if self.low is None or self.high is None else (self.low, self.high)


@dataclass(frozen=True)
class Comparison(Interval):
    """The interval of two entries over the ``n`` rows that both have."""

    n: int


def paired_bootstrap(
    a: Sequence[float], b: Sequence[float], *, samples: int = 10_000, seed: int = 0, confidence: float = 0.95
) -> Interval:
    """The mean of a - b over paired examples with its percentile interval; losses below 0 favour ``a``.

    Of fewer than ``FEW`` rows the interval is Student's t, and none where that does not hold: for one row, equal
    differences, and differences of right and wrong answers (-1, 0 and 1), which are no normal values.

    Raises InputError when the two are not paired, empty or not finite, and UsageError for other arguments.
    """
    import numpy as np

    if not 0 < confidence < 1:
        raise UsageError(f"Give a confidence between 0 and 1, not {confidence}.")
    differences, means = _resampled(a, b, samples, seed)
    mean, better = float(differences.mean()), _below_zero(means)
    if len(differences) < FEW:
        few = _student_interval(differences, confidence)
        return Interval(mean, few[0], few[1], better)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(mean, float(low), float(high), better)


def _student_interval(differences: NDArray[np.float64], confidence: float) -> tuple[float, float] | tuple[None, None]:
    """Student's t interval of a mean (Student 1908)."""
    import numpy as np

    spread = differences.max() - differences.min()
    if not spread > np.abs(differences).max() * len(differences) * _ROUNDING or np.isin(differences, (-1, 0, 1)).all():
        return None, None
    from scipy.stats import t

    n = len(differences)
    half = float(t.ppf((1 + confidence) / 2, n - 1) * differences.std(ddof=1) / math.sqrt(n))
    mean = float(differences.mean())
    return mean - half, mean + half


def chance_better(a: Sequence[float], b: Sequence[float], *, samples: int = 10_000, seed: int = 0) -> float:
    """``p_better`` of ``paired_bootstrap`` by itself, which is much less work. Raises as that does."""
    return _below_zero(_resampled(a, b, samples, seed)[1])


def chances_better(
    a: Sequence[float], others: Sequence[Sequence[float]], *, samples: int = 10_000, seed: int = 0
) -> list[float]:
    """``chance_better(a, b)`` of each ``b`` in ``others``, the same to the last digit, in one matrix product.

    Its rounding can move a mean that is all but 0 to the other side: whoever has one is asked for by itself. Raises
    as ``paired_bootstrap`` does.
    """
    import numpy as np

    differences = np.asarray([_differences(a, b) for b in others])
    n = len(a)
    if samples * n > _KEPT:  # not worth the memory that all means at once would take
        return [chance_better(a, b, samples=samples, seed=seed) for b in others]
    out: list[float] = []
    for start in range(0, len(others), most := max(1, _CHUNK // samples)):
        means = differences[start : start + most] @ _counted_once(n, samples, seed) / n
        doubt = np.abs(differences[start : start + most]).max(axis=1, keepdims=True) * n * _ROUNDING
        clear = (means < -doubt).sum(axis=1)
        unsure = (np.abs(means) <= doubt).any(axis=1)
        out += [
            chance_better(a, others[start + i], samples=samples, seed=seed) if unsure[i] else float(clear[i] / samples)
            for i in range(len(means))
        ]
    return out


def _resampled(
    a: Sequence[float], b: Sequence[float], samples: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The differences a - b [rows], and their mean in each resample [samples]."""
    import numpy as np

    if samples < 1:
        raise UsageError(f"Give samples above 0, not {samples}.")
    differences = _differences(a, b)
    n = len(differences)
    drawn = [_resample_chunks(n, samples, seed)] if samples * n <= _KEPT else _resamples(n, samples, seed)
    return differences, np.concatenate([differences[rows].mean(axis=1) for rows in drawn])


def _differences(a: Sequence[float], b: Sequence[float]) -> NDArray[np.float64]:
    import numpy as np

    if len(a) != len(b) or not len(a):
        raise InputError(f"A paired test needs the same rows on both sides, not {len(a)} and {len(b)}.")
    differences = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    if not np.isfinite(differences).all():
        raise InputError("A paired test was given a loss that is not finite; count it as a failure.")
    return differences


def _resamples(n: int, samples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Rows of each resample, chunk by chunk."""
    import numpy as np

    generator = np.random.default_rng(seed)
    most = max(1, _CHUNK // n)
    for start in range(0, samples, most):
        yield generator.integers(0, n, size=(min(most, samples - start), n))


@lru_cache(maxsize=4)
def _resample_chunks(n: int, samples: int, seed: int) -> NDArray[np.int64]:
    (rows,) = _resamples(n, samples, seed)
    return rows


@lru_cache(maxsize=4)
def _counted_once(n: int, samples: int, seed: int) -> NDArray[np.float64]:
    """How often each resample drew each row [rows, samples]."""
    import numpy as np

    counts = np.zeros((samples, n))
    np.add.at(counts, (np.arange(samples)[:, None], _resample_chunks(n, samples, seed)), 1.0)
    return np.ascontiguousarray(counts.T)


def _below_zero(means: NDArray[np.float64]) -> float:
    return float((means < 0).mean() + (means == 0).mean() / 2)


def compare(
    a: Sequence[float],
    b: Sequence[float],
    row_ids_a: Sequence[str],
    row_ids_b: Sequence[str],
    *,
    samples: int = 10_000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Comparison:
    """``paired_bootstrap`` of the values of two entries over the rows that both have, in any order.

    Raises InputError when ids do not fit the values or repeat, or fewer than 2 rows are shared, and as
    ``paired_bootstrap`` does.
    """
    left, right = _by_row(a, row_ids_a), _by_row(b, row_ids_b)
    shared = sorted(left.keys() & right.keys())  # the seed draws positions, so the order must not matter
    if len(shared) < 2:
        raise InputError(
            f"The two entries share {len(shared)} of {len(left)} and {len(right)} rows; a comparison needs 2."
        )
    interval = paired_bootstrap(
        [left[row] for row in shared],
        [right[row] for row in shared],
        samples=samples,
        seed=seed,
        confidence=confidence,
    )
    return Comparison(**asdict(interval), n=len(shared))


def proportion_interval(successes: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927), such as an accuracy over ``n`` rows; of fewer than ``FEW`` rows
    the exact one (Clopper and Pearson 1934).

    Raises UsageError for a count outside 0 to n, or no rows.
    """
    from scipy.stats import binomtest

    if not 0 <= successes <= n or n < 1:
        raise UsageError(f"A share needs 0 to n of at least one row, not {successes} of {n}.")
    found = binomtest(successes, n).proportion_ci(confidence, method="exact" if n < FEW else "wilson")
    return float(found.low), float(found.high)


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """The mean and the standard deviation with n - 1, which is 0 for a single value.

    Raises InputError for no values and for one that is not finite.
    """
    if not len(values) or not all(math.isfinite(value) for value in values):
        raise InputError(f"A mean needs finite values, not {list(values)}; count what failed apart.")
    # Exact sums: equal values have themselves as their mean and deviate by 0.
    return float(statistics.mean(values)), float(statistics.stdev(values)) if len(values) > 1 else 0.0


def _by_row(values: Sequence[float], row_ids: Sequence[str]) -> dict[str, float]:
    if len(values) != len(row_ids):
        raise InputError(f"{len(values)} values do not fit {len(row_ids)} row ids; give one for each row.")
    rows = dict(zip(row_ids, values, strict=True))
    if len(rows) < len(row_ids):
        raise InputError(f"Of {len(row_ids)} row ids only {len(rows)} differ; a row can be paired once.")
    return rows
