"""Language models behind one interface, one file a family."""

from __future__ import annotations

from pathlib import Path

from autoprompt.models.base import Features, FitFailedError, LanguageModel, Prompted, TokenProposals
from autoprompt.models.loading import check_device, locate_model

__all__ = [
    "Features",
    "FitFailedError",
    "LanguageModel",
    "Prompted",
    "TokenProposals",
    "check_device",
    "load_model",
    "locate_model",
]


def load_model(
    folder: Path, *, device: str = "cpu", max_length: int = 128, prefix_folder: Path | None = None
) -> LanguageModel:
    """Load the model of a local folder (see ``locate_model``).

    ``max_length``: tokens that a field is cut to. ``prefix_folder``: where kept prefixes are shared between
    processes; without it they stay in memory. Raises InputError when the weights cannot be used.
    """
    from autoprompt.models.causal import CausalModel

    return CausalModel(folder, device=device, max_length=max_length, prefix_folder=prefix_folder)
