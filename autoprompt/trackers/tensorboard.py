"""Curves for TensorBoard, in a folder, through tensorboardX (extra: tracking)."""

from __future__ import annotations

from autoprompt.errors import StorageError, UsageError, parameter
from autoprompt.registry import TRACKERS


@TRACKERS.register("tensorboard")
class TensorBoard:
    """Event files in the folder ``place``, which is made if it is missing."""

    def __init__(self, place: str) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ModuleNotFoundError as error:
            raise UsageError(
                f"{parameter('track')} needs tensorboardX, which is not installed; run pip install "
                "'autoprompt-engine[tracking]'."
            ) from error
        try:
            self._writer = SummaryWriter(place)
        except OSError as error:
            raise StorageError(
                f"The curves cannot be written to {place} ({error.strerror}); choose another."
            ) from error

    def scalar(self, name: str, value: float, step: int) -> None:
        """Write one point of a curve."""
        self._writer.add_scalar(name, value, step)

    def text(self, name: str, text: str, step: int | None) -> None:
        """Write a text."""
        self._writer.add_text(name, text, step)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
