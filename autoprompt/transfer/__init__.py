"""Transfer between runs: prompts and operator statistics of earlier runs for a search on other data."""

from autoprompt.transfer.adapting import Taught, adapt, operators, prompts, taught
from autoprompt.transfer.bundle import read_bundle, read_sources, write_bundle
from autoprompt.transfer.lessons import Lesson, Source, profile_in, sources_of
from autoprompt.transfer.profile import Profile, profile_of, similarity

__all__ = [
    "Lesson",
    "Profile",
    "Source",
    "Taught",
    "adapt",
    "operators",
    "profile_in",
    "profile_of",
    "prompts",
    "read_bundle",
    "read_sources",
    "similarity",
    "sources_of",
    "taught",
    "write_bundle",
]
