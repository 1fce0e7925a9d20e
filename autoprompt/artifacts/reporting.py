"""The progress callback of a pull."""

from collections.abc import Callable

Progress = Callable[[str, float | None], None]
"""Called as ``progress(stage, fraction)``, in the thread that pulls.

``stage`` is "waiting for another process", "downloading", "extracting", "de-quantising" or "checking";
``fraction`` runs from 0.0 to 1.0 while downloading, and is None in stages that cannot be measured. It is not
called for an artifact that is already in the cache. If it raises, the pull ends and leaves nothing behind.
"""
