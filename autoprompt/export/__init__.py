"""The winner as a file: ``best.json`` to load here, ``best.py`` to import anywhere without a dependency."""

from autoprompt.export.prompt import Prompt
from autoprompt.export.reading import load
from autoprompt.export.schema import FORMAT, MAX_LENGTH, VERSION, Weights
from autoprompt.export.weights import weights_beside
from autoprompt.export.writing import save, written_out

__all__ = [
    "FORMAT", "MAX_LENGTH", "VERSION", "Prompt", "Weights", "load", "save", "weights_beside", "written_out",
]  # fmt: skip
