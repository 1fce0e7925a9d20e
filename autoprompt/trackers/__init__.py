"""The trackers, which write a run's curves: one module each, called like the tracker."""

from __future__ import annotations

from typing import Protocol


class Tracker(Protocol):
    """Writes the curves of one run. It is made with the PLACE of ``--track NAME:PLACE``.

    Raises UsageError for a library that is not installed, StorageError for a place that cannot be written.
    """

    def __init__(self, place: str) -> None: ...

    def scalar(self, name: str, value: float, step: int) -> None:
        """Write one point of a curve: its value at ``step``, a number of prompts."""
        ...

    def text(self, name: str, text: str, step: int | None) -> None:
        """Write a text; ``step`` is None for a note about the whole run."""
        ...

    def close(self) -> None:
        """End the writing; called also after an error."""
        ...
