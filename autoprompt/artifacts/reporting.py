"""How a pull says how far it is."""

from collections.abc import Callable

Progress = Callable[[str, float | None], None]
"""Called as ``progress(stage, fraction)``, in the thread that pulls.

``stage`` is "waiting for another process", "downloading", "extracting", "de-quantising" or "checking";
``fraction`` runs from 0.0 to 1.0 while downloading, and is None in stages that cannot be measured. Nothing is
called for what lies in the cache already. What it raises ends the pull and leaves nothing behind.
"""
