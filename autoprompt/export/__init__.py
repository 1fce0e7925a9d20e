"""The winner as a file: ``best.json`` to load here, ``best.py`` to import anywhere without a dependency."""

from autoprompt.export.prompt import FORMAT, MAX_LENGTH, VERSION, Prompt, Weights
from autoprompt.export.reading import load
from autoprompt.export.writing import save, written_out

__all__ = ["FORMAT", "MAX_LENGTH", "VERSION", "Prompt", "Weights", "load", "save", "written_out"]
