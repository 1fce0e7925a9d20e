"""The least time that a search needs, from what its units were measured to cost."""

from __future__ import annotations

import math
from dataclasses import dataclass

from autoprompt.duration import duration_text, rounded_up
from autoprompt.errors import UsageError, parameter
from autoprompt.evaluator import CostModel
from autoprompt.optimizer.budget import Budget
from autoprompt.optimizer.space import Space
from autoprompt.optimizer.time_budget import COMPARED, FINISH_SECONDS, OVERRUN, SLACK
from autoprompt.registry import STRATEGIES

TESTED = 3
"""Prompts that the test rows are scored with: the winner and both manual baselines."""
ROOM = 1.15
"""The budget that is advised is so much longer than what is needed."""


@dataclass(frozen=True)
class Need:
    """Seconds of each part of the shortest search; ``finalists``: left out where there is no time for them."""

    baselines: float
    proposals: float
    fine_tunes: float
    finalists: float
    test: float
    test_rows: int
    computing: float | None = None
    """The share of the workers' time in which they computed, where other programs had the rest."""

    @property
    def least(self) -> float:
        """Seconds from the start of the baselines to the result, without finalists."""
        return self.baselines + self.proposals + self.fine_tunes + self.test + FINISH_SECONDS

    def __str__(self) -> str:
        parts = {
            "baselines": self.baselines,
            "first proposals": self.proposals,
            f"{COMPARED} fine-tunes": self.fine_tunes,
            f"{self.test_rows} test rows": self.test,
        }
        return ", ".join(f"{name} {duration_text(seconds)}" for name, seconds in parts.items() if seconds)


def needed(costs: CostModel, space: Space, strategy: str, test_rows: int, rounds: int) -> Need:
    """What the shortest search takes. Zeros where nothing was measured.

    ``rounds``: evaluations of each finalist.
    """
    speed, workers = costs.speed, costs.workers
    if speed is None:
        return Need(0.0, 0.0, 0.0, 0.0, 0.0, test_rows)
    validation = len(costs.corpus.validation)
    rows = len(costs.corpus.train) + validation
    fit = costs.fit_estimate(space.manual_tuned.settings)
    heads, scored = _first_pool(space, strategy, speed.tokens * rows)
    prefixes = rows * speed.prefix / workers
    voting = costs.voted * speed.prefix / workers
    # Two candidates a round, each with a pass for the loss and two for its gradient.
    proposing = (
        2 * STRATEGIES[strategy].gradient_rounds * costs.frozen_rows * 3 * (speed.prefix + speed.scored) / workers
    )
    written = costs.written_tokens * speed.written
    again = COMPARED * (rounds - (0 if written else 1))
    tested = (min(heads, 1) + 1) * speed.prefix + TESTED * (speed.scored + written)
    return Need(
        baselines=SLACK * (prefixes + validation * speed.scored),
        proposals=SLACK
        * (heads * prefixes + proposing + math.ceil(scored / workers) * costs.frozen_rows * speed.frozen),
        fine_tunes=SLACK * (math.ceil(COMPARED / workers) * fit + COMPARED * voting),
        finalists=SLACK * math.ceil(again / workers) * (fit + validation * written),
        test=SLACK * test_rows * tested / workers,
        test_rows=test_rows,
        computing=costs.computing if costs.crowded else None,
    )


def check_budget(budget: Budget, need: Need, *, default: bool) -> str | None:
    """What a budget leaves out, as a note; None where it leaves out nothing, and for one that is no time limit.

    ``budget``: as spent on data and model so far; ``default``: nobody gave it. Raises UsageError, with what is needed,
    for one that does not suffice for a result, even with the tenth by which it may be overrun: what is needed counts
    fine-tunes with all their epochs, and most end early.
    """
    if budget.seconds is None:
        return None
    spent = budget.spent
    given = f"The {'default ' if default else ''}budget of {duration_text(budget.seconds)}"
    whole = spent + need.least + need.finalists
    if spent + need.least > (1 + OVERRUN) * budget.seconds:
        free = (
            f"free the machine, which is busy (its workers computed in {100 * need.computing:.0f} % of their time), or "
            if need.computing is not None
            else ""
        )
        parts = ", ".join(filter(None, (f"data and model {duration_text(spent)}", str(need))))
        raise UsageError(
            f"{given} is too short: this data and model need about {duration_text(spent + need.least)} ({parts}); "
            f"{free}give {parameter('budget', rounded_up(ROOM * whole))}, fewer {parameter('test_rows')}, a shorter "
            f"{parameter('max_length')} or a smaller {parameter('model')}."
        )
    if not budget.room(need.least + need.finalists):
        return (
            f"{given} leaves no time for finalists, which need about {duration_text(need.finalists)} more: the winner "
            "will not be scored a second time."
        )
    return None


def _first_pool(space: Space, strategy: str, prefix_tokens: float) -> tuple[int, int]:
    """Return the openings of the first generation besides the manual one, whose prefixes are computed, and its frozen
    scores."""
    rules, kind = space.config.search, STRATEGIES[strategy]
    tells = rules.ladder and not kind.exhaustive and space.text_varies and space.manual.settings.tuning != "none"
    opened = kind.first_openings(space, prefix_tokens) + len(space.seeds) * (prefix_tokens > 0)
    return opened, kind.first_pool(space) + 1 if tells else 0
