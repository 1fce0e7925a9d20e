"""Export of the winner: ``best.json`` to load with this package, ``best.py`` to import without any dependency."""

from autoprompt.export.prompt import Prompt
from autoprompt.export.reading import load
from autoprompt.export.schema import FORMAT, MAX_TOGETHER, VERSION
from autoprompt.export.weights import weights_beside
from autoprompt.export.writing import save, written_out

__all__ = [
    "FORMAT", "MAX_TOGETHER", "VERSION", "Prompt", "load", "save", "weights_beside", "written_out",
]  # fmt: skip
