"""How much a search may spend. The clock only decides where to stop, never what is tried."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from autoprompt.errors import UsageError, parameter


@dataclass
class Budget:
    """A time limit for the whole command, or a number of fine-tuned evaluations; at least one of them."""

    seconds: float | None = None
    evaluations: int | None = None
    clock: Callable[[], float] = time.monotonic
    started: float = field(default=0.0)

    def __post_init__(self) -> None:
        if self.seconds is None and self.evaluations is None:
            raise UsageError(f"A search needs a limit; give {parameter('budget')} or {parameter('max_evaluations')}.")
        for name, value in ((parameter("budget"), self.seconds), (parameter("max_evaluations"), self.evaluations)):
            if value is not None and not value > 0:
                raise UsageError(f"{name} is {value:g}; give more than 0.")
        self.started = self.started or self.clock()

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return self.clock() - self.started

    def room(self, seconds: float) -> bool:
        """Whether so many more seconds fit."""
        return self.seconds is None or self.spent + seconds <= self.seconds

    def left(self, used: int) -> int | None:
        """Evaluations left of the limit, or None where there is none."""
        return None if self.evaluations is None else max(0, self.evaluations - used)
