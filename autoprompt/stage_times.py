"""Elapsed and expected times of a search's stages, as text."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loading torch would take seconds
    from autoprompt.optimizer import Expected

MEASURING = "measuring"
_STAGE_OF = {"first use": "data", "generation": "search", "measuring": "model"}
"""The stage of a text that names a part of it, by the first words of the text."""


class StageTimes:
    """Times of the stages in their order: data, model, baselines, search, finalists, test."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: dict[str, float] = {}
        self._stage = ""
        self._begun = self._told = clock()
        self._expected: Sequence[Expected] = ()

    def begin(self, text: str) -> None:
        """Note that a stage begins, or another part of the current stage."""
        stage = next((name for start, name in _STAGE_OF.items() if text.startswith(start)), text)
        if stage != self._stage:
            self._end()
            self._stage, self._begun = stage, self._clock()

    def expect(self, stages: Sequence[Expected]) -> None:
        """Set the expected times from now on, for the current stage and those after it."""
        self._expected, self._told = stages, self._clock()

    @property
    def took(self) -> str:
        """Times of the stages that have ended: ``data 0:02, model 0:08``."""
        return ", ".join(f"{name} {clock(seconds)}" for name, seconds in self._seconds.items())

    @property
    def likely(self) -> str:
        """Remaining times expected from measurements: ``search 1:20 to 2:00, finalists 0:12, test 0:10 to 0:14``."""
        if all(stage.seconds is None for stage in self._expected):
            return MEASURING
        since = self._clock() - self._told
        return ", ".join(
            f"{stage.stage} {_span(stage.seconds, since if stage.stage == self._stage else 0.0)}"
            for stage in self._expected
        )

    def _end(self) -> None:
        if self._stage:
            self._seconds[self._stage] = self._seconds.get(self._stage, 0.0) + self._clock() - self._begun


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds: ``3:44``."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _span(seconds: tuple[float, float] | None, since: float) -> str:
    """Range of the seconds that remain. ``since``: seconds that have already passed."""
    if seconds is None:
        return MEASURING
    low, high = (clock(round(max(0.0, end - since))) for end in seconds)
    if high == "0:00":
        return "about to end"
    return low if low == high else f"{low} to {high}"
